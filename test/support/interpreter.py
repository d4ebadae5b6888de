"""Stands for the interpreter where a forked program starts one: has the fork server run what follows, on our descriptors.

python3 -ISB interpreter.py SOCKET WORD…     the words after python3
"""

import json
import os
import signal
import socket
import sys

server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
asked = {"id": 0, "words": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ)}
socket.send_fds(server, [json.dumps(asked).encode() + b"\n"], [0, 1, 2])
for line in server.makefile():
    told = json.loads(line)
    if "error" in told:
        sys.exit(told["error"])
    if "signal" in told:
        number = signal.Signals[told["signal"]]
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    if "code" in told:
        os._exit(told["code"])
sys.exit("the fork server is gone")
