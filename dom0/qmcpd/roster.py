"""Where to look for a world's qubes, and what happens to them. This is a hint and never an authority: qmcpd looks at every qube named
here again. It follows the events, so that listing a world costs what the world has, whatever else the host has.

qmcpd removes tags that open a qube which is not the world's, as soon as it sees them: see membership.toml."""

import asyncio
import errno
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from settings.config import World
from spec import LIMITS, NAMES, TAGS

from .errors import say
from .journal import Journal
from .qubesd import ASKED, AdminError, Qube, Qubesd, Unreachable

METHODS = {
    "admin.Events",
    "admin.vm.List",
    "admin.vm.property.GetAll",
    "admin.vm.tag.List",
    "admin.vm.tag.Remove",
}

MADE_BY = TAGS["stamp"]["pattern"].partition("{")[0]


class Rosters(dict[str, "Roster"]):
    """A roster for each world, by name. No world shares one, so that no other world shows in what a call costs."""

    def __init__(self, host: Qubesd, journal: Journal) -> None:
        self._host, self._journal = host, journal
        self._following: set[asyncio.Task[None]] = set()

    def look_for(self, worlds: Iterable[World]) -> None:
        for world in worlds:
            if world.name not in self:
                self[world.name] = Roster(self._host, self._journal, world)
                self._following.add(asyncio.create_task(self[world.name].follow()))
            self[world.name].world = world


class Roster:
    def __init__(self, host: Qubesd, journal: Journal, world: World) -> None:
        self._host, self._journal, self.look, self.world = host, journal, host.look, world
        self.candidates: set[str] = set()
        self.foreign: set[str] = set()
        self._begun: set[str] = set()
        self._queues: set[asyncio.Queue[tuple[str, str]]] = set()
        self._looked_for: dict[str, frozenset[str]] | None = None
        self._caught_up = asyncio.Event()

    async def names(self) -> list[str]:
        """Every name that may belong to the world, sorted. Waits until the roster has followed all events."""
        try:
            async with asyncio.timeout(LIMITS.roster_seconds):
                while not self._caught_up.is_set():  # another event may have come meanwhile
                    await self._caught_up.wait()
        except TimeoutError as error:
            raise Unreachable(errno.ETIMEDOUT, "qubesd sends no events") from error
        if self._looked_for != self.world.kinds:  # the world has other tags now
            nobody = ASKED.set([0])  # no call pays for the number of qubes that the host has
            await self._look_around()
            ASKED.reset(nobody)
        return sorted(self.candidates)

    async def _look_around(self) -> None:
        kinds, begun = self.world.kinds, self._journal.births()
        for name in await self._host.list():
            qube = await self.look(name)
            if (await self._put_right(qube, begun)).get("belongs"):
                self.candidates.add(name)
            for tag in qube.tags:
                self._notice_maker(name, tag)
        self._looked_for = kinds

    def expect(self, name: str) -> None:
        """A birth makes it: until the last tag of the birth, its events are our own doing."""
        self.candidates.add(name)
        self._begun.add(name)

    async def _put_right(self, qube: Qube, begun: Collection[str] = ()) -> dict[str, Any]:
        """Remove the tags that open a qube which is not the world's; never add one. Returns what it is to the world: a row of
        membership.toml. A birth in progress is left alone: it ends by itself, in a qube of the world or in none."""
        row = self.world.membership(qube.klass, qube.tags)
        losing = frozenset[str]().union(*(self.world.kinds[kind] for kind in row.get("loses", ())))
        # The policy cannot ask for a tag and a class at once.
        # INVARIANT policy.closed
        losing |= self.world.kinds["updates"] if qube.klass != "TemplateVM" else frozenset()
        for tag in sorted(losing & qube.tags) if qube.name not in begun else ():
            say(f"{qube.name} is {row['is']}; removing {tag}")
            try:
                await self._host.untag(qube.address, tag)
            except AdminError as error:
                if error.kind != "QubesVMNotFoundError":  # a qube that is gone opens nothing
                    raise
        return row

    def _notice_maker(self, name: str, tag: str) -> None:
        """Add to `foreign` a qube that somebody outside the world made. A qube without such a tag may still become the world's."""
        if tag.startswith(MADE_BY) and tag not in self.world.stamps:
            self.foreign.add(name)

    @contextmanager
    def subscribed(self) -> Iterator[asyncio.Queue[tuple[str, str]]]:
        """A queue of `(name, event)` of the world's qubes, from now on."""
        queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(LIMITS.missed_events)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    async def follow(self) -> None:
        """Run for ever: subscribe, look once at every qube, then at those that change."""
        ASKED.set([0])  # the call that saw the new world first does not pay for this
        while True:
            try:
                await self._follow()
            except (OSError, AdminError, TimeoutError) as error:
                say(f"events: {error!r}; trying again")
            self._caught_up.clear()
            await asyncio.sleep(LIMITS.reconnect_seconds)

    async def _follow(self) -> None:
        async for subject, event in self._host.events():
            tag = event.partition(":")[2]
            watched = self.world.watched if subject in self.candidates else self.world.signs
            stays = event != "domain-delete"
            # An event that no agent hears of, and that changes nothing an agent sees, causes no request to qubesd.
            tells = event == "domain-delete" or event in NAMES.event or tag in self.world.meaningful
            if event == "connection-established":
                self._begun.clear()
                await self._look_around()
                self._caught_up.set()
            elif tag in watched and subject not in self._begun | self._journal.births():
                self._caught_up.clear()  # no call may use the roster until it is up to date
                stays = (await self._put_right(await self.look(subject))).get("belongs", False)
                self.candidates |= {subject} if stays else set()
                self._caught_up.set()
            if event.startswith("domain-tag-add:"):
                self._notice_maker(subject, tag)
            if subject in self.candidates and tells:
                for queue in self._queues:
                    if not queue.full():
                        queue.put_nowait((subject, event))
            if not stays:
                self.candidates.discard(subject)
            if event == "domain-delete":
                self.foreign.discard(subject)
            # A birth ends with its last tag, or with the deletion of the qube.
            if event == "domain-delete" or tag in {
                self.world.born,
                *self.world.kinds["disposable"],
            }:
                self._begun.discard(subject)
