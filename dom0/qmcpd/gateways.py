"""What a gateway does with the traffic of the qubes on it, as far as its features tell. qubesd only hands it their rules: a service in
the gateway applies them, or nobody does."""

import re

from settings.config import World
from spec import FEATURE, NAMES, REFUSAL

from . import invariants
from .call import Call
from .errors import Refused
from .qubesd import Qube, Qubesd


async def require_usable(call: Call, network: str) -> None:
    """No network at all is always usable."""
    invariants.require_gateway(call.world, network)
    why = await fault(call.host, call.world, network) if network else None
    if why:  # INVARIANT egress.gateways-as-declared
        raise Refused(REFUSAL.gateway_unusable, f"the gateway {network} cannot be used: {why}")


async def require_usable_there(call: Call, qube: Qube) -> None:
    """On the gateway that the qube is on. On any other network, which a person gave it, no call starts it."""
    network = (await call.host.properties(qube.name))["netvm"][0]
    if network in call.world.gateways:
        await require_usable(call, network)


async def effect_of_rules(call: Call, qube: Qube) -> dict[str, str]:
    """When rules that were set just now take effect, as far as dom0 can know: no gateway says that it has applied them."""
    host, gateways = call.host, call.world.gateways
    network = (await host.properties(qube.name))["netvm"][0]
    version = await host.inherited(network, FEATURE.agent_version) if network in gateways else ""
    when = (
        "with-network"
        if not network
        else "unknown-network"
        if network not in gateways
        else "not-promised"
        if not gateways[network]["filters"]
        else "at-start"
        if await host.state(qube.name) == "Halted"
        else "soon"
    )
    ends = [int(part) for part in re.findall(r"\d+", version)[:2]] >= NAMES.ends_connections
    return {"takes_effect": when, "open_connections": "end" if ends else "go-on"}


async def fault(host: Qubesd, world: World, name: str) -> str | None:
    """Why no qube may use this gateway of the world now; None when it is what qmcp.toml says."""
    declared = world.gateways[name]
    why = await ignores_rules(host, name) if declared["filters"] else None
    return why or (await shows_origin(host, name) if declared["anonymising"] else None)


async def ignores_rules(host: Qubesd, name: str) -> str | None:
    """Why a network qube does not apply the rules of the qubes on it; None when it does."""
    if not await host.inherited(name, FEATURE.filters):  # INVARIANT egress.gateways-as-declared
        return f"neither it nor its template has the feature {FEATURE.filters}"
    if await host.get(name, "feature", FEATURE.filter_service) == "":
        # INVARIANT egress.gateways-as-declared
        return f"its feature {FEATURE.filter_service} switches the firewall off"
    if await host.inherited(name, FEATURE.tor_gateway):  # INVARIANT egress.gateways-as-declared
        return (
            "it is a Whonix gateway, which sends the traffic of its qubes to Tor, past their rules"
        )
    return None


async def shows_origin(host: Qubesd, name: str) -> str | None:
    """Why what comes from a network qube tells where it comes from; None when Tor is on its way out."""
    for hop in await upstream(host, name):
        if await host.inherited(hop, FEATURE.tor_gateway):
            return None
    # INVARIANT egress.gateways-as-declared
    return "neither it nor a network qube behind it is a Whonix gateway"


async def upstream(host: Qubesd, name: str) -> list[str]:
    """The network qube and those behind it, up to the one that is connected to none."""
    chain = []
    while name and name not in chain:
        chain.append(name)
        name = (await host.properties(name))["netvm"][0]
    return chain
