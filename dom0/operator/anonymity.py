"""What tells where an anonymous world is: a network that does not lead to Tor, of one of its qubes, of a template that one is built on,
or of the qube for its updates. dom0 refuses such gateways to calls; this finds the rest, which a person set."""

from host import Member, Worlds, members
from models import Fault
from qmcpd import gateways
from qmcpd.qubesd import Qubesd
from settings.config import World


async def faults(qubesd: Qubesd, worlds: Worlds) -> list[Fault]:
    there, found = set(await qubesd.list()), list[Fault]()
    for world in worlds.values():
        if world.anonymous:
            own = await members(qubesd, {world.name: world})
            for name, path in sorted((await _networks(qubesd, world, own, there)).items()):
                why = await gateways.shows_origin(qubesd, name)
                if why:
                    what = f"tells where the anonymous world {world.name} is, through {path}: {why}"
                    found.append(Fault(what, name, f"qmcp-admin freeze {world.name} --kill"))
    return found


async def _networks(
    qubesd: Qubesd, world: World, own: list[Member], there: set[str]
) -> dict[str, str]:
    """`{network qube: who uses it}`."""
    found = {world.updates: "its updates"} if world.updates in there else {}
    for one in own:
        name = one.name
        while name in there:
            properties = await qubesd.properties(name)
            network = properties["netvm"][0]
            found |= {network: name} if network else {}
            name = properties.get("template", ("",))[0]
    return found
