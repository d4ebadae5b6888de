"""A world's limits, and its usage. Usage is what qubesd says of the world's qubes. A call in progress counts with at least what it was
admitted with, so no order of calls exceeds a limit."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from spec import LIMITS, REFUSAL

from . import invariants
from .errors import Refused
from .journal import Intent
from .qubesd import Properties, Qubesd

# The window of each rate, in seconds.
RATES = {"calls_per_minute": 60, "creates_per_hour": 3600}


def _most(one: "Charge", other: "Charge") -> "Charge":
    return Charge(*map(max, one, other))


class Charge(NamedTuple):
    """What one qube uses: bytes of disk, MiB of memory. A disposable has no disk of its own; a removed qube keeps its disk."""

    qubes: int = 0
    disk: int = 0
    running: int = 0
    memory: int = 0
    vcpus: int = 0


def running(properties: Properties) -> Charge:
    """What a qube with these properties uses while it runs."""
    memory, most, vcpus = (
        int(properties.get(key, ("0",))[0] or 0) for key in ("memory", "maxmem", "vcpus")
    )
    return Charge(running=1, memory=max(memory, most), vcpus=vcpus)


def startable(properties: Properties, **changed: Any) -> bool:
    """Whether the platform starts a qube with these properties: its memory is at most its maxmem, of which 0 is no limit."""
    memory, most = (
        int(changed.get(key) or properties.get(key, ("0",))[0] or 0) for key in ("memory", "maxmem")
    )
    return not 0 < most < memory


def starting(properties: Properties) -> Charge:
    """What a start takes. The platform's refusal would not say why. With devices of the host, which take `hvm`, maxmem does not count."""
    if properties["virt_mode"][0] != "hvm" and not startable(properties):
        raise Refused(REFUSAL.conflict, "memory is more than maxmem")
    return running(properties)


class Names(Protocol):
    """A roster, or its equivalent in the operator's command."""

    world: Any

    async def names(self) -> list[str]: ...


class Budget:
    """The budget of one world. `roster` lists its qubes and has its current settings. `unfinished` returns `[(id, intent)]` of
    interrupted calls."""

    def __init__(
        self,
        host: Qubesd,
        roster: Names,
        unfinished: Callable[[], list[tuple[str, Intent]]] = list,
    ) -> None:
        self._host, self._roster, self._unfinished = host, roster, unfinished
        self._admitted: dict[str, Charge] = {}
        self._peaks: dict[str, Charge] = {}
        self._times: dict[str, deque[float]] = {line: deque() for line in RATES}
        self._calls = self.consecutive_rejections = 0  # rejections by the rate, in a row
        self._one_by_one = asyncio.Lock()

    @contextmanager
    def call(self) -> Iterator[None]:
        if self._calls >= self._roster.world.budget["concurrent_calls"]:
            # INVARIANT budget.hard
            raise Refused(REFUSAL.busy, "the world is at its limit: concurrent_calls")
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    def count(self, line: str) -> None:
        self.consecutive_rejections = (
            self.consecutive_rejections + 1 if line == "calls_per_minute" else 0
        )
        if self._counted(line) >= self._roster.world.budget[line]:
            # INVARIANT budget.hard
            raise Refused(REFUSAL.rate_limited, f"the world is at its limit: {line}")
        self.consecutive_rejections = 0
        self._times[line].append(time.monotonic())

    def charge(self, asked: list[int]) -> None:
        """Count a call again for every so many requests it made to qubesd, because all worlds share qubesd's time."""
        calls, asked[0] = divmod(asked[0], LIMITS.admin_calls)
        left = self._roster.world.budget["calls_per_minute"] - self._counted("calls_per_minute")
        self._times["calls_per_minute"].extend([time.monotonic()] * min(calls, left))

    def _counted(self, line: str) -> int:
        times = self._times[line]
        while times and times[0] <= time.monotonic() - RATES[line]:
            times.popleft()
        return len(times)

    async def admit(self, key: str, charge: Charge) -> None:
        """Reserve a charge for a qube until `release`, or refuse. `key` is the qube's name; before it has one, any other text."""
        async with self._one_by_one:
            usage = await self._usage()
            before = _total(usage)
            usage[key] = _most(usage.get(key, Charge()), charge)
            after, limits = _total(usage), self._roster.world.budget
            over = [
                line
                for line in Charge._fields
                if getattr(after, line) > max(limits[line], getattr(before, line))
            ]
            if over or charge.disk > limits["private_size"]:
                # INVARIANT budget.hard
                raise Refused(
                    REFUSAL.over_budget, f"over the limit: {', '.join(over) or 'private_size'}"
                )
            self._admitted[key] = usage[key]  # INVARIANT budget.hard

    def rename(self, key: str, name: str) -> None:
        self._admitted[name] = self._admitted.pop(key)

    def release(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._peaks[key] = self._admitted.pop(key, Charge())

    async def status(self) -> dict[str, dict[str, int]]:
        """The numbers that `admit` and `count` use: `{line: {used, limit, left}}`."""
        # INVARIANT budget.numbers-private
        used = _total(await self._usage())._asdict() | {line: self._counted(line) for line in RATES}
        used |= {"concurrent_calls": self._calls, "private_size": 0}
        return {
            line: {"used": used[line], "limit": limit, "left": max(limit - used[line], 0)}
            for line, limit in self._roster.world.budget.items()
        }

    async def _usage(self) -> dict[str, Charge]:
        """`{name: Charge}`. This reads the reserved charges first: a call that ends meanwhile then counts in one place or the other. An
        interrupted call keeps its charge as long as qubesd may still carry out its requests."""
        held = dict(self._admitted)
        for identity, intent in self._unfinished():
            if (
                intent["charge"] and intent["world"] == self._roster.world.name
            ):  # INVARIANT budget.hard
                key = intent["qube"] or identity
                held[key] = _most(held.get(key, Charge()), Charge(*intent["charge"]))
        usage = {name: await self._charge(name) for name in await self._roster.names()}
        self._peaks = {name: peak for name, peak in self._peaks.items() if name in usage}
        return usage | {
            key: _most(usage.get(key, Charge()), charge) for key, charge in held.items()
        }

    async def _charge(self, name: str) -> Charge:
        qube, up = await self._host.look(name), Charge()
        belongs = self._roster.world.membership(qube.klass, qube.tags).get("belongs")
        made = belongs and invariants.is_made_by(self._roster.world, qube)
        if not qube.klass or not (made or invariants.reach(self._roster.world, qube)):
            return Charge()
        if qube.state not in (
            "Halted",
            "Crashed",
        ):  # it keeps what it was started with, whatever its properties say since
            up = _most(running(await self._host.properties(name)), self._peaks.get(name, up))
        self._peaks[name] = up
        disk = (
            int((await self._host.volume(name))["size"]) if made and qube.klass != "DispVM" else 0
        )
        return up._replace(qubes=int(bool(made)), disk=disk)


def _total(usage: Mapping[str, Charge]) -> Charge:
    return Charge(*map(sum, zip(Charge(), *usage.values(), strict=True)))
