"""What is known of one call, from its first byte to its outcome."""

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from settings.config import World
from settings.contracts import Contract

from .budget import Budget, Charge
from .journal import Intent, Journal, Operation
from .qubesd import Qube, Qubesd
from .roster import Roster

_NOT_YET: Any = None  # what the kernel finds out as the call goes on
Lock = Callable[[Iterable[str]], AbstractAsyncContextManager[None]]


class Call:
    """The caller's world, the qubes in reach, and qubesd cut down to the contract's methods. `judged`: the qubes that the call was let
    have, as they were then. `checks`: what has to hold at the end, and `at_commit`: what is done then. `require_same`: refuses when a person has changed one
    of these qubes meanwhile."""

    def __init__(self, lock: Lock, journal: Journal) -> None:
        self.identity = secrets.token_hex(8)
        self.principal: str = _NOT_YET
        self.service: str = _NOT_YET
        self.target: str = _NOT_YET
        self.world: World = _NOT_YET
        self.contract: Contract = _NOT_YET
        self.host: Qubesd = _NOT_YET
        self.budget: Budget = _NOT_YET
        self.roster: Roster = _NOT_YET
        self.names: set[str] = set()
        self.qubes: dict[str, Qube] = {}
        self.judged: dict[str, Qube] = {}
        self.intents: dict[str, Intent] = {}
        self.admitted: set[str] = set()
        self.checks: list[Callable[[], Awaitable[object]]] = []
        self.at_commit: list[Callable[[], Awaitable[object]]] = []
        self.begun = False
        self.asked = [0]  # calls of qubesd, since the budget was charged with them
        self.require_same: Callable[[], Awaitable[None]] = _NOT_YET
        self.lock, self._journal = lock, journal

    def facts(self) -> dict[str, Any]:
        return {
            "call": self.identity,
            "principal": self.principal,
            "world": self.world and self.world.name,
            "service": self.service,
            "target": self.target,
            "names": sorted(self.names),
        }

    def intend(
        self,
        name: str,
        undo: Sequence[Operation],
        leave: Sequence[Operation] = (),
        unborn: Sequence[str] | None = None,
        charge: Charge | None = None,
    ) -> None:
        """Journal an intent: `undo` is done if the call is not committed, `leave` instead on a qube that is not of the world any
        more. `unborn`, of a birth: its stamp, and the marks of a birth that is finished. `charge`: what it was admitted with."""
        intent = {
            "call": self.identity,
            "world": self.world.name,
            "umbrella": self.world.umbrella,
            "qube": name,
            "uuid": self.judged[name].uuid if name in self.judged else "",
            "undo": undo,
            "leave": leave,
            "unborn": unborn,
            "charge": charge,
            "when": int(time.time()),
        }
        self.intents[self._journal.open(intent)] = intent

    def assign_name(self, name: str, undo: Sequence[Operation], unborn: Sequence[str]) -> None:
        """A disposable has no name until qubesd says it."""
        nameless = [one for one, intent in self.intents.items() if unborn == intent["unborn"]]
        self.intend(name, undo, unborn=unborn)
        for identity in nameless:
            del self.intents[identity]
            self._journal.close(identity)
        self.budget.rename(self.identity, name)
        self.admitted.add(name)
        self.names.add(name)

    async def admit(self, key: str, charge: Charge, birth: bool = False) -> None:
        if birth:
            self.budget.count("creates_per_hour")
        self.admitted.add(key)
        await self.budget.admit(key, charge)
        self.intend("" if key == self.identity else key, [], charge=charge)
