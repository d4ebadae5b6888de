"""The verbs a contract is made of, and how each is put right when it is cut off in the middle.

A step takes the call's context and its arguments, already resolved: a qube argument is a Qube in reach, a `new` argument
a name of the world's shape. It returns a part of the reply, or None. Before it changes anything it states an intent;
`settle` takes that intent to an end, towards less authority: while the call runs, and again after a crash.
"""

import asyncio
import time
from typing import Callable, NamedTuple

from . import invariants
from .config import TIERS
from .errors import Refused
from .qubesd import AdminError

SHUTDOWN_TIMEOUT = 60  # seconds
HALT_TIMEOUT = 10  # seconds from Kill to Halted
# When a qube was removed (seconds since the epoch) and the tags to put back; no contract can write a feature.
ENTOMBED = "qmcp-entombed"
POWER_STATES = {
    "Halted": "halted", "Crashed": "halted", "Transient": "starting", "Running": "running",
    "Paused": "paused", "Suspended": "paused", "Halting": "stopping", "Dying": "stopping",
}


class Qube(NamedTuple):
    name: str
    tags: frozenset


class Step(NamedTuple):
    """`arguments`: name → `new`, `qube`, `source` (a qube that is only read from), the tuple of words it may be, or the schema of a parameter it refers to."""

    run: Callable
    writes: bool
    arguments: dict
    required: frozenset
    methods: frozenset


# ---- reads

async def list_qubes(context):
    """As many qubesd calls as the roster has names: a host's other qubes cost nothing and so show in nothing."""
    world, host, qubes = context.world, context.host, []
    for name in await context.roster.names():
        tags = await tags_of(host, name)
        if invariants.is_in_scope(world, name, tags):
            klass, state = (await host.list(name))[name]
            qubes.append({"name": name, "class": klass, "state": POWER_STATES.get(state, "unknown")})
        elif not tags:
            context.roster.discard(name)
    return {"prefix": world.prefix, "qubes": qubes}


async def read(context, qube):
    listed, properties, volume = await asyncio.gather(
        context.host.list(qube.name), context.host.properties(qube.name), context.host.volume(qube.name, "private")
    )
    klass, state = listed[qube.name]

    def integer(key):
        value = properties[key].value if key in properties else ""
        return int(value) if value.isdecimal() else 0

    async def reference(key):
        name = properties[key].value if key in properties else ""
        return invariants.redact(context.world, name, await tags_of(context.host, name) if name else frozenset())

    return {
        "name": qube.name,
        "class": klass,
        "state": POWER_STATES.get(state, "unknown"),
        "label": properties["label"].value,
        "template": await reference("template"),
        "network": await reference("netvm"),
        "memory": integer("memory"),
        "maxmem": integer("maxmem"),
        "vcpus": integer("vcpus"),
        "disk": {"size": int(volume["size"]), "used": int(volume["usage"])},
    }


async def tags_of(host, name):
    """A qube's tags; none for a qube that does not exist, which so looks like one that is not ours."""
    try:
        return await host.tags(name)
    except AdminError as error:
        if not error.missing:
            raise
        return frozenset()


async def exists(host, name):
    try:
        await host.tags(name)
    except AdminError as error:
        if not error.missing:
            raise
        return False
    return True


# ---- birth

async def create(context, name, template, label="red", network="inherit", memory=None, vcpus=None, private_size=None):
    world, host = context.world, context.host
    # Asked first, so that undoing this birth can never take a qube that was there before.
    if await exists(host, name):
        raise Refused("name-taken")
    stamp = f"created-by-{context.principal}"
    context.intend("create", world=world.name, qube=name, stamp=stamp, born=world.born,
                   tier=invariants.birth_tier(world, world.tier(template.tags)))
    try:
        await host.create(name, template.name, label, src=context.principal)
    except AdminError as error:
        # Older qubesd has no class of its own for this; the name's shape was checked, so it can only be taken.
        if error.kind in ("QubesVMAlreadyExistsError", "QubesValueError"):
            raise Refused("name-taken") from error
        raise
    netvm = invariants.birth_network(world, network)
    await host.set_property(name, "netvm", netvm)
    for hatch in invariants.ESCAPE_HATCHES:
        await host.set_property(name, hatch, "")
    if memory is not None:
        await host.set_property(name, "memory", memory)
        await host.set_property(name, "maxmem", memory)
    if vcpus is not None:
        await host.set_property(name, "vcpus", vcpus)
    if private_size is not None:
        if private_size < int((await host.volume(name, "private"))["size"]):
            raise Refused("not-permitted")
        await host.resize(name, "private", private_size)
    for tag in invariants.birth_restrictions(world, template.tags):
        await host.add_tag(name, tag)
    klass, _ = (await host.list(name))[name]
    tags, properties = await host.tags(name), await host.properties(name)
    invariants.require_birth(world, context.declared("birth.class"), stamp, netvm, klass, tags, properties)
    context.qubes[name] = Qube(name, tags)
    context.roster.add(name)


async def finish_create(host, intent):
    """Authority comes last: the tier, then the mark that makes the qube one of the world's."""
    world, name = intent["world"], intent["qube"]
    if intent["tier"] != "read":
        await host.add_tag(name, f"{world}-{intent['tier']}")
    await host.add_tag(name, intent["born"])


async def settle_create(host, intent):
    """Remove what a birth left, unless it was finished. True when there is nothing left to do."""
    tags = await tags_of(host, intent["qube"])
    if not tags:
        return False  # qubesd may still be at it: it does not stop when its caller goes
    if intent["stamp"] in tags and intent["born"] not in tags:
        await halt(host, intent["qube"])
        await host.remove(intent["qube"])
    return True


# ---- power

async def power(context, qube, to, timeout=SHUTDOWN_TIMEOUT):
    if to == "running":
        await _start(context, qube)
    else:
        await _shut_down(context, qube, timeout)


async def _start(context, qube):
    host = context.host
    properties = await host.properties(qube.name)
    invariants.require_gateway(context.world, properties["netvm"].value)
    if await host.state(qube.name) == "Halted" and not context.intended(qube.name):
        context.intend("start", qube=qube.name)
    await host.start(qube.name)
    state = await host.state(qube.name)
    if state == "Paused":
        raise Refused("conflict")
    if state != "Running":
        raise Refused("failed")


async def _shut_down(context, qube, timeout):
    host = context.host
    try:
        await host.shutdown(qube.name)
    except AdminError as error:
        if error.kind == "QubesVMNotStartedError":
            return
        if error.kind in ("QubesVMNotRunningError", "QubesVMInUseError"):
            raise Refused("conflict") from error
        raise
    if not await reaches_halt(host, qube.name, timeout):
        raise Refused("conflict")


async def settle_start(host, intent):
    """A start that was not seen through is taken back."""
    if await exists(host, intent["qube"]):
        await halt(host, intent["qube"])
    return True


async def halt(host, name):
    """Kill, and believe the state rather than the reply: qubesd can kill and then answer with nothing."""
    if await host.state(name) == "Halted":
        return
    try:
        await host.kill(name)
    except AdminError as error:
        if error.kind not in ("", "QubesVMNotStartedError"):
            raise
    if not await reaches_halt(host, name, HALT_TIMEOUT):
        raise Refused("failed")


async def reaches_halt(host, name, timeout):
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + timeout, 0.02
    while await host.state(name) not in ("Halted", "Crashed"):
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(min(pause, max(deadline - loop.time(), 0)))
        pause = min(pause * 2, 1)
    return True


# ---- end

async def entomb(context, qube):
    """Halt, mark, strip; what was stripped is kept where the operator can put it back from."""
    world = context.world
    marks = [*map(world.tier_tag, reversed(TIERS[1:])), world.umbrella]
    had = [tag for tag in marks if tag in qube.tags]
    intent = context.intend(
        "entomb", qube=qube.name, tombstone=world.tombstone, strip=marks, had=had, when=int(time.time())
    )
    await settle_entomb(context.host, intent)
    return {"removed": qube.name}


async def settle_entomb(host, intent):
    """A removal that was begun is finished."""
    name = intent["qube"]
    if not await exists(host, name):
        return True
    await halt(host, name)
    await host.set_feature(name, ENTOMBED, " ".join([str(intent["when"]), *intent["had"]]))
    await host.add_tag(name, intent["tombstone"])
    for tag in intent["strip"]:
        await host.remove_tag(name, tag)
    tags = await host.tags(name)
    if intent["tombstone"] not in tags or tags & set(intent["strip"]):  # INVARIANT remove.is-a-tombstone
        raise Refused("failed")
    return True


# ---- tables

def _integer(low, high):
    return {"type": "integer", "minimum": low, "maximum": high}


LABELS = ["red", "orange", "yellow", "green", "gray", "blue", "purple", "black"]
READS = frozenset({"admin.vm.List", "admin.vm.property.GetAll", "admin.vm.tag.List", "admin.vm.volume.Info"})

STEPS = {
    "list": Step(list_qubes, False, {}, frozenset(), frozenset({"admin.vm.List", "admin.vm.tag.List"})),
    "read": Step(read, False, {"qube": "qube"}, frozenset({"qube"}), READS),
    "create": Step(
        create, True,
        {"name": "new", "template": "source", "label": {"enum": LABELS}, "network": {"enum": ["inherit", "none"]},
         "memory": _integer(64, 2**20), "vcpus": _integer(1, 64), "private_size": _integer(1, 2**50)},
        frozenset({"name", "template"}),
        READS | {"admin.vm.Create.AppVM", "admin.vm.property.Set", "admin.vm.tag.Set", "admin.vm.volume.Resize"},
    ),
    "power": Step(
        power, True, {"qube": "qube", "to": ("running", "halted"), "timeout": _integer(1, 600)},
        frozenset({"qube", "to"}),
        READS | {"admin.vm.Start", "admin.vm.Shutdown"},
    ),
    "entomb": Step(
        entomb, True, {"qube": "qube"}, frozenset({"qube"}),
        READS | {"admin.vm.Kill", "admin.vm.feature.Set", "admin.vm.tag.Set", "admin.vm.tag.Remove"},
    ),
}

# verb → (when the call is committed, when it is not)
FINISH = {"create": finish_create}
SETTLE = {"create": settle_create, "start": settle_start, "entomb": settle_entomb}
# What finishing and settling may use; what a contract lists has no part in it.
SETTLE_METHODS = READS | {
    "admin.vm.Kill", "admin.vm.Remove", "admin.vm.feature.Set", "admin.vm.tag.Remove", "admin.vm.tag.Set",
}
