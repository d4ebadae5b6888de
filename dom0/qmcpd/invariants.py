"""The statements that hold whatever an agent does, each enforced by a line marked `# INVARIANT id`.

The checks are plain functions of the world and of what qubesd said; the kernel and the steps call them, so that no
contract can leave one out. REGISTRY is what the catalog tells a plugin we enforce.
"""

from .config import TIERS
from .errors import Refused
from . import wire

OUT_OF_SCOPE = "<out-of-scope>"
# The classes a contract may ever let be born; each contract declares which.
BIRTH_CLASSES = ("AppVM", "DispVM")
ESCAPE_HATCHES = ("default_dispvm", "guivm", "audiovm", "management_dispvm")


def _no_parameters(given):
    return given == {}


def _birth_classes(given):
    classes = given.get("classes")
    return set(given) == {"classes"} and isinstance(classes, list) and bool(classes) and all(
        one in BIRTH_CLASSES for one in classes
    )


# id → (where it is enforced, which parameters a contract may declare it with)
REGISTRY = {
    "scope.existence-hidden": ("dom0", _no_parameters),
    "scope.values-redacted": ("dom0", _no_parameters),
    "scope.self-excluded": ("dom0", _no_parameters),
    "tags.operator-only": ("dom0", _no_parameters),
    "tiers.unreadable": ("dom0", _no_parameters),
    "tiers.no-escalation": ("dom0", _no_parameters),
    "restrictions.inherit": ("dom0", _no_parameters),
    "birth.tagged-before-named": ("dom0", _no_parameters),
    "birth.namespace": ("dom0", _no_parameters),
    "birth.class": ("dom0", _birth_classes),
    "birth.egress-inherited": ("dom0", _no_parameters),
    "birth.no-escape-hatch": ("dom0", _no_parameters),
    "egress.gateways-only": ("dom0", _no_parameters),
    "egress.no-new-gateway": ("dom0", _no_parameters),
    "remove.is-a-tombstone": ("dom0", _no_parameters),
    "audit.complete": ("dom0", _no_parameters),
    "crash.no-residue": ("dom0", _no_parameters),
    "frozen.means-frozen": ("dom0", _no_parameters),
    "policy.closed": ("policy", _no_parameters),
}


# ---- who may be seen, and what of them

def is_in_scope(world, name, tags):
    return all((
        world.umbrella in tags,  # INVARIANT scope.existence-hidden
        world.tombstone not in tags,  # INVARIANT remove.is-a-tombstone
        name not in world.excluded,  # INVARIANT scope.self-excluded
        world.born in tags or not is_of_world(world, tags),  # INVARIANT crash.no-residue
    ))


def is_of_world(world, tags):
    """Made by one of the world's principals: qubesd stamps that, and lets no qube write the stamp."""
    return any(f"created-by-{principal}" in tags for principal in world.principals)


def require_reach(world, name, tags, capability):
    """One refusal for missing (no tags), out of scope, under tier, guarded and tombstoned."""
    tier = world.tier(tags)
    within = is_in_scope(world, name, tags)
    within = within and TIERS.index(tier) >= TIERS.index(capability)  # INVARIANT tiers.no-escalation
    if not within:
        raise Refused("not-found")


def redact(world, name, tags):
    """A qube's name as a value: itself when the caller may see it, null for none, else one constant."""
    if not name:
        return None
    visible = name in world.gateways or is_in_scope(world, name, tags)
    return name if visible else OUT_OF_SCOPE  # INVARIANT scope.values-redacted


# ---- birth

def require_namespace(world, untrusted_name):
    allowed = wire.is_qube_name(untrusted_name) and untrusted_name != world.prefix
    allowed = allowed and untrusted_name.startswith(world.prefix)  # INVARIANT birth.namespace
    allowed = allowed and untrusted_name not in world.excluded
    if not allowed:
        raise Refused("name-not-allowed")


def birth_tier(world, source_tier):
    """A child is at most at its source's tier, and never above the world's birth ceiling."""
    return min(source_tier, world.birth_ceiling, key=TIERS.index)  # INVARIANT tiers.no-escalation


def birth_restrictions(world, source_tags):
    return sorted(source_tags & world.restrictions)  # INVARIANT restrictions.inherit


def birth_network(world, wanted):
    """The child of a template sits on the birth gateway; a template's own network is never inherited."""
    return "" if wanted == "none" else world.birth_gateway  # INVARIANT birth.egress-inherited


def require_birth(world, declared, stamp, network, klass, tags, properties):
    """What was made is what was meant: read back before anyone hears of it. A failure here undoes the birth."""
    value = {key: read.value for key, read in properties.items()}
    made = all((
        klass in declared.get("classes", ()),  # INVARIANT birth.class
        {world.umbrella, stamp} <= tags,  # INVARIANT birth.tagged-before-named
        not any(world.tier_tag(tier) in tags for tier in TIERS[1:]),
        value["netvm"] == network,  # INVARIANT birth.egress-inherited
        not any(value[hatch] for hatch in ESCAPE_HATCHES),  # INVARIANT birth.no-escape-hatch
        value["autostart"] == "False",  # INVARIANT birth.no-escape-hatch
        value["provides_network"] == "False",  # INVARIANT egress.no-new-gateway
        value["template_for_dispvms"] == "False",  # INVARIANT birth.class
    ))
    if not made:
        raise Refused("failed")


def require_gateway(world, network):
    if network and network not in world.gateways:  # INVARIANT egress.gateways-only
        raise Refused("not-permitted")
