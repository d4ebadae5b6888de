"""/etc/qmcp/qmcp.toml: the worlds, and who is in them. A key we do not know, or a value we cannot use, makes the whole file
unusable: a ceiling that was misspelt must not be a ceiling that is missing. A key that is left out is the least authority."""

import json
import tomllib
from pathlib import Path

from qmcpd import schema
from qmcpd.errors import Misconfigured

from .rules import is_rule

LIMIT = 1024 * 1024  # bytes, of any file of the operator's
TIERS = ("read", "exec", "net", "full")
SHAPE = json.loads((Path(__file__).parent / "shapes/config.json").read_bytes())
_WORLD = SHAPE["properties"]["world"]["additionalProperties"]["properties"]


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
        self.stamps = frozenset(f"created-by-{principal}" for principal in self.principals)
        self.umbrella, self.tombstone = f"{name}-managed", f"{name}-tombstone"
        # What a qube of the world has, living or removed; what a principal made and the operator took out has neither.
        self.marks = frozenset({self.umbrella, self.tombstone})
        # A disposable has the umbrella of its template from the start, and no event says so: its own mark is what is heard.
        self.signs = self.marks | {self.disposable_mark(tier) for tier in TIERS}
        # The last mark of a birth. A qube a principal made that lacks it is unfinished, and nobody's.
        self.born = f"{name}-born"
        self.guard, self.egress_lock, self.sink = (
            f"{name}-guard",
            f"{name}-egress-lock",
            f"{name}-dump",
        )
        # Tags that narrow a qube, and so every child of it.
        self.restrictions = frozenset({self.guard, self.egress_lock, "anon-vm"})

    def tier_tag(self, tier):
        return f"{self.name}-{tier}"

    def disposable_mark(self, tier):
        return f"{self.name}-disp-{tier}"

    def tier(self, tags):
        """The highest tier among these tags; `read` is the umbrella alone, and what a guard leaves."""
        held = [
            tier for tier in TIERS[1:] if self.tier_tag(tier) in tags and self.guard not in tags
        ]
        return max(held, key=TIERS.index, default="read")


class Config:
    """`worlds` by name; `world_of` finds a principal's."""

    def __init__(self, worlds):
        self.worlds = worlds
        self._world_of = {
            principal: world for world in worlds.values() for principal in world.principals
        }

    def world_of(self, principal):
        return self._world_of.get(principal)


def read(path, limit=LIMIT):
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
    wrong = schema.problem(SHAPE, data) or _disagreement(data["world"])
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
