"""qmcpd, but that what it could not settle it looks at when it starts, and never again after a while. Two of them that are told
the same then do the same, whatever time that takes each.

    python3 -B settled.py --root ROOT
"""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "dom0"))

import qmcpd.__main__
import qmcpd.kernel

qmcpd.kernel.RETRY = 10**9

if __name__ == "__main__":
    del sys.modules["qmcpd.__main__"]
    runpy.run_module("qmcpd", run_name="__main__", alter_sys=True)
