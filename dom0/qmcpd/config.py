"""/etc/qmcp/qmcp.toml: the worlds, and who is in them. A key we do not know, or a value we cannot use, stops the daemon:
a ceiling that was misspelt must not be a ceiling that is missing."""

import difflib
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from . import wire
from .errors import Misconfigured

TIERS = ("read", "exec", "net", "full")
WORLD_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")
PREFIX = re.compile(r"[a-z][a-z0-9]*-")
PLUGIN_NAME = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True)
class World:
    """The bounded set of qubes its principals may see, and the ceilings over what they may make of it."""

    name: str
    prefix: str
    # principal → the plugins whose services it may call
    principals: dict[str, frozenset[str]]
    birth_ceiling: str = "read"
    gateways: frozenset[str] = frozenset()
    birth_gateway: str = ""
    guarded: frozenset[str] = frozenset()
    concurrent_calls: int = 8
    # names no call may have as its object: every principal and gateway of the host, dom0, and the guarded
    excluded: frozenset[str] = frozenset()

    @property
    def umbrella(self):
        return f"{self.name}-managed"

    @property
    def born(self):
        """The last mark of a birth. A qube a principal made that lacks it is unfinished, and nobody's."""
        return f"{self.name}-born"

    @property
    def tombstone(self):
        return f"{self.name}-tombstone"

    @property
    def restrictions(self):
        """Tags that narrow a qube, and so every child of it."""
        return frozenset({f"{self.name}-guard", f"{self.name}-egress-lock", "anon-vm"})

    def tier_tag(self, tier):
        return f"{self.name}-{tier}"

    def tier(self, tags):
        """The highest tier among these tags; `read` is the umbrella alone."""
        return max((t for t in TIERS[1:] if self.tier_tag(t) in tags), key=TIERS.index, default="read")


class Config:
    """`worlds` by name; `world_of` finds a principal's."""

    def __init__(self, worlds):
        self.worlds = worlds
        self._world_of = {principal: world for world in worlds.values() for principal in world.principals}

    def world_of(self, principal):
        return self._world_of.get(principal)


def load(path):
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{path}: cannot be read: {error}") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = found[1] if found else str(text.count("\n") + 1)
        raise Misconfigured(f"{path}:{line}: not TOML: {error}") from None
    return _Reader(path, text).config(data)


# key → what a good value is, and a test of it
def _names(value):
    return isinstance(value, list) and all(wire.is_qube_name(name) for name in value)


_WORLD_KEYS = {
    "prefix": ("lower-case letters and digits, then a hyphen", lambda v: isinstance(v, str) and PREFIX.fullmatch(v)),
    "birth_ceiling": (f"one of {', '.join(TIERS)}", lambda v: v in TIERS),
    "gateways": ("a list of qube names", _names),
    "birth_gateway": ("the name of one of this world's gateways", wire.is_qube_name),
    "guarded": ("a list of qube names", _names),
    "concurrent_calls": ("an integer from 1 to 64", lambda v: type(v) is int and 1 <= v <= 64),
    "principal": ("a table of principals", lambda v: isinstance(v, dict) and v),
}
_PRINCIPAL_KEYS = {
    "plugins": (
        "a list of plugin ids",
        lambda v: isinstance(v, list) and all(isinstance(p, str) and PLUGIN_NAME.fullmatch(p) for p in v),
    ),
}


class _Reader:
    def __init__(self, path, text):
        self._path = path
        self._lines = text.split("\n")

    def config(self, data):
        self._check_keys(data, {"world": ("a table of worlds", lambda v: isinstance(v, dict) and v)}, ())
        if "world" not in data:
            raise Misconfigured(f"{self._path}:1: no [world.NAME] table")
        worlds = {name: self._world(name, table) for name, table in data["world"].items()}
        self._check_apart(worlds)
        # no world's principal or gateway is an object of any other world either
        everyone = frozenset({"dom0"}).union(*(set(w.principals) | w.gateways for w in worlds.values()))
        return Config({name: replace(w, excluded=everyone | w.guarded) for name, w in worlds.items()})

    def _world(self, name, table):
        here = ("world", name)
        if not WORLD_NAME.fullmatch(name):
            self._fail(here, f"world name {name!r}: expected lower-case letters and digits")
        self._check_keys(table, _WORLD_KEYS, here)
        for required in ("prefix", "principal"):
            if required not in table:
                self._fail(here, f"[{'.'.join(here)}] has no {required!r}")
        principals = {}
        for principal, grant in table["principal"].items():
            place = (*here, "principal", principal)
            if not wire.is_qube_name(principal):
                self._fail(place, f"principal {principal!r} is not a qube name")
            self._check_keys(grant, _PRINCIPAL_KEYS, place)
            principals[principal] = frozenset(grant.get("plugins", ()))
        gateways = frozenset(table.get("gateways", ()))
        if table.get("birth_gateway", "") not in gateways | {""}:
            self._fail((*here, "birth_gateway"), "birth_gateway is not among this world's gateways")
        both = gateways & set(principals)
        if both:
            self._fail((*here, "gateways"), f"{', '.join(sorted(both))}: a principal cannot be a gateway")
        plain = {key: table[key] for key in ("birth_ceiling", "birth_gateway", "concurrent_calls") if key in table}
        return World(
            name, table["prefix"], principals, gateways=gateways,
            guarded=frozenset(table.get("guarded", ())), **plain,
        )

    def _check_apart(self, worlds):
        """No principal in two worlds, no prefix inside another's."""
        seen = {}
        for world in worlds.values():
            for principal in world.principals:
                if principal in seen:
                    self._fail(("world", world.name, "principal", principal),
                               f"{principal} is already a principal of world {seen[principal]}")
                seen[principal] = world.name
        for one in worlds.values():
            for other in worlds.values():
                if one is not other and other.prefix.startswith(one.prefix):
                    self._fail(("world", other.name, "prefix"),
                               f"prefix {other.prefix!r} overlaps with world {one.name}'s {one.prefix!r}")

    def _check_keys(self, table, known, here):
        if not isinstance(table, dict):
            self._fail(here, f"[{'.'.join(here)}]: expected a table")
        for key, value in table.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
                self._fail((*here, key), f"unknown key {key!r}{hint}")
            expected, good = known[key]
            if not good(value):
                self._fail((*here, key), f"{key} = {value!r}: expected {expected}")

    def _fail(self, place, message):
        raise Misconfigured(f"{self._path}:{self._line(place)}: {message}")

    def _line(self, place):
        """The line of a key: the last place, in the order of the path, at which each of its words was seen."""
        line = 0
        for word in place:
            pattern = re.compile(rf"(?:^\s*|[\[.\"'])({re.escape(word)})(?=[\]\s.=\"'])")
            line = next((n for n in range(line, len(self._lines)) if pattern.search(self._lines[n])), line)
        return line + 1
