"""Contracts: what a plugin may put into dom0. Data, bounded by the vocabulary below; digested, so that the plugin's author,
the operator who reviewed it and the kernel mean the same bytes."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from . import wire
from .config import TIERS
from .errors import Refused
from .invariants import REGISTRY
from .schema import check_schema
from .steps import STEPS

FORMAT = 1
KEYS = {
    "format", "service", "plugin", "effect", "route", "target", "qubes", "params", "invariants", "calls", "steps", "reply",
}
NAME = re.compile(r"qmcp\.([a-z][a-z0-9]*)\.[A-Z][A-Za-z]*")


class BadContract(ValueError):
    """Written for the author: where in the contract, and what was expected."""


@dataclass(frozen=True)
class Contract:
    data: dict
    digest: str

    def __getattr__(self, key):
        return self.data[key]

    @property
    def capability(self):
        return self.data["target"]["capability"]

    @property
    def changes(self):
        return self.data["effect"] != "read"


def parse(data, service):
    """A contract, or BadContract. `service` is the name it was installed under."""
    _want(isinstance(data, dict) and set(data) == KEYS, "contract", f"expected exactly the keys {', '.join(sorted(KEYS))}")
    _want(data["format"] == FORMAT, "format", f"expected {FORMAT}")
    name = NAME.fullmatch(data["service"]) if isinstance(data["service"], str) else None
    _want(name is not None and data["service"] == service, "service", f"expected {service}, as the file is named")
    _want(data["plugin"] == name[1], "plugin", f"{service} is outside the namespace qmcp.{data['plugin']}.*")
    _want(data["effect"] in ("read", "write", "destroy"), "effect", "expected read, write or destroy")
    _want(data["route"] in ("dom0", "qube"), "route", "expected dom0 or qube")
    target = data["target"]
    _want(target is None or (isinstance(target, dict) and set(target) == {"capability"} and target["capability"] in TIERS),
          "target", f"expected null, or a capability out of {', '.join(TIERS)}")
    _check_invariants(data["invariants"])
    if data["route"] == "qube":
        _want(target is not None, "target", "a service inside a qube has a target")
        _want(data["steps"] == [] and data["calls"] == [] and data["qubes"] == {}, "steps", "dom0 has no part in it")
    else:
        for key in ("params", "reply"):
            _checked(check_schema, data[key], key)
            _want(data[key].get("type") == "object", key, "expected an object")
        _check_qubes(data)
        _check_steps(data)
    return Contract(data, "sha256:" + hashlib.sha256(wire.canonical(data)).hexdigest())


def _check_invariants(declared):
    _want(isinstance(declared, list), "invariants", "expected a list")
    for index, entry in enumerate(declared):
        here = f"invariants[{index}]"
        _want(isinstance(entry, dict) and set(entry) == {"id", "with"} and isinstance(entry["with"], dict), here,
              "expected id and with")
        _want(isinstance(entry["id"], str) and entry["id"] in REGISTRY, here, f"this kernel knows no invariant {entry['id']!r}")
        _want(REGISTRY[entry["id"]][1](entry["with"]), here, f"{entry['id']} cannot be had with {json.dumps(entry['with'])}")


def _check_qubes(data):
    required = data["params"].get("required", [])
    _want(isinstance(data["qubes"], dict), "qubes", "expected an object")
    for name, capability in data["qubes"].items():
        _want(name in required, f"qubes.{name}", "expected the name of a required parameter")
        _want(capability in TIERS, f"qubes.{name}", f"expected one of {', '.join(TIERS)}")


def _check_steps(data):
    steps, calls = data["steps"], data["calls"]
    _want(isinstance(steps, list) and steps, "steps", "expected a list of steps")
    parameters = data["params"].get("properties", {})
    _want("target" not in parameters, "params.target", "$target is the qube the service is called on")
    reach = {f"${name}" for name in data["qubes"]} | ({"$target"} if data["target"] else set())
    allowed = set()
    for index, entry in enumerate(steps):
        here = f"steps[{index}]"
        _want(isinstance(entry, dict) and {"do", "with"} <= set(entry) <= {"do", "with", "when"}, here, "expected do, with, when")
        step = STEPS.get(entry["do"]) if isinstance(entry["do"], str) else None
        _want(step is not None, here, f"unknown step {entry['do']!r}; this kernel knows {', '.join(STEPS)}")
        _want(not step.writes or data["effect"] != "read", here, f"{entry['do']} changes the host, and effect is read")
        given = entry["with"]
        _want(isinstance(given, dict) and step.required <= set(given) <= set(step.arguments), here,
              f"{entry['do']} takes {', '.join(step.arguments) or 'nothing'}")
        for name, value in given.items():
            _check_argument(f"{here}.{name}", step.arguments[name], value, parameters, reach, data)
        if "when" in entry:
            switch = str(entry["when"])
            _want(switch.startswith("$") and parameters.get(switch[1:], {}).get("type") == "boolean",
                  f"{here}.when", "expected a reference to a boolean parameter")
        allowed |= step.methods
    _want(isinstance(calls, list) and all(isinstance(call, str) for call in calls), "calls", "expected a list")
    _want(set(calls) <= allowed, "calls", f"its steps may not use {', '.join(sorted(set(calls) - allowed))}")


def _check_argument(here, kind, value, parameters, reach, data):
    if isinstance(kind, tuple):
        _want(value in kind, here, f"expected one of {', '.join(kind)}")
    elif kind in ("qube", "source"):
        _want(isinstance(value, str) and value in reach, here, f"expected a qube in reach: {', '.join(sorted(reach)) or 'there is none'}")
    else:
        known = isinstance(value, str) and value.startswith("$") and value[1:] in parameters
        _want(known, here, "expected a reference to a parameter")
        if kind == "new":
            _want(value[1:] in data["params"].get("required", []), here, "expected a required parameter")
            reach.add(value)


def _want(condition, where, message):
    if not condition:
        raise BadContract(f"{where}: {message}")


def _checked(check, value, where):
    try:
        check(value, where)
    except (ValueError, TypeError, re.error) as error:
        raise BadContract(str(error)) from None


def load(directory):
    """`({service: Contract}, {service: why not})`. A contract that cannot be used is left out: its service does not exist."""
    contracts, unusable = {}, {}
    for path in sorted(Path(directory).glob("*.json")):
        try:
            contracts[path.stem] = parse(wire.parse_json(path.read_bytes()), path.stem)
        except BadContract as error:
            unusable[path.stem] = str(error)
        except (OSError, Refused):
            unusable[path.stem] = "contract: expected one JSON object of at most 64 KiB, without duplicate keys"
    return contracts, unusable


def catalog(contracts, unusable, world, principal, policy):
    """What dom0 enforces for this principal, and which of its contracts are not in force. A service that the policy decides
    is in force only while `policy`, the installed text, was generated from this very contract."""
    services, unusable = {}, dict(unusable)
    for name, contract in contracts.items():
        if contract.route == "qube" and f"# contract {name} {contract.digest}\n" not in policy:
            unusable[name] = "the installed policy was not generated from this contract: qmcp-admin policy install"
            continue
        services[name] = {
            "plugin": contract.plugin,
            "digest": contract.digest,
            "granted": contract.plugin in world.principals[principal],
            "invariants": contract.invariants,
        }
    return {
        "format": FORMAT,
        "world": world.name,
        "prefix": world.prefix,
        "services": services,
        "unusable": unusable,
        "invariants": {identity: {"enforcedBy": place} for identity, (place, _) in REGISTRY.items()},
    }
