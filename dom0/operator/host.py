"""What every command needs of the host: the worlds in qmcp.toml, and their qubes in qubesd."""

import asyncio
import os
import time
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from answer import near, stop
from qmcpd.qubesd import AdminError, Qube, Qubesd
from settings import config
from spec import FEATURE

T = TypeVar("T")
Worlds = dict[str, config.World]
CONFIG, CONTRACTS, FROZEN = "etc/qmcp/qmcp.toml", "etc/qmcp/contracts", "var/lib/qmcp/frozen"
EVERY_WORLD = "all"
# The links' target is relative to their folder, so that it holds under any root.
SOCKET_OF_QUBESD = "run/qubesd.sock"
LINKS, SOCKET = "etc/qubes-rpc", "../../run/qmcp/qmcpd.sock"


class Member(NamedTuple):
    """A qube of a world, or a tombstone of it: `when` it was removed, in seconds since the epoch."""

    name: str
    world: config.World
    klass: str
    state: str
    tags: frozenset[str]
    when: int | None

    def removed(self) -> bool:
        return self.world.membership(self.klass, self.tags)["is"] == "tombstone"

    def tier(self) -> str:
        """What an agent may do with it, or what it is instead; of a removed one, what it would get back."""
        left = self.tags - {self.world.tombstone}
        return self.world.reach(self.klass, left) or self.world.membership(self.klass, left)["is"]

    def kept_too_long(self) -> bool:
        return self.removed() and (
            self.when is None or time.time() > self.when + self.world.tombstone_days * 86400
        )


def switches(world: config.World) -> dict[str, str]:
    return {
        "guard": world.guard,
        "egress-lock": world.egress_lock,
        "sink": world.sink,
        "source": world.source,
        "updates": world.tag("updates"),
    }


def switched_on(world: config.World, tags: Iterable[str]) -> list[str]:
    return [switch for switch, tag in switches(world).items() if tag in tags]


def read_worlds(root: Path, name: str | None = None, path: Path | None = None) -> Worlds:
    """The worlds by name; only this one if a name is given."""
    try:
        worlds = config.load(path or root / CONFIG).worlds
    except config.Misconfigured as problem:
        stop(f"{problem}; qmcp-admin check shows the line")
    if name not in (None, EVERY_WORLD, *worlds):
        stop(f"there is no world {name}; there are {', '.join(worlds)}{near(name or '', worlds)}")
    return worlds if name in (None, EVERY_WORLD) else {name: worlds[name]}


def open_qubesd(root: Path) -> Qubesd:
    return Qubesd(str(root / SOCKET_OF_QUBESD))


def run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except AdminError as refused:
        stop(f"qubesd refused: {refused}")


async def members(qubesd: Qubesd, worlds: Worlds) -> list[Member]:
    """Every Member, sorted by name."""
    found = []
    for name in sorted(await qubesd.list()):
        qube = await qubesd.look(name)
        for world in worlds.values():
            if world.membership(qube.klass, qube.tags).get("belongs"):
                when = await entombed(qubesd, name)
                found.append(Member(name, world, qube.klass, qube.state, qube.tags, when))
    return found


async def strays(qubesd: Qubesd, worlds: Worlds) -> list[tuple[str, str, list[str]]]:
    """`(name, what it is to a world, the tags)` of every qube that has tags of a world and is not the world's."""
    found = []
    for name in sorted(await qubesd.list()):
        qube = await qubesd.look(name)
        for world in worlds.values():
            row = world.membership(qube.klass, qube.tags)
            losing = frozenset().union(*(world.kinds[kind] for kind in row.get("loses", ())))
            wrong = qube.tags & (losing if row["is"] == "half-born" else world.own)
            if losing and wrong:
                found.append((name, row["is"], sorted(wrong)))
    return found


async def tagged(qubesd: Qubesd, tags: set[str]) -> list[Qube]:
    """The qubes that have one of these tags."""
    qubes = [await qubesd.look(name) for name in sorted(await qubesd.list())]
    return [qube for qube in qubes if qube.tags & tags]


async def entombed(qubesd: Qubesd, name: str) -> int | None:
    when = await qubesd.get(name, "feature", FEATURE.entombed) or ""
    return int(when) if when.isdecimal() else None


def instant(seconds: float | None) -> str | None:
    """As --json says it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else None


def clock(seconds: float | None, form: str = "%Y-%m-%d %H:%M") -> str:
    return time.strftime(form, time.localtime(seconds)) if seconds else ""


def write(path: Path, text: str, like: bool = False) -> None:
    """Replace the file atomically; `like`: with the same owner, group and mode. Nothing reads a file with the draft's suffix."""
    draft = path.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o644)  # whatever the umask is: the policy daemon and qmcpd are not root
    if like:
        was = path.stat()
        os.chown(draft, was.st_uid, was.st_gid)
        draft.chmod(was.st_mode)
    os.replace(draft, path)
