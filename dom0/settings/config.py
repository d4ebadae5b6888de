"""/etc/qmcp/qmcp.toml: the worlds and their principals. An unknown key or an invalid value makes the whole file unusable, because a
misspelt ceiling must not become a missing one. A key that is left out gives the least authority."""

import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import compress
from pathlib import Path
from typing import Any

from qmcpd import schema
from qmcpd.errors import Misconfigured
from spec import FEATURES, LIMITS, MEMBERSHIP, NAMES, SHAPES, TAGS, TIERS, TYPES

from .rules import is_rule

Json = dict[str, Any]
Tags = frozenset[str]

_WORLD = SHAPES["config"]["properties"]["world"]["additionalProperties"]["properties"]
_GATEWAY = _WORLD["gateway"]["additionalProperties"]["properties"]


def _tags(kind: str, world: str, principals: Iterable[str] = ()) -> Tags:
    """Every tag of that kind in the world with that name. The first tier has no tag of its own: the umbrella gives it."""
    pattern, tiers = TAGS[kind]["pattern"], TIERS[1:] if kind == "tier" else TIERS
    return frozenset(
        pattern.format(world=world, tier=tier, principal=principal)
        for tier in tiers
        for principal in (principals if "{principal}" in pattern else [""])
    )


def _own(world: str) -> Tags:
    return frozenset().union(
        *(_tags(kind, world) for kind in TAGS if "{world}" in TAGS[kind]["pattern"])
    )


def _least(keys: Json) -> Json:
    """The defaults of keys that a table leaves out."""
    return {key: shape["default"] for key, shape in keys.items() if "default" in shape}


class World:
    """The settings of a world: which qubes its principals may use, and the ceilings that apply. `principals`: name → the plugins whose
    services it may call. `excluded`: names that no call may act on. `others`: the names of the other worlds."""

    def __init__(
        self, name: str, table: Json, excluded: Iterable[str] = (), others: Iterable[str] = ()
    ) -> None:
        self.name, self.table, settings = name, table, _least(_WORLD) | table
        self.prefix: str = settings["prefix"]
        self.birth_ceiling: str = settings["birth_ceiling"]
        self.birth_gateway: str = settings["birth_gateway"]
        self.gateways: dict[str, Json] = {
            name: _least(_GATEWAY) | gateway for name, gateway in settings["gateway"].items()
        }
        self.guarded: list[str] = settings["guarded"]
        self.updates: str = settings["updates"]
        self.anonymous: bool = settings["anonymous"]
        # The model of each principal: `host:port`, or `{"qube": …, "port": …}`.
        self.models: dict[str, str | Json] = {
            who: grant["model"] for who, grant in table["principal"].items() if "model" in grant
        }
        self.properties: list[str] = settings["properties"]
        self.features: list[str] = settings["features"]
        self.egress: list[Json] = settings["egress"]
        self.tombstone_days: int = settings["tombstone_days"]
        self.principals = {
            who: frozenset(grant.get("plugins", ())) for who, grant in table["principal"].items()
        }
        self.asked_before_destroying = frozenset(
            who for who, grant in table["principal"].items() if grant.get("destructive") == "ask"
        )
        self.budget: dict[str, int] = _least(_WORLD["budget"]["properties"]) | settings["budget"]
        self.excluded = frozenset(
            {"dom0", *self.principals, *self.gateways, *self.guarded, *excluded}
            | {model["qube"] for model in self.models.values() if isinstance(model, dict)}
            | ({self.updates} - {""})
        )
        self.umbrella, self.tombstone, self.born, self.guard, self.egress_lock, self.sink = map(
            self.tag, ("umbrella", "tombstone", "born", "guard", "egress_lock", "sink")
        )
        self.source = self.tag("source")
        # Every tag that has a meaning in this world, and those that narrow a qube: its children inherit these.
        self.own = _own(name)
        self.restrictions = frozenset(self.tag(one) for one in TAGS if TAGS[one].get("narrows"))
        # The tags of each kind that membership.toml names.
        self.kinds = {kind: _tags(kind, name, self.principals) for kind in TAGS}
        self.kinds["authority"] = frozenset().union(
            *(self.kinds[kind] for kind in TAGS if TAGS[kind].get("authority"))
        )
        self.kinds["elsewhere"] = frozenset().union(*map(_own, others))
        # Tags that can bring a qube into the world, or open it. A disposable gets the umbrella of its template without an event.
        self.signs = self.kinds["authority"] | self.kinds["umbrella"] | self.kinds["tombstone"]
        # Every tag that decides what a qube is to the world, and those that tell who made it.
        self.meaningful = frozenset().union(*self.kinds.values())
        self.stamps = self.kinds["stamp"] | self.kinds["disposable_stamp"]
        # Tags whose change makes qmcpd look at the qube again. Calls of agents write these only in births.
        self.watched = (self.own | self.kinds["elsewhere"]) - self.kinds["tombstone"]

    def tag(self, kind: str, tier: str = "", principal: str = "") -> str:
        """The tag with that key in names.toml. Without the last part of a pattern, the text that such tags begin with."""
        return TAGS[kind]["pattern"].format(world=self.name, tier=tier, principal=principal)

    def membership(self, klass: str, tags: Tags) -> Json:
        """What a qube is to this world: a row of membership.toml. The work is the same for every qube."""
        # compress, because a condition would take a few more instructions for each kind that the qube has.
        has = [not those.isdisjoint(tags) for those in self.kinds.values()]
        kinds = set(compress(self.kinds, has))
        return [  # noqa: RUF015  tries every row, so that the time does not tell which one fits
            row
            for row in MEMBERSHIP
            if all(
                (
                    row.get("class", klass) == klass,
                    row.get("not_class") != klass,
                    kinds.issuperset(row.get("has", ())),
                    kinds.isdisjoint(row.get("lacks", ())),
                )
            )
        ][0]

    def reach(self, klass: str, tags: Tags) -> str | None:
        """The tier at which agents may use such a qube, or None."""
        reach = self.membership(klass, tags).get("reach")
        # A disposable starts with the tier tags of its template, so only its own tag counts.
        tier_tag = "disposable" if klass == "DispVM" else "tier"
        held = [
            tier
            for tier in TIERS
            if not tags.isdisjoint((self.tag("disposable", tier), self.tag(tier_tag, tier)))
        ]
        return [TIERS[0], *(held if reach == "tags" else ())][-1] if reach else None


class Config:
    """The worlds by name; `world_of` returns the world of a principal, or None."""

    def __init__(self, worlds: dict[str, World]) -> None:
        self.worlds = worlds

    def world_of(self, principal: str) -> World | None:
        return next((one for one in self.worlds.values() if principal in one.principals), None)


def read(path: str | Path, limit: int = LIMITS.operator_file_bytes) -> bytes:
    """The bytes of a regular file. Raises OSError for anything else, or for a file above the limit."""
    if not Path(path).is_file():
        raise OSError(f"{path} is not a regular file")
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(f"{path} is longer than {limit} bytes")
    return data


def load(path: Path) -> Config:
    try:
        data = tomllib.loads(read(path).decode("utf-8"))
    except (OSError, ValueError) as error:
        raise Misconfigured(path, (), str(error)) from None
    wrong = schema.problem(SHAPES["config"], data) or _disagreement(data["world"])
    if wrong:
        raise Misconfigured(path, wrong[0], f"expected {wrong[1]}")
    # No call may act on a principal or a gateway of any world.
    everyone = {
        name
        for table in data["world"].values()
        for name in (*table["principal"], *table.get("gateway", ()))
    }
    worlds = data["world"]
    return Config(
        {name: World(name, worlds[name], everyone, {*worlds} - {name}) for name in worlds}
    )


def _side_effect(feature: str) -> str:
    """What the host does if somebody sets this feature."""
    effects = (
        words for name, words in FEATURES["acts_outside"].items() if fnmatchcase(feature, name)
    )
    return f"the host {next(effects, 'may do anything: qmcp does not know it')}"


def _disagreement(tables: dict[str, Json]) -> tuple[tuple[str, ...], str] | None:
    """The first value that has the right shape and contradicts another: `(path, the value expected there)`, or None."""
    if not tables:
        return ("world",), "a world"
    owner = {}
    for name, table in tables.items():
        gateways, principals, prefix = (
            table.get("gateway", {}),
            table["principal"],
            table["prefix"],
        )
        for wrong, key, expected in (
            (
                name in NAMES.reserved_world,
                (),
                f"another name for a world: this one stands for {NAMES.reserved_world.get(name)}",
            ),
            (
                table.get("birth_gateway", "") not in [*gateways, ""],
                ("birth_gateway",),
                "one of this world's gateways",
            ),
            (
                not set(gateways).isdisjoint(principals),
                ("gateway",),
                "no principal: it cannot be a gateway",
            ),
            *(
                (
                    # INVARIANT egress.gateways-as-declared
                    table.get("anonymous", False) and not gateway.get("anonymising", False),
                    ("gateway", gateway_name, "anonymising"),
                    "true, because the world is anonymous",
                )
                for gateway_name, gateway in gateways.items()
            ),
            *(
                (
                    # INVARIANT egress.within-ceiling
                    not gateway.get("filters", True) and {"to": "*"} not in table.get("egress", ()),
                    ("gateway", gateway_name, "filters"),
                    'true, or a ceiling of everything, egress with to = "*": no rule limits the qubes on this gateway',
                )
                for gateway_name, gateway in gateways.items()
            ),
            *(
                (
                    not schema.fits(TYPES["settable_feature"], feature),
                    ("features",),
                    "features that act only inside the qube that has them: x-NAME, service.x-NAME, or one of "
                    f"{', '.join(FEATURES['acts_inside'])}; with {feature!r}, {_side_effect(feature)}",
                )
                for feature in table.get("features", ())
            ),
            (
                not all(is_rule(rule, ceiling=True) for rule in table.get("egress", ())),
                ("egress",),
                "rules that qrexec's host can carry out: an address, a host, ports of tcp or udp",
            ),
            *(
                (
                    owner.setdefault(principal, name) != name,
                    ("principal", principal),
                    f"another principal: this one is world {owner[principal]}'s",
                )
                for principal in principals
            ),
            *(
                (
                    other != name and prefix.startswith(one["prefix"]),
                    ("prefix",),
                    f"a prefix that does not overlap with world {other}'s",
                )
                for other, one in tables.items()
            ),
        ):
            if wrong:
                return ("world", name, *key), expected
    return None
