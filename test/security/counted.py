"""qmcpd that counts the instructions of dom0's code that each call executes. The count does not depend on the machine. Each call
adds a line to ROOT/var/log/work.

    cd dom0; python3 -B counted.py --root ROOT
"""

import asyncio
import dis
import os
import runpy
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from types import CodeType, FrameType
from typing import Any

HERE = os.getcwd()
# A coroutine executes these more often when it has to wait, which depends on the scheduler.
WAITS = {
    dis.opmap[name]
    for name in ("RESUME", "SEND", "YIELD_VALUE", "JUMP_BACKWARD_NO_INTERRUPT")
    if name in dis.opmap
}
sys.path.insert(0, HERE)

from qmcpd.kernel import Kernel  # noqa: E402

Task = asyncio.Task[Any]


def begin(path: str) -> None:
    """Counts every call from now on."""
    executed: defaultdict[Task | None, int] = defaultdict(int)
    bytecode: dict[CodeType, bytes] = {}
    answer = Kernel.answer

    def ended(task: Task) -> None:
        with open(path, "a", encoding="ascii") as file:
            file.write(f"{executed.pop(task)}\n")

    def count(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(HERE):
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        if event == "opcode" and (task := asyncio.current_task()) in executed:
            if frame.f_code not in bytecode:
                bytecode[frame.f_code] = frame.f_code.co_code
            executed[task] += bytecode[frame.f_code][frame.f_lasti] not in WAITS
        return count

    def counted_answer(
        self: Kernel, untrusted_header: bytes, untrusted_payload: bytes | None
    ) -> AsyncGenerator[bytes, None]:
        task = asyncio.current_task()
        assert task
        executed[task] = 0
        task.add_done_callback(ended)
        sys.settrace(count)
        return answer(self, untrusted_header, untrusted_payload)

    Kernel.answer = counted_answer


if __name__ == "__main__":
    begin(os.path.join(sys.argv[2], "var/log/work"))
    runpy.run_module("qmcpd", run_name="__main__", alter_sys=True)
