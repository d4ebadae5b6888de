"""Where to look for a world's qubes, and what happens to them. A hint and never an authority: whoever is named here is looked at
afresh. It is kept from events, so that listing a world costs what the world has, whatever else the host has."""

import asyncio
import sys
from contextlib import contextmanager

from spec import LIMITS

from .qubesd import AdminError

METHODS = {"admin.Events", "admin.vm.List", "admin.vm.tag.List"}


class Rosters(dict):
    """By the world's name: each world's is its own, so that no other world shows in what it costs."""

    def __init__(self, host):
        self._host, self._following = host, set()

    def look_for(self, worlds):
        for world in worlds:
            if world.name not in self:
                self[world.name] = Roster(self._host)
                self._following.add(asyncio.create_task(self[world.name].follow()))
            self[world.name].marks, self[world.name].signs = world.marks, world.signs


class Roster:
    def __init__(self, host):
        self._host, self.marks, self.signs = host, frozenset(), frozenset()
        self.known, self._queues = set(), set()
        self._looked_for, self._connected = None, asyncio.Event()

    async def names(self):
        """Every name that may be of a world, sorted. Waits while the events are interrupted."""
        async with asyncio.timeout(LIMITS.roster_seconds):
            await self._connected.wait()
        if self._looked_for != self.marks:  # what to look for has changed
            await self._look()
        return sorted(self.known)

    async def _look(self):
        marks = self.marks
        for name, (klass, _) in (await self._host.list()).items():
            sought = (
                self.signs - marks if klass == "DispVM" else marks
            )  # one of anybody's has every tag of its template
            if sought & (await self._host.tags(name) or frozenset()):
                self.known.add(name)
        self._looked_for = marks

    @contextmanager
    def subscribed(self):
        """A queue of `(name, event)` of those, from now on."""
        queue = asyncio.Queue(LIMITS.missed_events)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    async def follow(self):
        """For ever: subscribe, look once at everything there is, then at what changes."""
        while True:
            try:
                await self._follow()
            except (OSError, AdminError, TimeoutError) as error:
                print(f"qmcpd: events: {error!r}; trying again", file=sys.stderr, flush=True)
            self._connected.clear()
            await asyncio.sleep(LIMITS.reconnect_seconds)

    async def _follow(self):
        async for subject, event in self._host.events():
            if event == "connection-established":
                await self._look()
                self._connected.set()
            elif event.removeprefix("domain-tag-add:") in self.signs:
                self.known.add(subject)
            if subject in self.known:
                for queue in self._queues:
                    if not queue.full():
                        queue.put_nowait((subject, event))
            if event == "domain-delete":
                self.known.discard(subject)
