"""The qrexec policy: made of contracts and worlds, read as qrexec reads it, and held against what it is to come to. Nothing here
writes anything or asks the host; `30-qmcp.policy` is what is made of the shipped contracts and qmcp.toml."""
