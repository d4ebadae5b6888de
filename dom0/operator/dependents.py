"""Which qubes outside a world use a qube, and what an agent that has the qube would gain over each of them."""

from collections.abc import Iterable

from host import Worlds
from qmcpd.qubesd import Qube, Qubesd
from settings.config import World
from spec import NAMES, TIERS


async def outside(
    qubesd: Qubesd, world: World, name: str, tier: str | None
) -> dict[str, list[str]]:
    """`{qube: sentences}` of each qube outside the world that uses this one."""
    found: dict[str, list[str]] = {}
    for other in sorted(set(await qubesd.list()) - {"dom0", name}):
        qube = await qubesd.look(other)
        belongs = world.membership(qube.klass, qube.tags).get("belongs")
        if belongs and other not in world.excluded:
            continue
        for key, (value, _) in (await qubesd.properties(other)).items():
            if value == name and key in NAMES.uses:
                found.setdefault(other, []).append(_sentence(other, key, tier))
    return found


def _sentence(other: str, key: str, tier: str | None) -> str:
    uses = NAMES.uses[key]
    if tier in (None, TIERS[0]):
        return f"{other} {uses['words']}: at {TIERS[0]}, an agent changes nothing, but sees what the two share"
    return f"{other} {uses['words']}: an agent could {uses['gains']}"


async def defaults_of_host(qubesd: Qubesd, name: str) -> list[str]:
    """Which defaults of the host it is."""
    values = await qubesd.properties("dom0", "admin.property.GetAll")
    return [key for key in NAMES.host_defaults if values.get(key, ("",))[0] == name]


async def refusal(qubesd: Qubesd, worlds: Worlds, qube: Qube, tier: str | None) -> str | None:
    """Why no agent may have it at this tier, whatever the operator agrees to."""
    name = qube.name
    for world in worlds.values():
        if name in world.excluded:
            return "it is dom0, a principal, a gateway or guarded by qmcp.toml"
    if (await qubesd.properties(name)).get("provides_network", ("",))[0] == "True":
        return "it provides network to other qubes; a gateway of a world belongs in qmcp.toml"
    if defaults := await defaults_of_host(qubesd, name):
        return f"it is the host's {' and '.join(defaults)}"
    if qube.klass == "TemplateVM" and tier not in (None, TIERS[0]):
        own = "to let an agent change a template, clone it into a qube of the world"
        return f"it is a template: agents build on it at {TIERS[0]}, with the tag that enroll sets; {own}"
    return None


def not_named(found: Iterable[str], named: Iterable[str]) -> set[str]:
    return set(found) - set(named)
