"""Counts which lines of dom0's Python the unit tests of dom0 run, and writes them as JSON.

    python3 -B scripts/coverage.py OUTPUT [TEST ...]

Each test is a dotted name for unittest; without one, all tests in dom0/tests run. The result is `{file: [run, all]}` with the
numbers of lines, where a line counts if a statement begins on it. A process that a test starts is not counted.
"""

import json
import sys
import threading
import types
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOM0 = ROOT / "dom0"


def product() -> list[Path]:
    files = [path for path in DOM0.rglob("*.py") if path.relative_to(DOM0).parts[0] != "tests"]
    commands = [DOM0 / "operator/qmcp-admin", DOM0 / "packaging/qmcp-dom0"]
    return sorted([*files, *(path for path in commands if path.exists())])


def codes(code: CodeType) -> Iterator[CodeType]:
    """This code, and that of every function and class in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def lines_of(code: CodeType) -> set[int]:
    return {line for _, _, line in code.co_lines() if line}


class Counter:
    """Records the executed lines. Python 3.12 reports each line once; before, a trace function sees every line."""

    def __init__(self) -> None:
        self.executed: dict[str, set[int]] = {}
        self.missing: dict[CodeType, set[int]] = {}
        self.names = {str(path) for path in product()}

    def start(self) -> None:
        if sys.version_info >= (3, 12):
            tool, events = sys.monitoring.COVERAGE_ID, sys.monitoring.events
            sys.monitoring.use_tool_id(tool, "qmcp")
            sys.monitoring.register_callback(tool, events.LINE, self.monitor)
            sys.monitoring.set_events(tool, events.LINE)
        else:
            threading.settrace(self.trace)
            sys.settrace(self.trace)

    def monitor(self, code: CodeType, line: int) -> Any:
        if code.co_filename in self.names:
            self.executed.setdefault(code.co_filename, set()).add(line)
        if sys.version_info >= (3, 12):
            return sys.monitoring.DISABLE
        return None

    def trace(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        code = frame.f_code
        if code.co_filename not in self.names:
            return None
        missing = self.missing.get(code)
        if missing is None:
            missing = self.missing[code] = lines_of(code)
        if not missing:
            return None
        executed = self.executed.setdefault(code.co_filename, set())

        def line(frame: FrameType, event: str, _arg: Any) -> Any:
            if event == "line":
                executed.add(frame.f_lineno)
                missing.discard(frame.f_lineno)
                frame.f_trace_lines = bool(missing)
            return line

        executed.add(frame.f_lineno)
        missing.discard(frame.f_lineno)
        return line

    def result(self) -> dict[str, list[int]]:
        counts = {}
        for path in product():
            compiled = compile(path.read_text(), str(path), "exec")
            lines = set().union(*(lines_of(code) for code in codes(compiled)))
            executed = self.executed.get(str(path), set()) & lines
            counts[str(path.relative_to(ROOT))] = [len(executed), len(lines)]
        return counts


def main(output: str, names: list[str]) -> int:
    sys.path.insert(0, str(DOM0))
    sys.dont_write_bytecode = True
    counter = Counter()
    counter.start()
    loader = unittest.TestLoader()
    suite = (
        loader.loadTestsFromNames(names)
        if names
        else loader.discover(str(DOM0 / "tests"), top_level_dir=str(DOM0))
    )
    result = unittest.TextTestRunner(verbosity=0).run(suite)
    Path(output).write_text(json.dumps(counter.result()))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
