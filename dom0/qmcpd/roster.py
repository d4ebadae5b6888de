"""Where to look for a world's qubes. A hint and never an authority: whoever is named here is looked at afresh, and whoever is
not is only not listed. It is kept from events, so that listing a world costs what the world has, whatever else the host has."""

import asyncio
import sys

from .qubesd import AdminError
from .steps import tags_of

METHODS = {"admin.Events", "admin.vm.List", "admin.vm.tag.List"}
RETRY = 1  # seconds


class Roster:
    def __init__(self, qubesd, umbrellas):
        self._qubesd = qubesd
        self._umbrellas = frozenset(umbrellas)
        self._names = set()
        self._whole = asyncio.Event()

    def add(self, name):
        self._names.add(name)

    async def names(self):
        """Every name that may carry an umbrella, sorted. Waits while the events are interrupted."""
        async with asyncio.timeout(10):
            await self._whole.wait()
        return sorted(self._names)

    def discard(self, name):
        self._names.discard(name)

    async def follow(self):
        """For ever: subscribe, look once at everything there is, then at what changes."""
        while True:
            try:
                await self._follow()
            except (OSError, AdminError, TimeoutError) as error:
                print(f"qmcpd: events: {error!r}; trying again", file=sys.stderr, flush=True)
            self._whole.clear()
            await asyncio.sleep(RETRY)

    async def _follow(self):
        async for subject, event in self._qubesd.events():
            if event == "connection-established":
                for name in await self._qubesd.list():
                    if self._umbrellas & await tags_of(self._qubesd, name):
                        self.add(name)
                self._whole.set()
            elif event.removeprefix("domain-tag-add:") in self._umbrellas:
                self.add(subject)
