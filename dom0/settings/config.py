"""/etc/qmcp/qmcp.toml: the worlds, and who is in them. A key we do not know, or a value we cannot use, makes the whole file
unusable: a ceiling that was misspelt must not be a ceiling that is missing. A key that is left out is the least authority."""

import tomllib
from pathlib import Path

from qmcpd import schema
from qmcpd.errors import Misconfigured
from spec import LIMITS, SHAPES, TAGS, TIERS

from .rules import is_rule

_WORLD = SHAPES["config"]["properties"]["world"]["additionalProperties"]["properties"]


def _least(keys):
    """What a world has of the keys that are left out."""
    return {key: shape["default"] for key, shape in keys.items() if "default" in shape}


class World:
    """The bounded set of qubes its principals may see, and the ceilings over what they may make of it: every key of its table is
    an attribute. `principals`: name → the plugins whose services it may call. `excluded`: names no call has as its object."""

    def __init__(self, name, table, excluded=()):
        self.__dict__.update(_least(_WORLD) | table)
        self.name = name
        self.principals = {
            who: frozenset(grant.get("plugins", ())) for who, grant in table["principal"].items()
        }
        self.budget = _least(_WORLD["budget"]["properties"]) | self.budget
        self.excluded = frozenset(
            {"dom0", *self.principals, *self.gateways, *self.guarded, *excluded}
        )
        self.stamps = frozenset(self.tag("stamp", principal=who) for who in self.principals)
        self.umbrella, self.tombstone, self.born, self.guard, self.egress_lock, self.sink = map(
            self.tag, ("umbrella", "tombstone", "born", "guard", "egress_lock", "sink")
        )
        # What a qube of the world has, living or removed; what a principal made and the operator took out has neither.
        self.marks = frozenset({self.umbrella, self.tombstone})
        # A disposable has the umbrella of its template from the start, and no event says so: its own mark is what is heard.
        self.signs = self.marks | {self.disposable_mark(tier) for tier in TIERS}
        # Tags that narrow a qube, and so every child of it.
        self.restrictions = frozenset(self.tag(one) for one in TAGS if TAGS[one].get("narrows"))

    def tag(self, role, tier="", principal=""):
        """The tag of names.toml with that name; what it begins with, where the last part of it is left out."""
        return TAGS[role]["pattern"].format(world=self.name, tier=tier, principal=principal)

    def tier_tag(self, tier):
        return self.tag("tier", tier)

    def disposable_mark(self, tier):
        return self.tag("disposable", tier)

    def tier(self, tags):
        """The highest tier among these tags; the least is the umbrella alone, and what a guard leaves."""
        held = [
            tier for tier in TIERS[1:] if self.tier_tag(tier) in tags and self.guard not in tags
        ]
        return max(held, key=TIERS.index, default=TIERS[0])


class Config:
    """`worlds` by name; `world_of` finds a principal's."""

    def __init__(self, worlds):
        self.worlds = worlds

    def world_of(self, principal):
        return next((one for one in self.worlds.values() if principal in one.principals), None)


def read(path, limit=LIMITS.operator_file_bytes):
    """The bytes of a file, and of nothing that only looks like one. Raises OSError."""
    if not Path(path).is_file():
        raise OSError(f"{path} is no file")
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(f"{path} is longer than {limit} bytes")
    return data


def load(path):
    try:
        data = tomllib.loads(read(path).decode("utf-8"))
    except (OSError, ValueError) as error:
        raise Misconfigured(path, (), str(error)) from None
    wrong = schema.problem(SHAPES["config"], data) or _disagreement(data["world"])
    if wrong:
        raise Misconfigured(path, wrong[0], f"expected {wrong[1]}")
    # no world's principal or gateway is an object of any other world either
    everyone = {
        name
        for table in data["world"].values()
        for name in (*table["principal"], *table.get("gateways", ()))
    }
    return Config({name: World(name, table, everyone) for name, table in data["world"].items()})


def _disagreement(tables):
    """What has the right shape and cannot be: `(path, what was expected)`."""
    if not tables:
        return ("world",), "a world"
    seen = {}
    for name, table in tables.items():
        gateways, principals = table.get("gateways", []), table["principal"]
        if table.get("birth_gateway", "") not in [*gateways, ""]:
            return ("world", name, "birth_gateway"), "one of this world's gateways"
        if not set(gateways).isdisjoint(principals):
            return ("world", name, "gateways"), "no principal: it cannot be a gateway"
        if not all(is_rule(rule, ceiling=True) for rule in table.get("egress", ())):
            return (
                "world",
                name,
                "egress",
            ), "rules that qrexec's host can carry out: an address, a host, ports of tcp or udp"
        for principal in principals:
            if seen.setdefault(principal, name) != name:
                return (
                    "world",
                    name,
                    "principal",
                    principal,
                ), f"another principal: this one is world {seen[principal]}'s"
        for other, one in tables.items():
            if other != name and table["prefix"].startswith(one["prefix"]):
                return (
                    "world",
                    name,
                    "prefix",
                ), f"a prefix that does not overlap with world {other}'s"
    return None
