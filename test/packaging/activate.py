"""Starts what a unit starts, as systemd would: the socket is bound first, and handed over as descriptor 3.

activate.py SOCKET FOLDER WORD…     the words after python3
"""

import os
import socket
import sys

path, folder, *words = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
if listener.fileno() != 3:
    os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.chdir(folder)
os.execv(sys.executable, [sys.executable, *words])
