"""The services a template carries for qmcp. Each runs as root inside the qube and drops to the user it is asked for."""
