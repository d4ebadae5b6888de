"""qmcpd, for which no time goes by: the minute in which it counts calls does not end, and what it could not settle it looks at
when it starts and not again after a while. What it does then depends on what it is told, and not on how long that takes.

    python3 -B timeless.py --root ROOT
"""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "dom0"))

import qmcpd.__main__
import qmcpd.budget
import qmcpd.kernel

qmcpd.budget.time = SimpleNamespace(monotonic=lambda: 0.0)
qmcpd.kernel.RETRY = 10**9

if __name__ == "__main__":
    del sys.modules["qmcpd.__main__"]
    runpy.run_module("qmcpd", run_name="__main__", alter_sys=True)
