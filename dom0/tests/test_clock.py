"""What a test in Python shows depends on no clock either: test/architecture/clock.ts says why, and does the same for TypeScript."""

import ast
import re
import unittest
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CLOCKS = {"time", "timeit", "sched"}
# Whoever has them: a module under any name, an event loop, a class.
READS = {
    *("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time"),
    *("thread_time", "time_ns", "clock_gettime", "utcnow", "today"),
}
WAITS = {"sleep", "wait_for", "timeout_at", "alarm", "setitimer", "Timer"}
# Seconds: fewer decide an outcome on a busy machine.
LIMIT = 300
FOREVER = 3600
UNTIL = re.compile(r"\b(until|while) [^;]+; do sleep [\d.]+; done")
SLEEP = re.compile(r"\bsleep[ (]+([\d.]*)")


def wall_clock(source: str) -> list[str]:
    """`line: what`, for everything in it that makes an outcome a matter of time."""
    tree = ast.parse(source)
    found: set[tuple[int, str]] = set()
    set_by_the_test = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("return_value", "side_effect")
    }
    for node in ast.walk(tree):
        for what in _problems(node, set_by_the_test):
            found.add((getattr(node, "lineno", 0), what))
    return [f"{line}: {what}" for line, what in sorted(found)]


def _problems(node: ast.AST, set_by_the_test: set[ast.expr]) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (f"imports {one.name}" for one in names if one.name in CLOCKS)
        case ast.ImportFrom(module=module, names=names):
            if module in CLOCKS:
                yield f"imports {module}"
            yield from (f"imports {one.name}" for one in names if one.name in READS | WAITS)
            if module == "asyncio":
                yield from ("imports timeout" for one in names if one.name == "timeout")
        case ast.Attribute(attr=name):
            if name in READS | WAITS:
                yield f"takes {name}"
            # An expectation may be set on a clock of the test's own.
            if name == "now" and node not in set_by_the_test:
                yield "takes now"
            if (
                name == "timeout"
                and isinstance(node.value, ast.Name)
                and node.value.id == "asyncio"
            ):
                yield "takes timeout"
        case ast.Call(func=func, args=args, keywords=keywords):
            if isinstance(func, ast.Attribute) and func.attr == "time" and not args:
                yield "takes time"
            if _name(func) in ("__import__", "import_module") and args and _text(args[0]) in CLOCKS:
                yield f"imports {_text(args[0])}"
            if _name(func) == "getattr" and len(args) > 1 and _text(args[1]) in READS | WAITS:
                yield f"takes {_text(args[1])}"
            yield from (
                "has a limit of its own"
                for one in keywords
                if one.arg == "timeout" and not _at_least(one.value, LIMIT)
            )
        case ast.Constant(value=str() as text):
            for sleep in SLEEP.finditer(UNTIL.sub("", text)):
                if float(sleep[1] or 0) < FOREVER:
                    yield f"sleeps for a time: {sleep[0]}"


def _name(func: ast.expr) -> str | None:
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", None)


def _text(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _at_least(node: ast.expr, seconds: float) -> bool:
    if not isinstance(node, ast.Constant):
        return False
    return node.value is None or (isinstance(node.value, (int, float)) and node.value >= seconds)


class Clock(unittest.TestCase):
    def test_no_test_and_nothing_tests_are_made_of_goes_by_a_clock(self) -> None:
        files = [
            *(ROOT / "dom0/tests").glob("*.py"),
            *(path for path in (ROOT / "test").rglob("*.py") if "node_modules" not in path.parts),
        ]
        self.assertGreater(len(files), 15)
        wrong = [
            f"{path.relative_to(ROOT)}:{what}"
            for path in files
            if path != Path(__file__)  # the cases below are text
            for what in wall_clock(path.read_text("utf-8"))
        ]
        self.assertEqual(wrong, [])

    def test_what_goes_by_a_clock_is_found(self) -> None:
        for source in (
            "import time\nbegun = time.time()",
            "import time as t\nassert t.monotonic() - begun < 1",
            "from time import perf_counter as now",
            "from time import sleep\nsleep(1)",
            "import timeit",
            "clock = __import__('time')",
            "import importlib\nclock = importlib.import_module('time')",
            "from datetime import datetime\nassert datetime.now() > before",
            "import datetime as d\nassert d.datetime.now(d.UTC) > before",
            "now = datetime.now\nassert now() > before",
            "assert getattr(clock, 'monotonic')() - begun < 1",
            "assert date.today() == day",
            "import asyncio\nasync def test():\n    await asyncio.sleep(1)",
            "from asyncio import sleep as later",
            "async def test():\n    await asyncio.wait_for(act(), 1)",
            "async def test():\n    async with asyncio.timeout(1):\n        await act()",
            "begun = loop.time()",
            "threading.Timer(1, act).start()",
            "import signal\nsignal.alarm(1)",
            "subprocess.run(command, timeout=5)",
            "subprocess.run(command, timeout=SOON)",
            "subprocess.run(['sh', '-c', 'echo one; sleep 1; echo two'])",
        ):
            with self.subTest(source=source):
                self.assertNotEqual(wall_clock(source), [])

    def test_what_does_not_passes(self) -> None:
        for source in (
            "from unittest import mock\nwith mock.patch('time.time', return_value=0.0):\n    act()",
            "with mock.patch('audit_view.datetime') as clock:\n    clock.now.return_value = later",
            "from datetime import datetime, timedelta\nlater = datetime.fromisoformat(t) + timedelta(days=9)",
            "entry = {'time': 7, 'now': 1}\nfor time in ('30', 'm'):\n    act(time)",
            "subprocess.run(command, timeout=600)",
            "subprocess.run(['sh', '-c', 'until [ -e go ]; do sleep 0.1; done; sleep 3600'])",
            "task = asyncio.current_task()",
        ):
            with self.subTest(source=source):
                self.assertEqual(wall_clock(source), [])
