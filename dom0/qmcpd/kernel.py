"""The only path from an agent's bytes to an effect. Read `Kernel._answer` from top to bottom: it is the course of a call.

Order matters twice: the kernel decides about authority before it says anything that depends on the host, and the disk has the intent
before the first effect.
"""

import asyncio
import time
import weakref
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

from settings import contracts
from settings.contracts import Contract, Use
from settings.current import Settings
from spec import LIMITS, NAMES, REFUSAL, SERVICE, STEPS, TYPES

from . import effects, invariants, messages, schema, steps
from .audit import AuditLog
from .budget import Budget
from .call import Call
from .errors import Refused, say
from .journal import Intent, Journal
from .plans import ALLOWED, DONE, FAILED, NEEDS_APPROVAL, Plans, Step, inside
from .qubesd import ASKED, Qubesd, Unreachable
from .roster import Rosters

Uses = list[tuple[str, Use]]
Parameters = dict[str, Any]
Entry = dict[str, Any]

SETTLE_METHODS = frozenset({"admin.vm.Kill", "admin.vm.Remove"}).union(
    *(step["methods"] for step in STEPS.values())
)

# Callers that are not principals share one rate, which limits their lines in the audit log.
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
        plans: Plans,
    ) -> None:
        self.settings, self.qubesd, self.rosters, self.journal, self.audit = (
            settings,
            qubesd,
            rosters,
            journal,
            audit,
        )
        self.is_open = True
        # The handles of the intents for which qubesd may still carry out a request.
        self._in_doubt: dict[str, Qubesd] = {}
        self.plans, self._qubesd = plans, qubesd.limited(SETTLE_METHODS)
        self._unknown_callers = Budget(self._qubesd, UNKNOWN_CALLERS)
        self._last_turn: defaultdict[str, float] = defaultdict(float)
        self._budgets: dict[str, Budget] = {}
        # A lock exists only while somebody holds it or waits for it.
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def source(self, untrusted_header: bytes) -> str:
        """The principal whose share a call counts against; empty for a caller that is not a principal."""
        try:
            caller = messages.parse_descriptor(untrusted_header)[2]
        except Refused:
            return ""
        return caller if self.settings.config.world_of(caller) else ""

    async def answer(
        self, untrusted_header: bytes, untrusted_payload: bytes | None
    ) -> AsyncGenerator[bytes, None]:
        """Answer one call: bytes in, one line out, or one line for each event."""
        call = Call(self.locked, self.journal)
        try:
            async for result in self._answer(call, untrusted_header, untrusted_payload):
                yield messages.reply(result)
        except Exception as error:
            refused = (
                error
                if isinstance(error, Refused)
                else Refused(
                    REFUSAL.busy if isinstance(error, Unreachable) else REFUSAL.failed,
                    "the journal of qmcpd has the reason",
                )
            )
            if refused is not error:  # unexpected: only the operator learns what it was
                say(f"call {call.identity}: {type(error).__name__}: {error}")
            self._refuse(call, refused)
            if call.world is None or (refused.code == REFUSAL.rate_limited and not call.begun):
                await self._pace(call.principal if call.world else "")
            yield messages.refusal(refused)
        except asyncio.CancelledError:  # qmcpd stops, or the caller has left
            self._refuse(call, Refused(REFUSAL.failed, "qmcpd was stopped"))
            raise

    async def _answer(
        self, call: Call, untrusted_header: bytes, untrusted_payload: bytes | None
    ) -> AsyncIterator[Any]:
        self._identify(call, untrusted_header)
        if not self.is_open:
            raise Refused(REFUSAL.busy, "qmcpd starts, and is not ready yet")
        if untrusted_payload is None:
            raise Refused(REFUSAL.busy, "the caller did not end its request in time")
        self._require_thawed(call)

        # What does the caller ask for, and is the request well formed?
        untrusted_params = messages.parse_json(untrusted_payload)
        if call.service != SERVICE.catalog:
            call.contract = self._contract(call)
        params = schema.check(
            call.contract.params if call.contract else contracts.NOTHING, untrusted_params
        )
        if call.contract and STEPS[call.contract.steps[0]["do"]].get("replaces"):
            params = self._step_of_plan(call, params)

        with call.budget.call():
            if call.service == SERVICE.catalog:
                result = self.settings.catalog(call.world, call.principal)
            else:
                try:
                    uses, listed = self._uses(call, params), await self._listed(call)
                    # Lock unknown names too, so that they cost the same; per world, so that no other world shows.
                    changed = {
                        name if use.kind == "new" or name in listed else f"{name}?{call.world.name}"
                        for name, use in uses
                        if use.changes
                    }
                    async with self.locked(changed if call.contract.changes else ()):
                        await self._reach(call, uses, listed)
                        if STEPS[call.contract.steps[0]["do"]].get("streams"):
                            async for event in self._step(call, params, call.contract.steps[0]):
                                self._require_thawed(call)
                                call.budget.charge(call.asked)
                                yield self._promised(call, event)
                            return
                        result = await (self._approved if call.step else self._carry_out)(
                            call, params
                        )
                finally:
                    call.budget.release(call.admitted)
                    call.budget.charge(call.asked)
        yield result

    def _identify(self, call: Call, untrusted_header: bytes) -> None:
        """Who is calling, and in which world? Every call counts, because a refusal is a line in the audit log too."""
        call.service, call.argument, call.principal, call.target = messages.parse_descriptor(
            untrusted_header
        )
        self.settings.refresh()
        world = self.settings.config.world_of(call.principal)
        if world is None:
            raise Refused(REFUSAL.not_found, "the caller is not a principal")
        call.world, call.roster = world, self.rosters[world.name]
        call.budget = self._budget(world.name)
        call.budget.count("calls_per_minute")
        call.plans, call.judge = self.plans, partial(self._judge, call)
        ASKED.set(call.asked)

    def _budget(self, world: str) -> Budget:
        if world not in self._budgets:
            unfinished = self.journal.unfinished
            self._budgets[world] = Budget(self._qubesd, self.rosters[world], unfinished)
        return self._budgets[world]

    def _require_thawed(self, call: Call) -> None:
        """Refuse if the operator has frozen or changed the world. Checked at the start, before every step and before the commit."""
        if self.settings.frozen(call.world.name):
            # INVARIANT frozen.means-frozen
            raise Refused(REFUSAL.frozen, "the operator has frozen the world")
        self.settings.refresh()
        world = self.settings.config.world_of(call.principal)
        if world is None or world.table != call.world.table:
            raise Refused(REFUSAL.busy, "the operator has changed the world meanwhile")
        call.world = world  # the other worlds may have changed: judge the call by them from now on

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
        """`[(name, how the steps use it)]`. Checks the shape of the names before any look at the host. The log gets refused names too."""
        uses = [
            (_given(call, params, reference), use) for reference, use in call.contract.uses.items()
        ]
        if call.service == SERVICE.approved:
            contract = self.settings.contracts[SERVICE.approved]
            uses = [(call.target, Use("qube", contract.target["capability"], True))]
        named = {name[: LIMITS.report_value] for name, _ in uses if isinstance(name, str)}
        call.names = named - {call.target}
        for name, use in uses:
            if use.kind == "new":
                invariants.require_namespace(call.world, name)
            elif not schema.fits(TYPES["qube_name"], name):
                raise Refused(REFUSAL.invalid_request, "no qube can have that name")
        return uses

    async def _listed(self, call: Call) -> set[str]:
        """The names in the caller's world. The operator is asked about the name in a call's argument, so a call on another qube is
        answered as if that qube were missing."""
        listed = set(await call.roster.names())
        return listed - ({call.target} - {call.argument})  # INVARIANT consent.names-the-qube

    @asynccontextmanager
    async def locked(self, names: Iterable[str]) -> AsyncIterator[None]:
        """Allow one change of a qube at a time. A world waits only for its own names, so waiting tells nothing of another world."""
        async with AsyncExitStack() as held:
            for name in sorted(names):
                await held.enter_async_context(self._locks.setdefault(name, asyncio.Lock()))
            yield

    async def _reach(self, call: Call, uses: Uses, listed: set[str]) -> None:
        """May the caller use these qubes? Every name costs one look at a qube that exists, because qubesd answers sooner about a
        qube that does not."""
        call.host = self.qubesd.limited(call.contract.calls)
        for name, use in uses:
            if use.kind != "new":
                # INVARIANT scope.existence-hidden
                qube = await call.roster.look(name if name in listed else call.principal)
                if use.kind == "removed":
                    invariants.require_tombstone(call.world, qube, name in listed)
                else:
                    source = use.kind == "source"
                    invariants.require_reach(
                        call.world, qube, use.tier, name in listed, source, call.approved
                    )
                if call.step:
                    call.step.require_identity(qube)
                call.qubes[name] = call.judged[name] = qube
                call.host.pin(qube)

    async def _require_same(self, call: Call) -> None:
        """Read every qube of the call again: the reasons for which it may use the qube must still hold."""
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

    def _arguments(self, call: Call, params: Parameters, entry: Entry) -> dict[str, Any]:
        """The arguments of a step. The kernel's own types apply to them, because a contract may allow more."""
        step, arguments = STEPS[entry["do"]], {}
        for argument, kind in step["arguments"].items():
            argument = argument.rstrip("?")
            value = entry["with"].get(argument, "$")
            given = _given(call, params, value)
            if isinstance(kind, list):
                arguments[argument] = value
            elif kind in ("qube", "source", "removed"):
                qube = arguments[argument] = call.qubes[given]
                if kind != "removed":  # again, for a qube that this very call has made
                    invariants.require_reach(
                        call.world, qube, step["tier"], True, kind == "source", call.approved
                    )
            elif given is not None:
                arguments[argument] = given if kind == "new" else schema.check(TYPES[kind], given)
        return arguments

    # ---- plans

    def _described(self, call: Call, step: Entry, params: Parameters) -> Parameters:
        """Make the call the one that a step of a plan describes. Returns its parameters; for a command in a qube, those it had."""
        call.service, call.target = (
            (SERVICE.approved, step["qube"])
            if inside(step)
            else (step["service"], step.get("target", "dom0"))
        )
        call.argument = call.target
        contract = self.settings.contracts.get(call.service)
        if inside(step) and contract and contract.plugin in call.world.principals[call.principal]:
            return params
        call.contract = self._contract(call)
        if any({"streams", "replaces"} & {*STEPS[one["do"]]} for one in call.contract.steps):
            raise Refused(REFUSAL.not_permitted, "no step of a plan may be such a call")
        return schema.check(call.contract.params, step["params"])

    def _step_of_plan(self, call: Call, params: Parameters) -> Parameters:
        """The call becomes the one that dom0's own copy of the plan describes. From here on it goes the way of every call."""
        given = self._arguments(call, params, call.contract.steps[0])
        call.step, call.approved = Step(self.plans, call, **given), True
        return self._described(call, call.step.described, params)

    async def _approved(self, call: Call, params: Parameters) -> Any:
        """Carry out a step of a plan: the disk has that it is begun before anything happens."""
        call.step.begin()
        call.checks.append(call.step.require_approval)
        is_inside = inside(call.step.described)
        try:
            result = await self._carry_out(call, params)
            new = [name for name, use in self._uses(call, params) if use.kind == "new"]
            born = {name: (await call.roster.look(name)).uuid for name in new}
        except BaseException:
            call.step.end(FAILED, {})
            raise
        if is_inside:
            return result  # begun, until the control qube says how it ended
        call.step.end(DONE, born)
        return {"result": messages.canonical(result).decode()}

    async def _judge(self, call: Call, step: Entry, made: set[str], found: Parameters) -> str:
        """What a step of a plan would meet now: a verdict, or the code of a refusal. `made`: names that earlier steps make. Adds to
        `found` how the qubes are now."""
        inner = Call(self.locked, self.journal)
        inner.principal, inner.world, inner.roster = call.principal, call.world, call.roster
        inner.contract, inner.approved, lacks = call.contract, True, False
        try:
            params = self._described(inner, step, {})
            uses = [one for one in self._uses(inner, params) if one[0] not in made]
            await self._reach(inner, uses, await self._listed(inner))
        except Refused as refused:
            return refused.code
        for name, use in uses:
            if use.kind == "new":
                made.add(name)
                continue
            qube = inner.qubes[name]
            properties = await self._qubesd.properties(name)
            found[name] = {
                "uuid": qube.uuid,
                "class": qube.klass,
                "tags": sorted(qube.tags),
                **{key: properties.get(key, ("",))[0] for key in NAMES.plan_properties},
            }
            try:
                invariants.require_reach(call.world, qube, use.tier, True, use.kind == "source")
            except Refused:
                lacks |= use.kind != "removed"
        return NEEDS_APPROVAL if lacks or inside(step) else ALLOWED

    async def _carry_out(self, call: Call, params: Parameters) -> Any:
        return await (self._change if call.contract.changes else self._run)(call, params)

    def _step(self, call: Call, params: Parameters, entry: Entry) -> Any:
        self._require_thawed(call)
        return steps.RUN[entry["do"]](call, **self._arguments(call, params, entry))

    def _promised(self, call: Call, result: Any) -> Any:
        if not schema.fits(call.contract.reply, result):
            raise ValueError("the reply does not fit the contract")
        return result

    async def _run(self, call: Call, params: Parameters) -> Any:
        """Run the steps in order; their results together are the reply."""
        result = {}
        for entry in call.contract.steps:
            if "when" not in entry or params.get(entry["when"][1:], False):
                result |= await self._step(call, params, entry) or {}
        return self._promised(call, result)

    async def _change(self, call: Call, params: Parameters) -> Any:
        """Write the intent, run the steps, commit. If anything fails, undo everything."""
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
            if call.host.unanswered:
                self._in_doubt.update(dict.fromkeys(call.intents, call.host))
            settled = [
                await self._settle(identity, intent)
                for identity, intent in reversed(call.intents.items())
            ]
            if not all(settled):
                raise Refused(
                    REFUSAL.busy if isinstance(error, Unreachable) else REFUSAL.failed,
                    "a change could not be undone",
                    unfinished=True,
                ) from error
            raise
        finally:
            self.journal.release(call.intents)
        self._log_end(call, "ok")
        return result

    async def _pace(self, source: str) -> None:
        """Delay refusals that no budget counts, because they cost dom0 time too. A first rush passes without a delay."""
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
                code = full.code  # only in the log: the caller gets the same code as always
        if code == REFUSAL.rate_limited and not call.begun and budget.consecutive_rejections > 1:
            return  # log only the first rejection in a row, so that a flood of calls cannot flood the log
        self._log_end(call, code, why=refused.why)

    def _log_end(self, call: Call, code: str, **why: str) -> None:
        """A call that has ended is not undone because its line cannot be written: the operator hears of it."""
        kind = "outcome" if call.begun else "refusal"
        try:
            self.audit.append(kind, is_owed=call.begun, code=code, **why, **call.facts())
        except OSError as error:
            say(
                f"NOT IN THE AUDIT LOG: call {call.identity} of {call.principal}, {call.service}, ended with {code}: {error}"
            )

    # ---- interrupted calls

    async def retry_unfinished(self) -> None:
        """Run for ever: try again to settle unfinished intents."""
        while True:
            await asyncio.sleep(LIMITS.retry_seconds)
            await self.settle_unfinished()

    async def settle_unfinished(self) -> None:
        try:
            await self.qubesd.look_again()
        except Unreachable:
            return
        for identity, intent in self.journal.unfinished():
            async with self.locked(filter(None, [intent["qube"]])):
                host = self._in_doubt.get(identity)
                if host is None or not host.unanswered:
                    self._in_doubt.pop(identity, None)
                    await self._settle(identity, intent, host is None)

    async def _settle(self, identity: str, intent: Intent, is_old: bool = False) -> bool:
        """Undo an intent. Returns False if that failed; the journal then keeps it. The journal also keeps it as long as qubesd may
        still carry out a request: qubesd does that even if nobody waits for the answer. When a request ends, its connection
        says so. Of those of an earlier qmcpd (`is_old`), nothing does."""
        stamp = (intent["unborn"] or [None])[0]
        try:
            named = intent["qube"] or not stamp
            async with self.locked([] if named else [f"?{stamp}"]):
                names = [intent["qube"]] if named else await self._nameless(intent["world"])
                host = self._qubesd.limited(SETTLE_METHODS)
                there, kept = await effects.settle(host, intent, names)
                for words in kept:
                    self._log_undo("kept", intent, words)
                waits = (stamp and not there) or intent["charge"]
                late = time.time() - intent["when"] <= LIMITS.late_seconds
                if not (is_old and waits and late) and identity not in self._in_doubt:
                    if intent["undo"] and not self.journal.is_held(identity):
                        say(f"call {intent['call']}: undone on {intent['qube'] or 'a disposable'}")
                        self._log_undo("settled", intent, "undone after an interruption")
                    self.journal.close(identity)
            return True
        except Exception as error:
            say(f"cannot undo a change of {intent['qube'] or 'a disposable'}: {error!r}")
            return False

    def _log_undo(self, kind: str, intent: Intent, words: str) -> None:
        facts = {fact: intent[fact] for fact in ("call", "world")}
        self.audit.append(kind, is_owed=True, words=words, **facts, target=intent["qube"])

    async def _nameless(self, world: str) -> list[str]:
        """Names that a disposable without a name can have. The number of foreign disposables must not show in the time this takes."""
        roster = self.rosters.get(world)
        others = self.journal.names() | (roster.foreign if roster else set())
        return [
            name
            for name, (klass, _) in (await self._qubesd.list()).items()
            if klass == "DispVM" and name not in others
        ]


def _given(call: Call, params: Parameters, reference: str) -> Any:
    return call.target if reference == "$target" else params.get(reference[1:])
