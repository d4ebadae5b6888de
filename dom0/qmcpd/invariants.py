"""The statements that hold whatever an agent does. A line marked `# INVARIANT id` enforces each of them.

The checks are plain functions of the world and of what qubesd said. The kernel and the steps call them, so no contract can omit one.
`spec/invariants.toml` has the statements.
"""

from collections.abc import Collection, Sequence
from typing import Any

from settings.config import World
from settings.rules import is_rule
from spec import NAMES, REFUSAL, TIERS, TYPES

from . import egress, schema
from .egress import Rule
from .errors import Refused
from .qubesd import Properties, Qube

# ---- visibility: `qube` is a Qube, or any object with a name, a class and tags


def reach(world: World, qube: Any) -> str | None:
    """The tier at which agents may use a qube, or None. Its tags and class decide; the names that `excluded` lists are never in reach."""
    tier = world.reach(qube.klass, qube.tags)
    return None if qube.name in world.excluded else tier  # INVARIANT scope.self-excluded


def is_made_by(world: World, qube: Any) -> bool:
    """Whether a principal of the world made it. qubesd itself writes that stamp, and no qube can."""
    return not world.kinds["stamp"].isdisjoint(qube.tags)


def is_source(world: World, qube: Qube) -> bool:
    """Whether the operator lets the world build on this template. A child can read its contents at any tier, and cannot change them."""
    given = qube.klass == "TemplateVM" and world.source in qube.tags
    given &= world.guard not in qube.tags  # INVARIANT tiers.no-escalation
    return given


def require_reach(
    world: World,
    qube: Qube,
    capability: str,
    is_listed: bool,
    as_source: bool = False,
    approved: bool = False,
) -> None:
    """Refuse a qube that is missing, out of scope, below the tier, guarded or tombstoned: each with the same code, after the same work.
    If the roster does not list the name (`is_listed`), the caller passes another qube. `as_source`: the call only builds on it.
    `approved`: a person approved the call, which lifts the tier and no guard."""
    tier = reach(world, qube)
    if approved and world.guard not in qube.tags:  # INVARIANT plans.approved
        capability = TIERS[0]
    if is_source(world, qube) and as_source:
        capability = TIERS[0]
    within = tier is not None
    within &= is_listed  # INVARIANT scope.existence-hidden
    # INVARIANT tiers.no-escalation
    within &= TIERS.index(tier or TIERS[0]) >= TIERS.index(capability)
    reasons = (  # compute all of them each time, so that the work does not tell which one holds
        (not is_listed, "the world has no such qube"),
        (qube.name in world.excluded, "no call may act on this qube, whatever its tags are"),
        (
            tier is None,
            f"to the world, the qube is {world.membership(qube.klass, qube.tags)['is']}",
        ),
        (True, f"the qube has the tier {tier}, and this takes {capability}"),
    )
    why = reasons[[holds for holds, _ in reasons].index(True)][1]
    if not within:
        raise Refused(REFUSAL.not_found, why)


def require_tombstone(world: World, qube: Qube, is_listed: bool) -> None:
    """Refuse every qube but those that the world has removed."""
    removed = world.membership(qube.klass, qube.tags)["is"] == "tombstone"
    if not (is_listed and removed and qube.name not in world.excluded):
        raise Refused(REFUSAL.not_found, "the world has no such removed qube")


def standing(world: World, qube: Qube) -> tuple[str, str | None, bool, frozenset[str]]:
    """Everything that decides what a call may do with a qube: its identity, its tier for agents, and its restrictions. The tombstone is
    left out, because the call itself may set or remove it."""
    tags = qube.tags - {world.tombstone}
    now = qube._replace(tags=tags)
    return qube.uuid, reach(world, now), is_source(world, now), tags & world.restrictions


def redact(world: World, name: str, qube: Qube | None) -> str | None:
    """A qube's name in a reply: the name if the caller may see the qube, null if there is none, else one constant."""
    if not name:
        return None
    visible = name in world.gateways or (qube and reach(world, qube))
    return name if visible else NAMES.out_of_scope  # INVARIANT scope.values-redacted


# ---- birth


def require_namespace(world: World, untrusted_name: Any) -> None:
    allowed = schema.fits(TYPES["new_name"], untrusted_name) and untrusted_name != world.prefix
    allowed = allowed and untrusted_name.startswith(world.prefix)  # INVARIANT birth.namespace
    if not allowed:
        raise Refused(REFUSAL.name_not_allowed, "the name does not start with the world's prefix")


def birth_tier(world: World, source: Qube) -> str:
    """The lower of the source's tier and the world's birth ceiling. The child of a template that agents may only build on gets the
    ceiling."""
    most = TIERS[-1] if is_source(world, source) else reach(world, source) or TIERS[0]
    return min(most, world.birth_ceiling, key=TIERS.index)  # INVARIANT tiers.no-escalation


def birth_restrictions(world: World, source_tags: frozenset[str]) -> list[str]:
    anonymous = world.kinds["anonymous"] if world.anonymous else frozenset[str]()
    # INVARIANT restrictions.inherit
    return sorted(source_tags & world.restrictions | anonymous)


def birth_network(world: World, source_network: str | None) -> str:
    """The network of the source, which may be none. For a template, `source_network` is None: the child gets the birth gateway."""
    # INVARIANT birth.egress-inherited
    network = world.birth_gateway if source_network is None else source_network
    require_gateway(world, network)
    return network


def birth_firewall(
    world: World, source_tags: frozenset[str], source_firewall: str | None
) -> str | None:
    """The child never reaches more than its source. It gets the source's rules if they are within the ceiling; the ceiling if the source
    may reach everything (a template has no rules: None); and otherwise, or if the operator has locked the rules, nothing."""
    rules = egress.from_firewall(source_firewall or "")
    if rules is not None and outside_ceiling(world, rules) is None:
        return source_firewall
    open_to_all = source_firewall in (None, egress.EVERYTHING)
    # INVARIANT restrictions.inherit
    ceiling = world.egress if open_to_all and world.egress_lock not in source_tags else []
    # A qube's firewall has no form for *.example.org.
    return egress.to_firewall(filter(is_rule, ceiling))


def require_birth(
    world: World,
    declared: Collection[str],
    kind: str,
    stamp: str,
    network: str,
    tags: frozenset[str],
    properties: Properties,
) -> None:
    """Check what qubesd made before anyone hears of it. A refusal here undoes the birth."""
    value = {key: read for key, (read, _) in properties.items()}
    born = "DispVMTemplate" if value.get("template_for_dispvms") == "True" else value["klass"]
    made = all(
        (
            born == kind and kind in declared,  # INVARIANT birth.class
            {world.umbrella, stamp} <= tags,  # INVARIANT birth.tagged-before-named
            world.tombstone not in tags,  # INVARIANT remove.is-a-tombstone
            # INVARIANT tiers.no-escalation
            world.kinds["tier"].isdisjoint(tags),
            value["netvm"] == network,  # INVARIANT birth.egress-inherited
            not any(
                value[hatch] for hatch in NAMES.escape_hatches
            ),  # INVARIANT birth.no-escape-hatch
            value["autostart"] == "False",  # INVARIANT birth.no-escape-hatch
            value["provides_network"] == "False",  # INVARIANT egress.no-new-gateway
        )
    )
    if not made:
        raise Refused(REFUSAL.failed, "the new qube is not what was asked for")


# ---- network


def require_gateway(world: World, network: str) -> None:
    if network and network not in world.gateways:  # INVARIANT egress.gateways-only
        raise Refused(REFUSAL.not_permitted, "the network is not a gateway of the world")


def outside_ceiling(world: World, rules: Sequence[Rule]) -> Rule | None:
    """The first rule that no rule of the ceiling covers, or None."""
    return next(
        (rule for rule in rules if not any(egress.covers(one, rule) for one in world.egress)), None
    )


def require_ceiling(world: World, rules: Sequence[Rule]) -> None:
    for rule in rules:
        if not is_rule(rule):
            raise Refused(REFUSAL.invalid_request, "a rule is malformed", rule=rule)
    outside = outside_ceiling(world, rules)
    if outside is not None:  # INVARIANT egress.within-ceiling
        raise Refused(REFUSAL.not_permitted, "a rule is beyond the ceiling", rule=outside)
