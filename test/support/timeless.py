"""qmcpd with a clock that stands still. Its rate limits never reset, and it retries unfinished work only when it starts. So its
behaviour depends on the calls it gets, not on how long they take.

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
qmcpd.kernel.LIMITS.retry_seconds = 10**9

if __name__ == "__main__":
    del sys.modules["qmcpd.__main__"]
    runpy.run_module("qmcpd", run_name="__main__", alter_sys=True)
