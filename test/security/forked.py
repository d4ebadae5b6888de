"""Starts a qmcpd for each line on standard input, which is its root, and answers with its process id. Each is what
`python3 -m qmcpd --root ROOT` is, but born of a process that has read Python's library already: that takes ten times
as long as all the rest of a start, and a host in these tests lives for a fraction of a second."""

import os
import runpy
import signal
import sys

sys.path.insert(0, os.getcwd())
import counted
import qmcpd.__main__  # noqa: F401

counts = "--count" in sys.argv

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
for root in sys.stdin:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        sys.argv = ["qmcpd", "--root", root.rstrip("\n")]
        if counts:
            counted.begin(os.path.join(sys.argv[2], "var/log/work"))
        del sys.modules["qmcpd.__main__"]
        runpy.run_module("qmcpd", run_name="__main__", alter_sys=True)
        os._exit(0)
    print(child, flush=True)
