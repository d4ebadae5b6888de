"""The state of one call, from its first byte to its outcome."""

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

_NOT_YET: Any = None  # the kernel sets these as the call advances
Lock = Callable[[Iterable[str]], AbstractAsyncContextManager[None]]


class Call:
    """The caller's world, the qubes in reach, and qubesd limited to the contract's methods. `judged`: the qubes that the kernel let the
    call use, as they were then. `checks`: conditions that must hold at the commit. `at_commit`: the actions of the commit.
    `require_same`: refuses if a person has changed one of these qubes meanwhile."""

    def __init__(self, lock: Lock, journal: Journal) -> None:
        self.identity = secrets.token_hex(8)
        self.principal: str = _NOT_YET
        self.service: str = _NOT_YET
        self.target: str = _NOT_YET
        self.argument: str = _NOT_YET
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
        # Of a plan: the step that this call carries out, or only whether a person's approval is taken for granted.
        self.step: Any = None
        self.approved = False
        self.plans: Any = _NOT_YET
        self.judge: Callable[..., Awaitable[str]] = _NOT_YET
        self.about: dict[str, Any] = {}  # further facts for the log
        self.asked = [0]  # requests to qubesd that the budget has not counted yet
        self.require_same: Callable[[], Awaitable[None]] = _NOT_YET
        self.lock, self._journal = lock, journal

    def facts(self) -> dict[str, Any]:
        """With the argument where it does not name the target: that is the qube the operator was asked about."""
        other = self.target != "dom0" and self.argument != self.target
        return (
            {
                "call": self.identity,
                "principal": self.principal,
                "world": self.world and self.world.name,
                "service": self.service,
                "target": self.target,
                "names": sorted(self.names),
            }
            | ({"argument": self.argument} if other else {})
            | self.about
        )

    def intend(
        self,
        name: str,
        undo: Sequence[Operation],
        leave: Sequence[Operation] = (),
        unborn: Sequence[str] | None = None,
        charge: Charge | None = None,
    ) -> None:
        """Journal an intent. If the call is not committed, qmcpd carries out `undo`, or `leave` on a qube that has left the world.
        `unborn`: for a birth, its stamp, and the tags that a finished birth has. `charge`: what the budget admitted."""
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
        """Replace the intent of a disposable without a name: qubesd has now chosen the name."""
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
