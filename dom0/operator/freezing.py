"""Freezes and thaws worlds: at once, without a question, and whatever state anything else is in.

A freeze is a file that qmcpd looks for, and a policy for the calls that never pass through qmcpd. It can also stop what already
runs. Each stop is on the disk before it is made, with what undoes it, and is undone only where nobody changed it since."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from answer import Answer, Incomplete, Options, stop
from host import CONFIG, EVERY_WORLD, FROZEN, open_qubesd, tagged, write
from policy import frozen
from policy.frozen import Sources
from qmcpd.errors import Misconfigured
from qmcpd.journal import Journal
from qmcpd.qubesd import AdminError, Qube, Qubesd
from settings import config
from spec import NAMES

STOPPED = "var/lib/qmcp/stopped"
CUT, PAUSED = "cut", "paused"  # what a record says was done to a qube
Record = dict[str, Any]
_HALTED = {state for state, word in NAMES.power_state.items() if word == "halted"}


class Report:
    """The lines to print at the end. A step that fails keeps no other from being taken."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.wrong: list[str] = []

    def attempt(self, failure: str, step: Callable[[], Iterable[str]]) -> None:
        """`step` returns what went wrong."""
        try:
            self.wrong += [f"{failure}, because {why}" for why in step()]
        except (OSError, AdminError) as problem:
            self.wrong.append(f"{failure}, because {problem or 'qubesd does not answer'}")

    def lines(self, done: str) -> list[str]:
        if self.wrong:
            raise Incomplete([*self.wrong, *self.said])
        return [done, *self.said]


def freeze(options: Options) -> Answer:
    root, world = options.root, options.world
    _require_world(root, world, "NOT FROZEN")

    def do() -> list[str]:
        report = Report()
        report.attempt("NOT FROZEN: qmcpd still answers calls", lambda: _flag(root, world))
        report.attempt("NOT FROZEN: commands can still be run in qubes", lambda: refresh(root))
        report.attempt(
            "NOT STOPPED: some qubes may still run",
            lambda: asyncio.run(_stop_qubes(options, report)),
        )
        return report.lines(
            f"frozen: {world}. Calls in progress are stopped and undone, except one that is being committed at this moment."
        )

    return _at_once(options, do)


def thaw(options: Options) -> Answer:
    root, world = options.root, options.world
    _require_world(root, world, "NOT THAWED")

    def do() -> list[str]:
        report = Report()
        report.attempt("NOT THAWED: qmcpd still refuses calls", lambda: _flag(root, world, False))
        report.attempt("NOT THAWED: the policy of the freeze is still there", lambda: refresh(root))
        report.attempt(
            "NOT RESUMED: some qubes are still as the freeze left them",
            lambda: asyncio.run(_resume(root, report)),
        )
        report.said[:0] = [f"still frozen: {name}" for name in sorted(_flags(root))]
        return report.lines(f"thawed: {world}")

    return _at_once(options, do)


def refresh(root: Path) -> list[str]:
    """Write the policy of what is frozen, with every principal and tag that those worlds have by now. Returns what is still
    allowed."""
    text, path = policy(root), root / frozen.FILE
    if text:
        write(path, text)
    else:
        path.unlink(missing_ok=True)
    return list(allowed(root))


def policy(root: Path) -> str:
    """Empty while nothing is frozen."""
    sources, installed = _frozen(root), root / frozen.WRITTEN[0]
    text = installed.read_text("utf-8", "replace") if sources and installed.exists() else ""
    return frozen.policy(sources, frozen.questions_in(text)) if sources else ""


def allowed(root: Path) -> Iterator[str]:
    """Why calls of frozen worlds are not denied: nothing while all of them are."""
    sources = _frozen(root)
    if _flags(root) and not sources:
        yield f"{CONFIG} cannot be used, and no installed policy names a principal"
    closed = frozenset[str]().union(*sources.values())
    if closed:
        names = _names_with(root, frozen.tags(closed))
        yield from frozen.openings(root, closed, names)


def all_sources(root: Path) -> Sources:
    """Every world there is or was: by qmcp.toml, if it can be used, and by the installed files."""
    paths = [root / path for path in frozen.WRITTEN if (root / path).exists()]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    try:
        configured = frozen.sources_of(config.load(root / CONFIG).worlds.values())
    except Misconfigured:
        configured = {}
    return frozen.together(configured, *map(frozen.named_in, texts))


def is_frozen(root: Path, name: str) -> bool:
    return not _flags(root).isdisjoint({name, EVERY_WORLD})


def stopped(root: Path) -> list[tuple[str, Record]]:
    """What a freeze stopped and no thaw resumed."""
    return Journal(root / STOPPED).unfinished() if (root / STOPPED).is_dir() else []


# ---- its parts


def _at_once(options: Options, do: Callable[[], list[str]]) -> Answer:
    every = options.world == EVERY_WORLD
    return Answer([], do=do, at_once=True, world=None if every else options.world)


def _require_world(root: Path, world: str, failure: str) -> None:
    """A name that nothing here knows is refused: freezing it would freeze nothing. All worlds need no name that can be read."""
    try:
        names = {*all_sources(root), *_flags(root)} if world != EVERY_WORLD else {world}
    except OSError as problem:
        stop(f"{failure}: {problem}; to freeze all worlds: qmcp-admin freeze")
    if world not in names:
        there = ", ".join(sorted(names - {EVERY_WORLD})) or "none"
        stop(f"{failure}: there is no world {world}; there are {there}")


def _flags(root: Path) -> set[str]:
    return {path.name for path in (root / FROZEN).glob("*")}


def _flag(root: Path, world: str, there: bool = True) -> list[str]:
    directory = root / FROZEN
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    if there:
        (directory / world).touch()
    else:
        (directory / world).unlink(missing_ok=True)
    return []


def _frozen(root: Path) -> Sources:
    flags = _flags(root)
    return {
        name: those
        for name, those in (all_sources(root) if flags else {}).items()
        if flags & {name, EVERY_WORLD}
    }


def _names_with(root: Path, tags: set[str]) -> set[str] | None:
    """The qubes that have one of these tags; None when qubesd does not say."""
    try:
        return {qube.name for qube in asyncio.run(tagged(open_qubesd(root), tags))}
    except (OSError, AdminError):
        return None


# ---- qubes that run


async def _stop_qubes(options: Options, report: Report) -> list[str]:
    """Returns what could not be stopped, and reports what still runs."""
    sources, qubesd = all_sources(options.root), open_qubesd(options.root)
    principals = frozenset[str]().union(*sources.values())
    running = [
        (world, qube)
        for world in (sources if options.world == EVERY_WORLD else [options.world])
        for qube in await tagged(qubesd, _tags(sources, world))
        if qube.name not in principals and _runs(qube)
    ]
    if options.pause or options.kill or options.cut:
        failed = await asyncio.gather(*(_stop(qubesd, options, *one) for one in running))
        return [why for one in failed for why in one]
    names = ", ".join(sorted({qube.name for _, qube in running}))
    if names:
        report.said.append(
            f"still running: {names}; to stop these too, add --pause, --kill or --cut"
        )
    return []


async def _stop(qubesd: Qubesd, options: Options, world: str, qube: Qube) -> list[str]:
    """The network goes first: a paused qube may keep it until it runs again."""
    name = qube.name
    try:
        properties = await qubesd.properties(name)
        fact = {"qube": name, "world": world, "uuid": qube.uuid}
        network, default = properties["netvm"]
        if options.cut and network:
            _record(options.root, fact | {"did": CUT, "was": None if default else network})
            await qubesd.put(name, "property", "netvm", "")
        if options.kill:
            await qubesd.halt(name)
        elif options.pause and qube.state == "Running":
            _record(options.root, fact | {"did": PAUSED})
            await qubesd.change_power("Pause", name)
        state = await qubesd.state(name)
    except (OSError, AdminError) as problem:
        return [f"{name}: {problem or 'it does not halt'}"]
    wanted = {"Paused", "Suspended", *_HALTED} if options.pause else {state}
    return [] if state in (_HALTED if options.kill else wanted) else [f"{name} is {state}"]


async def _resume(root: Path, report: Report) -> list[str]:
    """Undo what a freeze did to qubes of worlds that are thawed. A person who changed or expelled one meanwhile wins."""
    sources, qubesd, wrong = all_sources(root), open_qubesd(root), []
    for identity, record in reversed(stopped(root)):
        name = record["qube"]
        if is_frozen(root, record["world"]):
            continue
        try:
            done = await _undo(qubesd, record, _tags(sources, record["world"]))
        except (OSError, AdminError) as problem:
            wrong.append(f"{name}: {problem or 'qubesd does not answer'}")
            continue
        report.said.append(f"{done}: {name}")
        Journal(root / STOPPED).close(identity)
    return wrong


async def _undo(qubesd: Qubesd, record: Record, tags: set[str]) -> str:
    qube = await qubesd.look(record["qube"])
    properties = await qubesd.properties(qube.name) if qube.tags & tags else {}
    if properties and qube.uuid == record["uuid"]:
        if record["did"] == PAUSED and qube.state == "Paused":
            await qubesd.change_power("Unpause", qube.name)
            return "resumed"
        if record["did"] == CUT and properties["netvm"] == ("", False):
            await qubesd.put(qube.name, "property", "netvm", record["was"])
            return "back on its network"
    return "changed since the freeze, and left as it is"


def _record(root: Path, record: Record) -> None:
    """On the disk when this returns."""
    if record not in [one for _, one in stopped(root)]:
        Journal(root / STOPPED).open(record)


def _tags(sources: Sources, world: str) -> set[str]:
    return frozen.tags(sources.get(world, ()))


def _runs(qube: Qube) -> bool:
    return qube.state not in _HALTED
