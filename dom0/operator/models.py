"""Where a principal's model is, and what the principal reaches by its own network. The kernel has no say over that network: an agent
that reads a qube over `exec` can send what it read wherever its principal reaches."""

from typing import Any, NamedTuple

from host import Worlds
from qmcpd import egress, gateways, invariants
from qmcpd.egress import Rule
from qmcpd.qubesd import Qubesd
from settings.config import World


class Fault(NamedTuple):
    what: str
    where: str
    fix: str


class Network(NamedTuple):
    """`rules`: all that a qube reaches; None when that is everything, or cannot be told. `words`: the same for a person."""

    rules: list[Rule] | None
    words: str


async def network(qubesd: Qubesd, name: str) -> Network:
    netvm = (await qubesd.properties(name))["netvm"][0]
    if not netvm:
        return Network([], "nothing: it has no network")
    why = await gateways.ignores_rules(qubesd, netvm)
    if why:
        return Network(None, f"everything: {netvm} does not apply its rules, because {why}")
    text = await qubesd.get(name, "firewall") or egress.EVERYTHING
    rules = egress.from_firewall(text)
    if rules is None:
        unread = "what its rules allow, which have a form that this cannot read"
        return Network(None, "everything" if text == egress.EVERYTHING else unread)
    return Network(rules, ", ".join(" ".join(rule.values()) for rule in rules) or "nothing")


async def faults(qubesd: Qubesd, worlds: Worlds) -> list[Fault]:
    """Of the principals that exist."""
    there, found = await qubesd.list(), []
    for world in worlds.values():
        for name, model in sorted(world.models.items()):
            if name not in there:
                continue
            if isinstance(model, dict):
                found += await of_qube(qubesd, worlds, model) + await _desk(qubesd, name, model)
            else:
                found += await _remote(qubesd, name, model)
    return found


async def of_qube(qubesd: Qubesd, worlds: Worlds, model: dict[str, Any]) -> list[Fault]:
    """What makes a qube unfit to serve a model: an agent's words could leave through it, or an agent could change it."""
    name = model["qube"]
    qube = await qubesd.look(name)
    if not qube.klass:
        return [Fault("does not exist, and is a model", name, "make it, or fix qmcp.toml")]
    properties, found = await qubesd.properties(name), []
    if properties["netvm"][0]:
        fix = f"qvm-prefs {name} netvm ''"
        found.append(Fault("is a model and has a network", name, fix))
    for world in worlds.values():
        if qube.tags & world.own:
            what = f"is a model and has tags of the world {world.name}"
            found.append(Fault(what, name, f"qmcp-admin expel {name}"))
        found += await _template(qubesd, world, name, properties.get("template", ("",))[0])
    return found


async def _template(qubesd: Qubesd, world: World, name: str, template: str) -> list[Fault]:
    if not template or not invariants.reach(world, await qubesd.look(template)):
        return []
    what = f"is a model, and agents of the world {world.name} have its template {template}"
    return [Fault(what, name, f"qvm-prefs {name} template ANOTHER")]


async def _desk(qubesd: Qubesd, name: str, model: dict[str, Any]) -> list[Fault]:
    """With a model on this host, a principal needs no network."""
    reached = await network(qubesd, name)
    if reached.rules == []:
        return []
    what = f"its model is in {model['qube']}, and it reaches {reached.words}"
    return [Fault(what, name, f"qvm-prefs {name} netvm ''")]


async def _remote(qubesd: Qubesd, name: str, model: str) -> list[Fault]:
    """It needs its model and the resolvers, and nothing else."""
    host, _, port = model.partition(":")
    needed, reached = {"to": host, "protocol": "tcp", "ports": port}, await network(qubesd, name)
    commands = f"qvm-firewall {name}: accept dsthost={host} proto=tcp dstports={port}, accept specialtarget=dns, drop"
    if reached.rules is None or any(
        not egress.covers(needed, rule) and rule["to"] != "dns" for rule in reached.rules
    ):
        what = f"its model is {model}, and it reaches more: {reached.words}"
        return [Fault(what, name, commands)]
    if not any(egress.covers(rule, needed) for rule in reached.rules):
        return [Fault(f"cannot reach its model {model}, but {reached.words}", name, commands)]
    return []
