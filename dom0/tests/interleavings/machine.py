"""A dom0 in one process: qmcpd's own kernel, journal, audit log and rosters, the operator's own command, and the model of qubesd.
What is done next is always the test's word: see loop.py."""

import asyncio
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from qmcpd import qubesd, roster
from qmcpd.audit import AuditLog
from qmcpd.journal import Journal
from qmcpd.kernel import Kernel
from qmcpd.plans import Plans
from settings import config, contracts
from settings.current import Settings

from .loop import SOCKETS, Clock, Gone, Loop, Pending
from .model import Host

DOM0 = Path(__file__).parents[2]
if str(DOM0 / "operator") not in sys.path:
    sys.path.append(str(DOM0 / "operator"))

import verbs  # noqa: E402

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
REMEMBERED: dict[tuple[object, ...], list[bytes]] = {}
CONFIGS: dict[str, config.Config] = {}
Trace = list[tuple[str, bytes | str]]
PATIENCE = 200  # seconds after which what is still in the journal stays there
PRINCIPAL, WORLD = "mcp-control", "ai"


CLOCK = Clock()  # the time of all there is here; `host` is whom the operator's command talks to
SHIPPED = contracts.load(DOM0 / "contracts")  # read once: no test here changes one


load = config.load


def read_config(path: Path) -> config.Config:
    """The worlds of a file with these words in it: read once."""
    text = Path(path).read_text()
    if text not in CONFIGS:
        CONFIGS[text] = load(path)
    return CONFIGS[text]


class Stuck(Exception):
    """Everybody waits, and nothing will ever happen."""


@contextlib.contextmanager
def one_process() -> Iterator[None]:
    """Sockets, time and the disk's own pace are the test's; files and all of qmcpd are real."""

    class Policy(asyncio.DefaultEventLoopPolicy):
        _loop_factory = staticmethod(lambda: Loop(CLOCK.host, CLOCK, at_once=True))

    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(Policy())
    with contextlib.ExitStack() as held:
        held.enter_context(mock.patch.object(qubesd, "socket", SOCKETS))
        held.enter_context(mock.patch("time.monotonic", CLOCK))
        held.enter_context(mock.patch("time.time", lambda: CLOCK.seconds + 1_700_000_000))
        held.enter_context(mock.patch("os.fsync", lambda _: None))
        held.enter_context(mock.patch.object(contracts, "load", lambda _: SHIPPED))
        held.enter_context(mock.patch.object(config, "load", read_config))
        try:
            yield
        finally:
            asyncio.set_event_loop_policy(before)


class Machine:
    """`host` is qubesd's; `root` has dom0's files. `replies`: what each call was told, by its name; `trace`: who asked qubesd what,
    and what the operator did in between."""

    def __init__(self, host: Host, worlds: str) -> None:
        self.host = host
        self.root = Path(tempfile.mkdtemp(prefix="qmcp-", dir=MEMORY))
        for path in ("etc/qmcp", "etc/qubes/policy.d", "run", "var/lib/qmcp", "var/log/qmcp"):
            (self.root / path).mkdir(parents=True)
        (self.root / "etc/qmcp/contracts").symlink_to(DOM0 / "contracts")
        (self.root / "etc/qmcp/qmcp.toml").write_text(worlds)
        self.replies: dict[str, str] = {}
        self.errors: dict[str, dict[str, Any]] = {}
        self.trace: Trace = []
        self.orphans: list[Pending] = []
        self.said = io.StringIO()
        self.look: Callable[[], None] = lambda: None  # called whenever qubesd has done anything
        self.hangs = False  # whether qubesd answers nobody, as after a SIGSTOP
        self.boot()

    def close(self) -> None:
        if not self.loop.is_gone:
            self.kill()
        shutil.rmtree(self.root)

    # ---- qmcpd

    def boot(self) -> None:
        """As `python3 -m qmcpd` does: what is unfinished first."""
        self.loop = Loop(self.host, CLOCK)
        self._tasks = {"boot": self.loop.create_task(self._booted(), name="boot")}
        self._drain()
        self.finish("boot")

    async def _booted(self) -> None:
        host = qubesd.Qubesd("run/qubesd.sock")
        self.journal = Journal(self.root / "var/lib/qmcp/journal")
        rosters = roster.Rosters(host.limited(roster.METHODS), self.journal)
        settings = Settings(self.root, rosters.look_for)
        self.log = AuditLog(self.root / "var/log/qmcp/audit.log")
        self.kernel = Kernel(settings, host, rosters, self.journal, self.log, Plans(self.root))
        await self.kernel.settle_unfinished()
        self._house = asyncio.get_running_loop().create_task(
            self.kernel.retry_unfinished(), name="house"
        )

    def call(self, name: str, service: str, target: str = "dom0", /, **payload: object) -> None:
        """Begin a call; it goes up to its first question to qubesd."""
        argument = "" if target == "dom0" else target
        where = f"name {argument}" if argument else "keyword adminvm"
        header = f"{service}+{argument} {PRINCIPAL} {where}".encode()
        answer = self._answer(name, header, json.dumps(payload).encode())
        self._tasks[name] = self.loop.create_task(answer, name=name)
        self._drain()

    async def _answer(self, name: str, header: bytes, payload: bytes) -> None:
        async for line in self.kernel.answer(header, payload):
            reply = json.loads(line)
            self.replies[name] = "ok" if reply["ok"] else reply["error"]["code"]
            self.errors[name] = reply.get("error")

    def pending(self, name: str | None) -> Pending | None:
        """The call to qubesd it waits for, or None."""
        return next((one for one in self.loop.pending if one.actor == name), None)

    def is_over(self, name: str) -> bool:
        return self._tasks[name].done()

    def step(self, name: str) -> bool:
        """Let qubesd take its next step with what this one asked. False when it has not asked anything."""
        pending = self.pending(name)
        if pending is None:
            return False
        if not pending.is_begun:
            self.trace.append((name, pending.request))
        if pending.step():
            self.loop.pending.remove(pending)
        self.look()
        self._drain()
        return True

    def step_any(self) -> bool:
        return bool(self.loop.pending) and self.step(self.loop.pending[0].actor)

    def finish(self, name: str) -> None:
        """Until it is over. Those it waits for go on with what they do, and time passes when everybody waits."""
        while not self.is_over(name):
            if not (self.step(name) or self.step_any() or self.wait()):
                raise Stuck(name)
        self._tasks[name].result()

    def calls(self) -> list[str]:
        """The calls that were made of the qmcpd that runs."""
        return [name for name in self._tasks if name != "boot"]

    def wait(self) -> bool:
        passed = self.loop.wait()
        self._drain()
        return passed

    def _drain(self) -> None:
        """What only listens, and what keeps house, is never kept waiting."""
        if self.loop.is_gone:
            return
        with contextlib.redirect_stderr(self.said):
            self.loop.drain()
            while background := self._background():
                for one in background:
                    self.trace.append((one.actor, one.request))
                    one.finish()
                    self.loop.pending.remove(one)
                    self.look()
                self.loop.drain()

    def _background(self) -> list[Pending]:
        pending = [] if self.hangs else self.loop.pending
        return [one for one in pending if one.actor not in self._tasks]

    def kill(self, name: str | None = None, done: str = "before") -> None:
        """kill -9. What `name` had just asked of qubesd was not heard (before), is done and nobody is told (after), or is under
        way and is done whenever `complete` is called (late)."""
        pending = self.pending(name)
        if pending is not None and done == "late":
            self.orphans.append(pending)
        elif pending is not None and done == "after":
            self.trace.append((pending.actor, pending.request))
            pending.finish()
            self.look()
        self.host.subscribers.clear()
        self.loop.is_gone = True
        self.loop.set_exception_handler(lambda *_: None)
        for part in (self.journal, self.log):
            _silence(part)
        with contextlib.redirect_stderr(self.said):
            task: Any  # the stubs leave out what keeps it silent
            for task in asyncio.all_tasks(self.loop):
                task._log_destroy_pending = False
                with contextlib.suppress(BaseException):
                    task.get_coro().close()
        with contextlib.suppress(OSError):
            os.close(self.log._fd)

    def complete(self) -> None:
        """What qubesd had been asked by a qmcpd that is gone."""
        for one in self.orphans:
            self.trace.append(("late", one.request))
            one.finish()
            self.look()
        self.orphans.clear()
        self._drain()

    def restart(self) -> None:
        self.boot()

    def rest(self) -> None:
        """Until nothing is left to settle, or nobody will."""
        end = CLOCK.seconds + PATIENCE
        while self.unfinished() and CLOCK.seconds < end:
            self.wait()

    # ---- the operator

    def admin(self, *words: str) -> None:
        """qmcp-admin. A word it does not understand, or a refusal, is an error of the test's. What it asks of qubesd for the same
        words about the same qube is asked again without it: starting it takes longer than all the rest."""
        self.trace.append(("operator", f"qmcp-admin {' '.join(words)}"))
        about = self.host.qubes.get(words[1])
        state = about and (frozenset(about.tags), tuple(sorted(about.features.items())))
        key = (words, state, (self.root / "etc/qmcp/qmcp.toml").read_text())
        if about and key in REMEMBERED:
            self.host.actor = "operator"
            for request in REMEMBERED[key]:
                self.host.ask(request)
        else:
            CLOCK.host, CLOCK.asked = self.host, []
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                code = verbs.main(["--root", str(self.root), *words])
            if code:
                raise AssertionError(f"qmcp-admin {words}: {code}: {printed.getvalue()}")
            REMEMBERED[key] = CLOCK.asked
        self._drain()

    def by_hand(self, method: str, dest: str, argument: str = "", payload: str = "") -> bytes:
        request = f"{method}+{argument} dom0 name {dest}\0{payload}".encode()
        self.trace.append(("operator", request))
        self.host.actor = "operator"
        reply = self.host.ask(request)
        self._drain()
        return reply

    def edit(self, change: Callable[[str], str]) -> None:
        """Of qmcp.toml. qmcpd looks at it once a second."""
        path = self.root / "etc/qmcp/qmcp.toml"
        text = change(path.read_text())
        self.trace.append(("operator", "edits qmcp.toml"))
        path.write_text(text)
        CLOCK.seconds += 1.5
        self._drain()

    # ---- what is there to see

    def is_busy_with(self, name: str) -> bool:
        """Whether a call of an agent's has asked qubesd about this qube, or has named it to be made."""
        return any(
            who not in ("operator", "before")
            and (f" {name}\0".encode() in request or f"name={name} ".encode() in request)
            for who, request in self.trace
            if isinstance(request, bytes) and who in self._tasks
        )

    def unfinished(self) -> list[Path]:
        return sorted((self.root / "var/lib/qmcp/journal").glob("*"))

    def audit(self) -> list[config.Json]:
        path = self.root / "var/log/qmcp/audit.log"
        return [json.loads(line) for line in path.read_text().splitlines()]


def _silence(part: object) -> None:
    """A file that a dead process had open."""

    def gone(*_: object, **__: object) -> None:
        raise Gone

    for name in dir(type(part)):
        if not name.startswith("__") and callable(getattr(type(part), name)):
            setattr(part, name, gone)
