"""The steps of contracts. A step takes the call and its arguments: for a qube, a Qube in reach; for a `new` qube, an allowed name. It
returns a part of the reply, or None, and makes every change through `act`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from spec import FEATURE, LIMITS, NAMES, REFUSAL, TYPES

from . import budget, egress, gateways, invariants, plans, schema
from .births import clone, create, disposable, entomb, restore
from .call import Call
from .devices import attach, detach, list_devices
from .effects import act
from .egress import Rule
from .errors import Refused
from .qubesd import AdminError, Qube

Reply = dict[str, Any]

# ---- reads


async def list_qubes(call: Call) -> Reply:
    """Makes as many requests as the roster has names: other qubes of the host do not show, because they cost nothing."""
    return {
        "prefix": call.world.prefix,
        "qubes": [
            {
                "name": qube.name,
                "class": qube.klass,
                "state": NAMES.power_state.get(qube.state, NAMES.unknown_state),
            }
            for qube in [await call.roster.look(name) for name in await call.roster.names()]
            if invariants.reach(call.world, qube)
        ],
    }


async def read(call: Call, qube: Qube) -> Reply:
    host = call.host
    listed, properties, volume = await asyncio.gather(
        host.list(qube.name), host.properties(qube.name), host.volume(qube.name)
    )
    klass, state = listed[qube.name]
    value = {key: read for key, (read, _) in properties.items()}

    async def reference(key: str) -> str | None:
        name = value.get(key, "")
        return invariants.redact(call.world, name, await call.roster.look(name) if name else None)

    features = {
        key: await host.get(qube.name, "feature", key) for key in sorted(call.world.features)
    }
    return {
        "name": qube.name,
        "class": klass,
        "state": NAMES.power_state.get(state, NAMES.unknown_state),
        "label": value["label"],
        "template": await reference("template"),
        "network": await reference("netvm"),
        **{key: int(value.get(key) or 0) for key in ("memory", "maxmem", "vcpus")},
        "disk": {"size": int(volume["size"]), "used": int(volume["usage"])},
        "features": [
            {"name": key, "value": value} for key, value in features.items() if value is not None
        ],
    }


async def read_budget(call: Call) -> Reply:
    return {
        "lines": [
            {"line": line, **numbers} for line, numbers in (await call.budget.status()).items()
        ]
    }


async def read_ceiling(call: Call) -> Reply:
    world = call.world
    return {
        "gateways": [
            {
                "name": name,
                "usable": await gateways.fault(call.host, world, name) is None,
                **{key: gateway[key] for key in ("filters", "anonymising", "label")},
            }
            for name, gateway in sorted(world.gateways.items())
        ],
        "birth_gateway": world.birth_gateway or None,
        "ceiling": list(world.egress),
    }


async def read_firewall(call: Call, qube: Qube) -> Reply:
    """The rules, if an agent could have set them. The operator's own rules are not shown."""
    rules = egress.from_firewall(await call.host.get(qube.name, "firewall") or "")
    if rules is None or invariants.outside_ceiling(call.world, rules):
        return {"rules": [], "by": "operator"}
    return {"rules": rules, "by": "world"}


async def watch(call: Call, seconds: int) -> AsyncIterator[Reply]:
    """Yields one reply for each event of the world's qubes. After the first reply, no event is missed."""
    loop = asyncio.get_running_loop()
    deadline, beat = loop.time() + seconds, loop.time() + LIMITS.heartbeat_seconds
    with call.roster.subscribed() as queue:
        seen = {
            name
            for name in await call.roster.names()
            if invariants.reach(call.world, await call.roster.look(name))
        }
        yield {"event": "watching", "qube": None}
        while (left := deadline - loop.time()) > 0:
            try:
                name, event = await asyncio.wait_for(
                    queue.get(), max(min(left, beat - loop.time()), 0)
                )
            except TimeoutError:
                beat += LIMITS.heartbeat_seconds
                yield {"event": "nothing", "qube": None}
                continue
            visible = invariants.reach(call.world, await call.roster.look(name)) is not None
            if visible != (name in seen):
                yield {"event": "appeared" if visible else "left", "qube": name}
                seen ^= {name}
            elif visible and event in NAMES.event:  # INVARIANT tiers.unreadable
                yield {"event": NAMES.event[event], "qube": name}


# ---- power


async def power(call: Call, qube: Qube, to: str, timeout: int = LIMITS.shutdown_seconds) -> None:
    host, name = call.host, qube.name
    state = await host.state(name)
    if to == "running":
        properties = await host.properties(name)
        await gateways.require_usable(call, properties["netvm"][0])
        await call.admit(name, budget.starting(properties))
        # Nobody would undo the start of a qube that left the world meanwhile.
        await call.require_same()
        await act(call, name, [["start"]], [["halt"]] if state == "Halted" else [])
        state = await host.state(name)
        if state != "Running":
            raise Refused(
                REFUSAL.conflict if state == "Paused" else REFUSAL.failed,
                f"the qube is {state} after its start",
            )
    elif to == "killed":
        await host.halt(name)
    elif to == "halted":
        if state != "Halted" and not (
            await host.change_power("Shutdown", name) and await host.reaches_halt(name, timeout)
        ):
            raise Refused(REFUSAL.conflict, "the qube did not shut down in time")
    else:
        if to == "resumed":
            await gateways.require_usable_there(call, qube)
        if not await host.change_power({"paused": "Pause", "resumed": "Unpause"}[to], name):
            raise Refused(REFUSAL.conflict, "the qube is in no state for this")


# ---- settings of one qube, all of them or none


async def set_properties(call: Call, qube: Qube, **values: str | int) -> None:
    """Refuses templates, because any qube may be based on one and take its values. Refuses a running qube, because it would keep the
    old values while the budget counts the new ones."""
    old = await call.host.properties(qube.name)
    new = {key: str(value) for key, value in values.items()}
    if not set(new) <= set(call.world.properties):
        # INVARIANT props.allowlist
        raise Refused(REFUSAL.not_permitted, "qmcp.toml does not list this property")
    if old["klass"][0] == "TemplateVM" or old.get("template_for_dispvms", ("",))[0] == "True":
        # INVARIANT scope.self-excluded
        raise Refused(REFUSAL.not_permitted, "no property of a template is set")
    if not set(new) <= {"label"} and await call.host.state(qube.name) != "Halted":
        # INVARIANT budget.hard
        raise Refused(REFUSAL.conflict, "the qube is not halted")
    if {"memory", "maxmem"} & set(new) and not budget.startable(old, **new):
        raise Refused(REFUSAL.conflict, "memory is more than maxmem")
    undo = [
        ["swap", "property", key, value, None if old[key][1] else old[key][0]]
        for key, value in new.items()
    ]
    await act(
        call, qube.name, [["put", "property", key, value] for key, value in new.items()], undo
    )


async def set_feature(call: Call, qube: Qube, feature: str, value: str | None = None) -> None:
    if not (feature in call.world.features and schema.fits(TYPES["settable_feature"], feature)):
        # INVARIANT props.allowlist
        raise Refused(REFUSAL.not_permitted, "qmcp.toml does not list this feature")
    await _replace(call, qube, "feature", feature, value)


async def grow(call: Call, qube: Qube, size: int) -> None:
    """Growing is one request, so it needs no undo; and nothing can undo it. Only the disk of a qube that the world made counts in the
    budget, and can grow."""
    if call.world.born not in qube.tags or size < int((await call.host.volume(qube.name))["size"]):
        # INVARIANT budget.hard
        raise Refused(REFUSAL.not_permitted, "a disk only grows, of a qube that the world made")
    await call.admit(qube.name, budget.Charge(disk=size))
    try:
        await act(call, qube.name, [["resize", size]], [])
    except AdminError as error:
        # qubesd grows the disk first, and then asks a running qube to use it.
        if int((await call.host.volume(qube.name))["size"]) < size:
            raise
        why = "the disk has grown, but the qube cannot use that before its next start"
        raise Refused(REFUSAL.failed, why, unfinished=True) from error


async def set_firewall(call: Call, qube: Qube, rules: list[Rule]) -> Reply:
    _require_unlocked(call, qube)
    invariants.require_ceiling(call.world, rules)
    await gateways.require_usable_there(call, qube)
    old = await read_firewall(call, qube)
    await _replace(call, qube, "firewall", "", egress.to_firewall(rules))
    return {
        "rules": rules,
        **await gateways.effect_of_rules(call, qube),
        "until_then": old["rules"],
        "until_then_by": old["by"],
    }


async def network(call: Call, qube: Qube, to: str) -> None:
    """Disconnect a qube, or connect it again to the network on which it was born; no other network is possible."""
    _require_unlocked(call, qube)
    host, do = call.host, []
    here = (await host.properties(qube.name))["netvm"][0]
    home = await host.get(qube.name, "feature", FEATURE.birth_network)
    if home is None:  # no principal made it: it may return to the network that it leaves now
        home = here if to == "none" else ""
        do = [["put", "feature", FEATURE.birth_network, home]]
    if to == "home" and home not in call.world.gateways:  # INVARIANT egress.never-widens
        raise Refused(REFUSAL.not_permitted, "the qube was not born on a gateway")
    netvm = "" if to == "none" else home
    await gateways.require_usable(call, netvm)
    # No network is less authority than any. So an undo completes a disconnection, and reverses a connection.
    undo = [["swap", "property", "netvm", netvm or here, ""]]
    await act(call, qube.name, [*do, ["put", "property", "netvm", netvm]], undo)


async def _replace(call: Call, qube: Qube, kind: str, key: str, value: str | None) -> None:
    old = await call.host.get(qube.name, kind, key)
    await act(call, qube.name, [["put", kind, key, value]], [["swap", kind, key, value, old]])


def _require_unlocked(call: Call, qube: Qube) -> None:
    if call.world.egress_lock in qube.tags:
        # INVARIANT restrictions.inherit
        raise Refused(REFUSAL.not_found, "the operator has locked the rules of the qube")


# ---- the functions of the steps in spec/steps.toml

# A stream returns an iterator; every other step returns an awaitable.
RUN: dict[str, Callable[..., Any]] = {
    "list": list_qubes,
    "read": read,
    "budget": read_budget,
    "ceiling": read_ceiling,
    "rules": read_firewall,
    "devices": list_devices,
    "events": watch,
    "create": create,
    "clone": clone,
    "disposable": disposable,
    "entomb": entomb,
    "restore": restore,
    "power": power,
    "property": set_properties,
    "feature": set_feature,
    "grow": grow,
    "firewall": set_firewall,
    "network": network,
    "attach": attach,
    "detach": detach,
    "plan_propose": plans.propose,
    "plan_status": plans.status,
    "plan_withdraw": plans.withdraw,
    "plan_step": plans.hand_over,
    "plan_done": plans.done,
}
