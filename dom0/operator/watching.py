"""Shows what happens on this host, as it happens: the lines of the logs, freezes, grants, settings, and the qubes of the worlds.

qubesd says by itself what changes in its qubes. Nothing announces a change of a file to the standard library, so the files are looked
at four times a second; that takes a few system calls. The decisions of the qrexec policy are not shown: `audit tail` has them."""

import asyncio
import os
import select
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import audit_chain
import grants
from answer import Answer, Options, safe
from host import CONFIG, FROZEN, Worlds, clock, instant, open_qubesd, switched_on
from qmcpd import plans
from qmcpd.errors import Misconfigured
from qmcpd.qubesd import AdminError, Qube, Qubesd
from settings import config

BETWEEN_LOOKS, BETWEEN_TRIES = 0.25, 1  # seconds: at the files, and to reach qubesd
Event = dict[str, Any]  # {event: its kind, ...}; `first`: how things were when the watch began


def watch(options: Options) -> Answer:
    events = _stream(options.root)
    return Answer(events, text=_lines(events))


def _stream(root: Path) -> Iterator[Event]:
    """Ends when nobody reads the output, or on Ctrl-C."""
    with asyncio.Runner() as runner:
        events = _events(root)
        try:
            while event := runner.run(_next(events)):
                yield event
        except KeyboardInterrupt:
            return


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)


async def _events(root: Path) -> AsyncIterator[Event]:
    files, found = Files(root), list[Event]()
    host = asyncio.ensure_future(Host(root, found.append).follow())
    while _is_read() and not host.done():
        found += files.changes()
        while found:
            yield found.pop(0)
        await asyncio.sleep(BETWEEN_LOOKS)
    if host.done():
        host.result()


def _is_read() -> bool:
    """Whoever watches through sudo cannot end this program, but can stop reading."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


# ---- files


class Log:
    """The lines that are added to a log from now on, also while full files are put aside."""

    def __init__(self, path: Path) -> None:
        self._path, self._rest, self._file = path, b"", None
        self._open(os.SEEK_END)

    def added(self) -> Iterator[audit_chain.Entry]:
        yield from self._read()
        if self._is_another():
            yield from self._read()  # of the old one, which nobody writes to any more
            self._open(os.SEEK_SET)
            yield from self._read()

    def _open(self, whence: int) -> None:
        if self._file is not None:
            self._file.close()
        self._rest, self._file = b"", open(self._path, "rb") if self._path.exists() else None
        if self._file is not None:
            self._file.seek(0, whence)

    def _is_another(self) -> bool:
        """Whether a new file has the name of the one that is read."""
        there = self._path.exists()
        return there and (
            self._file is None
            or not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        )

    def _read(self) -> Iterator[audit_chain.Entry]:
        *whole, self._rest = (self._rest + (self._file.read() if self._file else b"")).split(b"\n")
        for line in whole:
            yield audit_chain.read(self._path, 0, line)


class Files:
    """What changed in the files since the last look."""

    def __init__(self, root: Path) -> None:
        self._root, self._logs = root, [Log(root / path) for path in audit_chain.PATHS]
        self._before: dict[str, Any] = {}

    def changes(self) -> Iterator[Event]:
        looks: dict[str, tuple[Callable[[], Any], Callable[[], Event]]] = {
            "frozen": (self._frozen, lambda: {"worlds": self._frozen()}),
            "grants": (self._grants, self._ends),
            "plans": (self._plans, lambda: {"plans": len(self._plans())}),
            "settings": (self._settings, lambda: {"problem": read_worlds(self._root)[1]}),
        }
        for log in self._logs:
            yield from ({"event": "log", "entry": entry} for entry in log.added())
        for kind, (look, words) in looks.items():
            first, now = kind not in self._before, look()
            if first or now != self._before[kind]:
                self._before[kind] = now
                yield {"event": kind, **words()} | ({"first": True} if first else {})

    def _frozen(self) -> list[str]:
        return sorted(path.name for path in (self._root / FROZEN).glob("*"))

    def _grants(self) -> list[str]:
        return sorted(path.name for path in (self._root / grants.DIRECTORY).glob("*.intent"))

    def _ends(self) -> Event:
        """Only of those that a file has: a qube that was renamed or restored since shows its grant in `qmcp-admin world`."""
        paths = [self._root / grants.DIRECTORY / name for name in self._grants()]
        texts = [path.read_text(encoding="utf-8") for path in paths if path.exists()]
        found: grants.Granted = {
            grant["qube"]: [(None, grant)] for text in texts if (grant := grants.read(text))
        }
        return {
            "grants": [
                {"qube": name, "until": instant(grants.ends(found, name))} for name in sorted(found)
            ]
        }

    def _plans(self) -> list[tuple[str, int]]:
        """The files of plans and of decisions, each with when it was written."""
        found = [*(self._root / plans.PLANS).glob("*/*.plan")]
        found += (self._root / plans.DECISIONS).glob("*.json")
        return sorted((str(path), path.stat().st_mtime_ns) for path in found if path.exists())

    def _settings(self) -> tuple[int, int] | None:
        path = self._root / CONFIG
        return (path.stat().st_mtime_ns, path.stat().st_ino) if path.exists() else None


def read_worlds(root: Path) -> tuple[Worlds, str | None]:
    """The worlds, or the problem with their file."""
    try:
        return config.load(root / CONFIG).worlds, None
    except Misconfigured as problem:
        return {}, str(problem)


# ---- qubes


class Host:
    """Says what becomes of the qubes of the worlds. `say`: takes each event."""

    def __init__(self, root: Path, say: Callable[[Event], None]) -> None:
        self._root, self._say = root, say
        self._known: dict[str, Event | None] = {}

    async def follow(self) -> None:
        answers = None
        while True:
            qubesd = open_qubesd(self._root)
            try:
                async for name, kind in qubesd.events():
                    if kind == "connection-established":
                        await self._begin(qubesd)
                        self._say({"event": "qubesd", "answers": True} | _first(answers))
                        answers = True
                    elif name:
                        await self._look(qubesd, name)
            except (OSError, AdminError):
                if answers is not False:
                    self._say({"event": "qubesd", "answers": False} | _first(answers))
                answers = False
                await asyncio.sleep(BETWEEN_TRIES)

    async def _begin(self, qubesd: Qubesd) -> None:
        worlds = read_worlds(self._root)[0]
        for name in {*await qubesd.list(), *self._known}:
            self._known[name] = _row(worlds, await qubesd.look(name))

    async def _look(self, qubesd: Qubesd, name: str) -> None:
        """A qube that leaves its world, or the host, is shown once more."""
        row, before = (
            _row(read_worlds(self._root)[0], await qubesd.look(name)),
            self._known.get(name),
        )
        if row != before:
            gone = {"world": None, "state": None, "tier": None, "switches": []}
            self._say({"event": "qube", **(row or {"qube": name, **gone})})
        self._known[name] = row


def _first(answers: bool | None) -> Event:
    return {"first": True} if answers is None else {}


def _row(worlds: Worlds, qube: Qube) -> Event | None:
    for world in worlds.values():
        membership = world.membership(qube.klass, qube.tags)
        if membership.get("belongs"):
            return {
                "qube": qube.name,
                "world": world.name,
                "state": qube.state,
                "tier": world.reach(qube.klass, qube.tags) or membership["is"],
                "switches": switched_on(world, qube.tags),
            }
    return None


# ---- for a terminal


def _lines(events: Iterator[Event]) -> Iterator[str]:
    """One line each, as wide as the terminal. Into a pipe goes only what happens, and each line whole."""
    for event in events:
        if sys.stdout.isatty():
            yield _line(event)[: shutil.get_terminal_size().columns]
        elif "first" not in event:
            yield _line(event)


def _line(event: Event) -> str:
    kind = event["event"]
    if kind == "log":
        entry = event["entry"]
        about = audit_chain.qubes(entry) or [entry.get("target")]
        words = [entry.get("principal"), entry.get("service"), ", ".join(map(str, about))]
        kind, words = entry.get("kind"), [*words, entry.get("code")]
    elif kind == "qube":
        place = f"{event['world']}, {event['tier']}" if event["world"] else "in no world"
        words = [event["qube"], event["state"] or "gone or outside", place, *event["switches"]]
    elif kind == "grants":
        words = [f"{one['qube']} until {one['until']}" for one in event["grants"]] or ["none"]
    elif kind == "frozen":
        words = event["worlds"] or ["none"]
    elif kind == "plans":
        words = ["changed: qmcp-admin plan list"]
    elif kind == "settings":
        words = [event["problem"] or "qmcp.toml is valid"]
    else:
        words = ["answers" if event["answers"] else "does not answer: systemctl status qubesd"]
    return f"{clock(time.time(), '%H:%M:%S')}  {safe(kind):<8}  {safe('  '.join(str(word) for word in words if word))}"
