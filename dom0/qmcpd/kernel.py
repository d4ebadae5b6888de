"""The only path from an agent's bytes to an effect. `Kernel.answer` reads top to bottom as the story of a call.

Order matters twice: authority is decided before any feedback about values that depends on the host, and the intent is on
the disk before the first effect.
"""

import asyncio
import secrets
import sys
import weakref
from contextlib import AsyncExitStack, asynccontextmanager

from . import contracts, invariants, schema, steps, wire
from .config import Config
from .errors import Refused

CATALOG = "qmcp.Catalog"
# Seconds after which what could not be settled is tried again, and a birth that left nothing is looked for again: qubesd
# finishes what its caller has left.
LOOK_AGAIN = (5, 30, 120)


class Context:
    """What a step holds: the caller's world, the qubes in reach, qubesd cut down to the contract's methods."""

    def __init__(self, kernel, call, host):
        self.world, self.principal = call.world, call.principal
        self.host, self.roster, self.qubes = host, kernel.roster, {}
        self._invariants = {entry["id"]: entry["with"] for entry in call.contract.invariants}
        self.intents = {}
        self._journal = kernel.journal

    def intend(self, verb, **facts):
        intent = {"verb": verb, **facts}
        self.intents[self._journal.open(**intent)] = intent
        return intent

    def declared(self, invariant):
        """The parameters the contract declares this invariant with; none when it does not."""
        return self._invariants.get(invariant, {})

    def intended(self, name):
        """An intent about this qube is open: what becomes of the qube is settled with it, once, and not twice."""
        return any(intent["qube"] == name for intent in self.intents.values())


class Call:
    """What is known of a call so far; what the audit log can say of it."""

    def __init__(self):
        self.identity = secrets.token_hex(8)
        self.principal = self.service = self.target = self.world = self.contract = None
        self.names = []
        self.intended = False

    def facts(self):
        return {
            "call": self.identity, "principal": self.principal, "world": self.world and self.world.name,
            "service": self.service, "target": self.target, "names": self.names,
        }


class Kernel:
    def __init__(self, config: Config, contracts, unusable, qubesd, roster, journal, audit, frozen, policy):
        """`unusable` are the contracts left out, and why; `frozen(world name)` says whether the operator froze it; `policy()` is the installed policy's text."""
        self.config, self.contracts, self.unusable, self.qubesd = config, contracts, unusable, qubesd
        self.roster, self.journal, self.audit, self.frozen, self.policy = roster, journal, audit, frozen, policy
        self._running = {}
        self._locks = weakref.WeakValueDictionary()  # a lock lives while somebody holds or awaits it
        self._later = set()

    async def answer(self, untrusted_header, untrusted_payload):
        """The whole of a call: bytes in, one line out."""
        call = Call()
        try:
            result = await self._answer(call, untrusted_header, untrusted_payload)
        except Refused as refused:
            self._refuse(call, refused)
            return wire.refusal(refused)
        except BaseException as error:  # anything unforeseen is a refusal; what it was is for the operator
            print(f"qmcpd: call {call.identity}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            self._refuse(call, Refused("failed"))
            if not isinstance(error, Exception):  # we are being stopped
                raise
            return wire.refusal(Refused("failed"))
        return wire.reply(result)

    async def _answer(self, call, untrusted_header, untrusted_payload):
        # Who is calling, in which world?
        descriptor = wire.parse_descriptor(untrusted_header)
        call.service, call.target, call.principal = descriptor.service, descriptor.target, descriptor.source
        call.world = self.config.world_of(descriptor.source)
        if call.world is None:
            raise Refused("not-found")
        self._require_thawed(call)

        # What do they ask for, and is it well formed?
        if call.service == CATALOG:
            schema.check({"type": "object"}, wire.parse_json(untrusted_payload))
            return contracts.catalog(self.contracts, self.unusable, call.world, call.principal, self.policy())
        call.contract = self._contract(call)
        params = wire.parse_json(untrusted_payload)
        schema.check(call.contract.params, params)
        used = self._names(call, params)

        # May they have it? Every name asked about is looked up once, whatever it is.
        async with self._admission(call.world), self._sole_use(call, used):
            context = Context(self, call, self.qubesd.limited(call.contract.calls))
            await self._reach(call, context, params)
            if not call.contract.changes:
                return await self._run(call, context, params)
            return await self._change(call, context, params)

    def _require_thawed(self, call):
        """Asked at the door, before every step and before the commit: a call may wait long, and work long."""
        if self.frozen(call.world.name):
            raise Refused("frozen")  # INVARIANT frozen.means-frozen

    def _contract(self, call):
        contract = self.contracts.get(call.service)
        if contract is None or contract.route != "dom0":
            raise Refused("not-found")
        if contract.plugin not in call.world.principals[call.principal]:
            raise Refused("not-found")
        if (contract.target is None) != (call.target == "dom0"):
            raise Refused("not-found")
        return contract

    def _names(self, call, params):
        """The names this call asks about, and those it would give: judged by shape, before anything is looked up.
        Returns the ones its steps act on."""
        asked = [params[key] for key in call.contract.qubes]
        if not all(isinstance(name, str) and wire.QUBE_NAME.fullmatch(name) for name in asked):
            raise Refused("invalid-request")
        given, used = set(), set()
        for step in call.contract.steps:
            for argument, kind in steps.STEPS[step["do"]].arguments.items():
                if kind not in ("new", "qube"):
                    continue
                value = step["with"][argument]
                name = call.target if value == "$target" else params[value[1:]]
                if kind == "new":
                    invariants.require_namespace(call.world, name)
                    given.add(name)
                used.add(name)
        call.names = sorted({*given, *asked})
        return used

    @asynccontextmanager
    async def _admission(self, world):
        running = self._running.get(world.name, 0)
        if running >= world.concurrent_calls:
            raise Refused("busy")
        self._running[world.name] = running + 1
        try:
            yield
        finally:
            self._running[world.name] -= 1

    @asynccontextmanager
    async def _sole_use(self, call, used):
        """One change of a qube at a time. The name decides, not the qube, so that waiting tells nothing."""
        async with AsyncExitStack() as held:
            for name in sorted(used) if call.contract.changes else ():
                await held.enter_async_context(self._lock(name))
            yield

    def _lock(self, name):
        return self._locks.setdefault(name, asyncio.Lock())

    async def _reach(self, call, context, params):
        wanted = [(params[key], capability) for key, capability in call.contract.qubes.items()]
        if call.contract.target is not None:
            wanted.append((call.target, call.contract.capability))
        for name, capability in wanted:
            tags = await steps.tags_of(self.qubesd, name)
            invariants.require_reach(call.world, name, tags, capability)
            context.qubes[name] = steps.Qube(name, tags)

    async def _run(self, call, context, params):
        """The steps, in order; the reply is what they return together, and has the shape the contract promises."""
        result = {}
        for entry in call.contract.steps:
            if "when" in entry and not params.get(entry["when"][1:], False):
                continue
            self._require_thawed(call)
            step = steps.STEPS[entry["do"]]
            arguments = {}
            for name, value in entry["with"].items():
                kind = step.arguments[name]
                given = call.target if value == "$target" else params.get(value[1:])
                if isinstance(kind, tuple):
                    arguments[name] = value
                elif kind in ("qube", "source"):
                    arguments[name] = context.qubes[given]
                elif given is not None:
                    if kind != "new":
                        schema.check(kind, given)  # the contract's schema may be wider; the step's is the kernel's
                    arguments[name] = given
            result.update(await step.run(context, **arguments) or {})
        if not schema.fits(call.contract.reply, result):
            raise ValueError("the reply does not fit the contract")
        return result

    async def _change(self, call, context, params):
        """Intent, effect, commit; or everything put right."""
        self.audit.append("intent", durable=True, **call.facts())  # INVARIANT audit.complete
        call.intended = True
        try:
            result = await self._run(call, context, params)
            self._require_thawed(call)
            for intent in context.intents.values():
                if intent["verb"] in steps.FINISH:
                    await steps.FINISH[intent["verb"]](self.qubesd, intent)
        except BaseException as error:
            if not await self._settle_all(reversed(context.intents.items())):
                raise Refused("failed", unfinished=True) from error
            raise
        for identity in context.intents:
            self.journal.close(identity)
        self.audit.append("outcome", code="ok", **call.facts())
        return result

    def _refuse(self, call, refused):
        kind = "outcome" if call.intended else "refusal"
        try:
            self.audit.append(kind, code=refused.code, **call.facts())
        except OSError as error:
            print(f"qmcpd: audit log: {error}", file=sys.stderr, flush=True)

    # ---- what was cut off in the middle

    async def recover(self):
        """Called once, before the first call is taken."""
        await self._settle_all(self.journal.unfinished())

    async def _settle_all(self, intents):
        """True when every intent was settled, or left nothing so far; False when one could not be."""
        settled = [await self._settle(identity, intent) for identity, intent in intents]
        return all(settled)

    async def _settle(self, identity, intent, tries=LOOK_AGAIN):
        host = self.qubesd.limited(steps.SETTLE_METHODS)
        done, failed = False, False
        try:
            done = await steps.SETTLE[intent["verb"]](host, intent)
        except Exception as error:  # after the last try it stays in the journal: the next start, or the operator, sees to it
            failed = True
            print(f"qmcpd: cannot settle {intent['verb']} of {intent['qube']}: {error!r}", file=sys.stderr, flush=True)
        if done or not (tries or failed):
            self.journal.close(identity)
        elif tries:
            task = asyncio.create_task(self._settle_later(identity, intent, tries))
            self._later.add(task)
            task.add_done_callback(self._later.discard)
        return not failed

    async def _settle_later(self, identity, intent, tries):
        await asyncio.sleep(tries[0])
        async with self._lock(intent["qube"]):
            await self._settle(identity, intent, tries[1:])
