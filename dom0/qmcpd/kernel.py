"""The only path from an agent's bytes to an effect. `Kernel._answer` reads top to bottom as the story of a call.

Order matters twice: authority is decided before any feedback about values that depends on the host, and the intent is on
the disk before the first effect.
"""

import asyncio
import time
import weakref
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

from settings import contracts
from settings.contracts import Contract, Use
from settings.current import Settings
from spec import LIMITS, REFUSAL, SERVICE, STEPS, TYPES

from . import effects, invariants, schema, steps, wire
from .audit import AuditLog
from .budget import Budget
from .call import Call
from .errors import Refused, say
from .journal import Intent, Journal
from .qubesd import ASKED, Qubesd
from .roster import Rosters

Uses = list[tuple[str, Use]]
Parameters = dict[str, Any]
Step = dict[str, Any]

SETTLE_METHODS = frozenset({"admin.vm.Kill", "admin.vm.Remove"}).union(
    *(step["methods"] for step in STEPS.values())
)

# Of all callers together that are no principals: lines of the audit log.
_LINES = {"calls_per_minute": LIMITS.unknown_callers_per_minute}
UNKNOWN_CALLERS: Any = SimpleNamespace(world=SimpleNamespace(budget=_LINES))


class Kernel:
    def __init__(
        self,
        settings: Settings,
        qubesd: Qubesd,
        rosters: Rosters,
        journal: Journal,
        audit: AuditLog,
    ) -> None:
        self.settings, self.qubesd, self.rosters, self.journal, self.audit = (
            settings,
            qubesd,
            rosters,
            journal,
            audit,
        )
        self._qubesd = qubesd.limited(SETTLE_METHODS)
        self._unknown_callers = Budget(self._qubesd, UNKNOWN_CALLERS)
        self._last_turn: defaultdict[str, float] = defaultdict(float)
        self._budgets: dict[str, Budget] = {}
        # A lock lives while somebody holds or awaits it.
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def source(self, untrusted_header: bytes) -> str:
        """The principal for whom a call counts; empty for every caller that is none."""
        try:
            caller = wire.parse_descriptor(untrusted_header)[1]
        except Refused:
            return ""
        return caller if self.settings.config.world_of(caller) else ""

    async def answer(
        self, untrusted_header: bytes, untrusted_payload: bytes | None
    ) -> AsyncGenerator[bytes, None]:
        """The whole of a call: bytes in, one line out, or a line an event."""
        call = Call(self.locked, self.journal)
        try:
            async for result in self._answer(call, untrusted_header, untrusted_payload):
                yield wire.reply(result)
        except Exception as error:
            refused = (
                error
                if isinstance(error, Refused)
                else Refused(REFUSAL.failed, "the journal of qmcpd has the reason")
            )
            if refused is not error:  # nothing anybody foresaw: what it was is for the operator
                say(f"call {call.identity}: {type(error).__name__}: {error}")
            self._refuse(call, refused)
            if call.world is None or (refused.code == REFUSAL.rate_limited and not call.begun):
                await self._pace(call.principal if call.world else "")
            yield wire.refusal(refused)
        except asyncio.CancelledError:  # we are being stopped
            self._refuse(call, Refused(REFUSAL.failed, "qmcpd was stopped"))
            raise

    async def _answer(
        self, call: Call, untrusted_header: bytes, untrusted_payload: bytes | None
    ) -> AsyncIterator[Any]:
        self._identify(call, untrusted_header)
        if untrusted_payload is None:
            raise Refused(REFUSAL.busy, "the caller did not end its request in time")
        self._require_thawed(call)

        # What do they ask for, and is it well formed?
        untrusted_params = wire.parse_json(untrusted_payload)
        if call.service != SERVICE.catalog:
            call.contract = self._contract(call)
        params = schema.check(
            call.contract.params if call.contract else contracts.NOTHING, untrusted_params
        )

        with call.budget.call():
            if call.service == SERVICE.catalog:
                result = self.settings.catalog(call.world, call.principal)
            else:
                try:
                    uses, known = self._uses(call, params), await call.roster.names()
                    # a name the world does not know is held as well, for what that takes, and apart from who has it elsewhere
                    changed = {
                        name if use.kind == "new" or name in known else f"{name}?{call.world.name}"
                        for name, use in uses
                        if use.changes
                    }
                    async with self.locked(changed if call.contract.changes else ()):
                        await self._reach(call, uses, known)
                        if STEPS[call.contract.steps[0]["do"]].get("streams"):
                            async for event in self._step(call, params, call.contract.steps[0]):
                                self._require_thawed(call)
                                call.budget.charge(call.asked)
                                yield self._promised(call, event)
                            return
                        result = await (self._change if call.contract.changes else self._run)(
                            call, params
                        )
                finally:
                    call.budget.release(call.admitted)
                    call.budget.charge(call.asked)
        yield result

    def _identify(self, call: Call, untrusted_header: bytes) -> None:
        """Who is calling, in which world? Counts the call, whatever it is: a refusal is a line of the audit log too."""
        call.service, call.principal, call.target = wire.parse_descriptor(untrusted_header)
        self.settings.refresh()
        world = self.settings.config.world_of(call.principal)
        if world is None:
            raise Refused(REFUSAL.not_found, "the caller is not a principal")
        call.world, call.roster = world, self.rosters[world.name]
        call.budget = self._budget(world.name)
        call.budget.count("calls_per_minute")
        ASKED.set(call.asked)

    def _budget(self, world: str) -> Budget:
        if world not in self._budgets:
            unfinished = self.journal.unfinished
            self._budgets[world] = Budget(self._qubesd, self.rosters[world], unfinished)
        return self._budgets[world]

    def _require_thawed(self, call: Call) -> None:
        """Asked at the door, before every step and before the commit: a call may wait long, and work long."""
        if self.settings.frozen(call.world.name):
            # INVARIANT frozen.means-frozen
            raise Refused(REFUSAL.frozen, "the operator has frozen the world")
        self.settings.refresh()
        world = self.settings.config.world_of(call.principal)
        if world is None or world.table != call.world.table:
            raise Refused(REFUSAL.busy, "the operator has changed the world meanwhile")
        call.world = world  # by what the operator says of other worlds, it is judged from now on

    def _contract(self, call: Call) -> Contract:
        contract = self.settings.contracts.get(call.service)
        if (
            contract is None
            or contract.route != "dom0"
            or contract.plugin not in call.world.principals[call.principal]
            or (contract.target is None) != (call.target == "dom0")
        ):
            raise Refused(REFUSAL.not_found, "the principal may not call this service in this way")
        return contract

    def _uses(self, call: Call, params: Parameters) -> Uses:
        """`[(name, what becomes of it)]`, the names judged by shape, before anything is looked up. The log has refused names, too."""
        uses = [
            (_given(call, params, reference), use) for reference, use in call.contract.uses.items()
        ]
        named = {name[: LIMITS.report_value] for name, _ in uses if isinstance(name, str)}
        call.names = named - {call.target}
        for name, use in uses:
            if use.kind == "new":
                invariants.require_namespace(call.world, name)
            elif not schema.fits(TYPES["qube_name"], name):
                raise Refused(REFUSAL.invalid_request, "no qube can have that name")
        return uses

    @asynccontextmanager
    async def locked(self, names: Iterable[str]) -> AsyncIterator[None]:
        """One change of a qube at a time. A world waits for names of its own only, so that waiting tells of no other."""
        async with AsyncExitStack() as held:
            for name in sorted(names):
                await held.enter_async_context(self._locks.setdefault(name, asyncio.Lock()))
            yield

    async def _reach(self, call: Call, uses: Uses, known: list[str]) -> None:
        """May they have it? One look-up for every name asked about, and always of a qube that is there: of one that is not,
        qubesd says so sooner."""
        call.host = self.qubesd.limited(call.contract.calls)
        for name, use in uses:
            if use.kind != "new":
                # INVARIANT scope.existence-hidden
                qube = await call.roster.look(name if name in known else call.principal)
                if use.kind == "removed":
                    invariants.require_tombstone(call.world, qube, name in known)
                else:
                    source = use.kind == "source"
                    invariants.require_reach(call.world, qube, use.tier, name in known, source)
                call.qubes[name] = call.judged[name] = qube
                call.host.pin(qube)

    async def _require_same(self, call: Call) -> None:
        """Every qube the call was let have, read again: what it was let have it by has to hold until it is over."""
        for check in call.checks:
            await check()
        for name, then in call.judged.items():
            now = await call.host.look(name)
            ended = then.klass == "DispVM" and not now.klass
            if not ended and invariants.standing(call.world, now) != invariants.standing(
                call.world, then
            ):
                # INVARIANT tiers.no-escalation
                raise Refused(REFUSAL.busy, f"the operator has changed {name} meanwhile")

    def _arguments(self, call: Call, params: Parameters, entry: Step) -> dict[str, Any]:
        """What a step is handed, checked by what the kernel says of it: the contract may be wider."""
        step, arguments = STEPS[entry["do"]], {}
        for argument, kind in step["arguments"].items():
            argument = argument.rstrip("?")
            value = entry["with"].get(argument, "$")
            given = _given(call, params, value)
            if isinstance(kind, list):
                arguments[argument] = value
            elif kind in ("qube", "source", "removed"):
                qube = arguments[argument] = call.qubes[given]
                if kind != "removed":  # said once more for a qube that this very call has made
                    invariants.require_reach(call.world, qube, step["tier"], True, kind == "source")
            elif given is not None:
                arguments[argument] = given if kind == "new" else schema.check(TYPES[kind], given)
        return arguments

    def _step(self, call: Call, params: Parameters, entry: Step) -> Any:
        self._require_thawed(call)
        return steps.RUN[entry["do"]](call, **self._arguments(call, params, entry))

    def _promised(self, call: Call, result: Any) -> Any:
        if not schema.fits(call.contract.reply, result):
            raise ValueError("the reply does not fit the contract")
        return result

    async def _run(self, call: Call, params: Parameters) -> Any:
        """The steps, in order; the reply is what they return together."""
        result = {}
        for entry in call.contract.steps:
            if "when" not in entry or params.get(entry["when"][1:], False):
                result |= await self._step(call, params, entry) or {}
        return self._promised(call, result)

    async def _change(self, call: Call, params: Parameters) -> Any:
        """Intent, effect, commit; or everything put right."""
        self.audit.append("intent", durable=True, **call.facts())  # INVARIANT audit.complete
        call.begun, call.require_same = True, lambda: self._require_same(call)
        try:
            result = await self._run(call, params)
            await self._require_same(call)
            self._require_thawed(call)
            for finish in call.at_commit:
                await finish()
            for identity in call.intents:
                self.journal.close(identity)
        except BaseException as error:
            in_doubt = call.host.unanswered > 0
            settled = [
                await self._settle(identity, intent, in_doubt)
                for identity, intent in reversed(call.intents.items())
            ]
            if not all(settled):
                raise Refused(
                    REFUSAL.failed, "a change could not be undone", unfinished=True
                ) from error
            raise
        finally:
            self.journal.release(call.intents)
        self.audit.append("outcome", code="ok", **call.facts())
        return result

    async def _pace(self, source: str) -> None:
        """Refusals that no budget counts cost dom0 time. After a first rush, each waits for its turn."""
        now = asyncio.get_running_loop().time()
        last = max(self._last_turn[source], now - LIMITS.refusal_rush_seconds)
        self._last_turn[source] = last + 1 / LIMITS.refusals_per_second
        if self._last_turn[source] > now:
            await asyncio.sleep(self._last_turn[source] - now)

    def _refuse(self, call: Call, refused: Refused) -> None:
        code, budget = refused.code, call.budget
        if call.world is None:
            budget = self._unknown_callers
            try:
                budget.count("calls_per_minute")
            except Refused as full:
                code = full.code  # in the log alone: the caller hears what every other does
        if code == REFUSAL.rate_limited and not call.begun and budget.consecutive_rejections > 1:
            return  # the first of a row is written: a flood of calls is none of lines
        try:
            self.audit.append(
                "outcome" if call.begun else "refusal", code=code, why=refused.why, **call.facts()
            )
        except OSError as error:
            say(f"audit log: {error}")

    # ---- what was cut off in the middle

    async def retry_unfinished(self) -> None:
        """For ever: what could not be settled, or what a birth may still leave, is looked at again."""
        while True:
            await asyncio.sleep(LIMITS.retry_seconds)
            await self.settle_unfinished()

    async def settle_unfinished(self) -> None:
        for identity, intent in self.journal.unfinished():
            async with self.locked(filter(None, [intent["qube"]])):
                await self._settle(identity, intent, in_doubt=True)

    async def _settle(self, identity: str, intent: Intent, in_doubt: bool) -> bool:
        """Undo. False when that failed; the intent stays in the journal then. It stays, too, as long as qubesd may still carry out
        what it was asked: it does so when nobody waits for the answer any more."""
        stamp = (intent["unborn"] or [None])[0]
        try:
            named = intent["qube"] or not stamp
            async with self.locked([] if named else [f"?{stamp}"]):
                names = [intent["qube"]] if named else await self._nameless(intent["world"])
                host = self._qubesd.limited(SETTLE_METHODS)
                there, kept = await effects.settle(host, intent, names)
                for words in kept:
                    self.audit.append(
                        "kept",
                        words=words,
                        **{fact: intent[fact] for fact in ("call", "world")},
                        target=intent["qube"],
                    )
                waits = (stamp and not there) or intent["charge"]
                late = time.time() - intent["when"] <= LIMITS.late_seconds
                if not (in_doubt and waits and late):
                    self.journal.close(identity)
            return True
        except Exception as error:
            say(f"cannot undo a change of {intent['qube'] or 'a disposable'}: {error!r}")
            return False

    async def _nameless(self, world: str) -> list[str]:
        """Disposables nobody knows the name of are among these. How many others the host has shows in no time."""
        roster = self.rosters.get(world)
        known = self.journal.names() | (roster.foreign if roster else set())
        return [
            name
            for name, (klass, _) in (await self._qubesd.list()).items()
            if klass == "DispVM" and name not in known
        ]


def _given(call: Call, params: Parameters, reference: str) -> Any:
    return call.target if reference == "$target" else params.get(reference[1:])
