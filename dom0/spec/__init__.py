"""The rule book, read: every step, type, invariant, refusal, name and limit there is, from the files beside this one. Nothing else in
dom0 says one of them again, so a change is one edit. A name that no file has is an AttributeError or a KeyError, never a default."""

import json
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_HERE = Path(__file__).parent


def table(name: str) -> dict[str, Any]:
    """A file of the spec, as it is written."""
    return tomllib.loads((_HERE / f"{name}.toml").read_text(encoding="utf-8"))


def _step(step: dict[str, Any]) -> dict[str, Any]:
    """With its methods instead of names of sets of them, and with the name of its tier."""
    methods = {
        method.format(devclass=devclass)
        for word in step["methods"]
        for method in _STEPS["methods"].get(word, [word])
        for devclass in _NAMES["device_classes"]
    }
    tier = _NAMES["tier"][step["tier"]]["name"] if "tier" in step else TIERS[0]
    return step | {"methods": sorted(methods), "tier": tier}


def filled(value: Any) -> Any:
    """With every text that starts with @ replaced by the list, the type or the limit of that name."""
    if isinstance(value, str) and value.startswith("@"):
        return filled(_NAMED[value[1:]])
    if isinstance(value, dict):
        return {key: filled(one) for key, one in value.items()}
    return [filled(one) for one in value] if isinstance(value, list) else value


_NAMES, _STEPS = table("names"), table("steps")
NAMES, TAGS = SimpleNamespace(**_NAMES), _NAMES["tag"]
FEATURE, SERVICE = SimpleNamespace(**_NAMES["feature"]), SimpleNamespace(**_NAMES["service"])
# The tiers, least authority first, and what an agent gains at each.
GAINS = {tier["name"]: tier["gains"] for tier in _NAMES["tier"].values()}
TIERS = tuple(GAINS)
REFUSALS = {code: one for code, one in table("refusals").items() if not one.get("by_server")}
MEMBERSHIP = table("membership")["row"]
REFUSAL = SimpleNamespace(**{code.replace("-", "_"): code for code in REFUSALS})
_LIMITS = {key: one["is"] for group in table("limits").values() for key, one in group.items()}
LIMITS = SimpleNamespace(**_LIMITS)
FEATURES = table("features")
STEPS = {name: _step(step) for name, step in _STEPS["step"].items()}
_NAMED = table("types") | _NAMES | _LIMITS
_NAMED |= {
    "tiers": list(TIERS),
    "least_tier": TIERS[0],
    "features_inside": list(FEATURES["acts_inside"]),
    "settable": [name.rstrip("?") for name in STEPS["property"]["arguments"] if name != "qube"],
}
TYPES, INVARIANTS = filled(table("types")), filled(table("invariants"))
SHAPES = {path.stem: filled(json.loads(path.read_bytes())) for path in _HERE.glob("shapes/*.json")}
