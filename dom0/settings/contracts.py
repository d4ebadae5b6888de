"""Contracts: the part of a plugin that dom0 reads. A contract is data within the limits of `spec/`. Its digest shows that the author,
the operator who reviewed it and the kernel mean the same bytes."""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from qmcpd import messages, schema
from qmcpd.errors import Refused
from spec import INVARIANTS, LIMITS, SHAPES, STEPS, TIERS

from . import subset
from .config import Json, World, read

NOTHING = {"type": "object", "additionalProperties": False}
NAME = re.compile(SHAPES["contract"]["properties"]["service"]["pattern"])


class BadContract(ValueError):
    """An unusable contract. The message is for the author: the place in the contract, and what was expected there."""


class Use(NamedTuple):
    """How the steps use the qube that a reference names: the lowest tier that is enough, and whether they change the qube."""

    kind: str
    tier: str
    changes: bool


@dataclass(frozen=True)
class Contract:
    data: dict
    digest: str
    uses: dict  # reference → Use

    def __getattr__(self, key: str) -> Any:
        return self.data[key]

    @property
    def changes(self) -> bool:
        return self.data["effect"] != "read"


def parse(data: Json, service: str) -> Contract:
    """Check a contract. Raises BadContract. `service` is the name under which it was installed."""
    wrong = schema.problem(SHAPES["contract"], data)
    if wrong:
        raise BadContract(f"{'.'.join(map(str, wrong[0])) or 'contract'}: expected {wrong[1]}")
    _want(data["service"] == service, "service", f"expected {service}, as the file is named")
    _want(
        data["service"].split(".")[1] == data["plugin"],
        "plugin",
        f"{service} is outside the namespace qmcp.{data['plugin']}.*",
    )
    for entry in data["invariants"]:
        invariant = INVARIANTS.get(entry["id"])
        _want(
            invariant is not None, "invariants", f"this kernel knows no invariant {entry['id']!r}"
        )
        fits = schema.fits(invariant.get("with", NOTHING), entry["with"])
        _want(fits, "invariants", f"{entry['id']} cannot be had with {json.dumps(entry['with'])}")
    if data["route"] == "qube":
        _check_guest(data)
        uses = {}
    else:
        _check_schemas(data)
        uses = _check_steps(data)
    return Contract(data, "sha256:" + hashlib.sha256(messages.canonical(data)).hexdigest(), uses)


def _check_guest(data: Json) -> None:
    """For a service in a qube, dom0 does nothing but decide by the policy."""
    _want(data["target"] is not None, "target", "a service inside a qube has a target")
    _want(not (data["steps"] or data["calls"] or data["qubes"]), "steps", "dom0 has no part in it")
    for entry in data["invariants"]:
        by = INVARIANTS[entry["id"]]["enforced_by"]
        _want(
            by == "policy",
            "invariants",
            f"{entry['id']} is enforced by {by}, which has no part in a service inside a qube",
        )


def _check_schemas(data: Json) -> None:
    most = {
        "params": (
            LIMITS.request_bytes // 2,
            LIMITS.request_checks,
        ),  # an item takes two bytes at least
        "reply": (1, LIMITS.reply_checks),
    }
    for key, (longest, limit) in most.items():
        try:
            subset.check(data[key])
        except (ValueError, re.error) as error:
            raise BadContract(f"{key}: {error}") from None
        _want(data[key].get("type") == "object", key, "expected an object")
        checks = subset.most_checks(data[key], longest)
        _want(
            checks <= limit,
            key,
            f"its check can take {checks} comparisons, and {limit} are allowed: give each array a "
            "smaller maxItems, or use fewer alternatives",
        )


def _check_steps(data: Json) -> dict[str, Use]:
    """`{reference: Use}`: how the steps use each qube."""
    parameters, required = data["params"].get("properties", {}), data["params"].get("required", [])
    _want(
        "target" not in parameters, "params.target", "$target is the qube the service is called on"
    )
    _want(set(data["qubes"]) <= set(required), "qubes", "expected names of required parameters")
    _want(data["steps"], "steps", "expected a list of steps")
    target = {"$target": data["target"]["capability"]} if data["target"] else {}
    uses = {reference: Use("qube", tier, False) for reference, tier in target.items()}
    uses |= {f"${name}": Use("qube", tier, False) for name, tier in data["qubes"].items()}
    for index, entry in enumerate(data["steps"]):
        here = f"steps[{index}]"
        _check_step(here, entry, data)
        step = STEPS[entry["do"]]
        arguments = {name.rstrip("?"): kind for name, kind in step["arguments"].items()}
        for name, value in entry["with"].items():
            _check_argument(f"{here}.{name}", arguments[name], value, parameters, required, uses)
            if arguments[name] in ("new", "qube", "source", "removed"):
                before = uses.get(value, Use(arguments[name], TIERS[0], False))
                # INVARIANT devices.both-ends
                tier = max(before.tier, step["tier"], key=TIERS.index)
                changes = before.changes or arguments[name] != "source"
                # A qube that the steps only build on may be a template with the `source` right.
                kind = "source" if not changes and value != "$target" else before.kind
                uses[value] = Use("qube" if changes and kind == "source" else kind, tier, changes)
        when = entry.get("when", "$")[1:]
        _want(
            not when or parameters.get(when, {}).get("type") == "boolean",
            f"{here}.when",
            "expected a boolean parameter",
        )
    beyond = set(data["calls"]).difference(
        *(STEPS[entry["do"]]["methods"] for entry in data["steps"])
    )
    _want(not beyond, "calls", f"its steps may not use {', '.join(sorted(beyond))}")
    return uses


def _check_step(here: str, entry: Json, data: Json) -> None:
    """Check that the step exists and gets its arguments."""
    step, given = STEPS.get(entry["do"], {}), set(entry["with"])
    _want(
        step,
        here,
        f"unknown step {entry['do']!r}; this kernel knows {', '.join(STEPS)}",
    )
    _want(
        step.get("reads_only") or data["effect"] != "read",
        here,
        f"{entry['do']} changes the host, and effect is read",
    )
    _want(
        not (step.get("streams") or step.get("replaces")) or len(data["steps"]) == 1,
        here,
        f"{entry['do']} is the only step of a contract",
    )
    needed = {name for name in step["arguments"] if not name.endswith("?")}
    _want(
        needed <= given <= {name.rstrip("?") for name in step["arguments"]},
        here,
        f"{entry['do']} takes {', '.join(step['arguments']) or 'nothing'}",
    )


def _check_argument(
    here: str,
    kind: str | list[str],
    value: str,
    parameters: Json,
    required: list[str],
    uses: dict[str, Use],
) -> None:
    if isinstance(kind, list):
        _want(value in kind, here, f"expected one of {', '.join(kind)}")
    elif kind in ("qube", "source"):
        reach = sorted(reference for reference, use in uses.items() if use.kind != "removed")
        _want(
            value in reach, here, f"expected a qube in reach: {', '.join(reach) or 'there is none'}"
        )
    else:
        _want(
            value.startswith("$") and value[1:] in parameters,
            here,
            "expected a reference to a parameter",
        )
        _want(
            kind not in ("new", "removed") or (value[1:] in required and value not in uses),
            here,
            "expected a required parameter that names nothing else",
        )


def _want(condition: object, where: str, message: str) -> None:
    if not condition:
        raise BadContract(f"{where}: {message}")


# Calls wait while the settings are read again, and most contracts have not changed.
_parsed = lru_cache(LIMITS.judged_contracts)(
    lambda text, service: parse(messages.parse_json(text), service)
)


def load(directory: str | Path) -> tuple[dict[str, Contract], dict[str, str]]:
    """`({service: Contract}, {service: why it is unusable})`. The service of an unusable contract does not exist."""
    contracts, unusable = {}, {}
    for path in sorted(Path(directory).glob("*.json")):
        try:
            contracts[path.stem] = _parsed(read(path), path.stem)
        except BadContract as error:
            unusable[path.stem] = str(error)
        except (OSError, Refused):
            unusable[path.stem] = (
                f"contract: expected one JSON object of at most {LIMITS.request_bytes} bytes, without duplicate keys"
            )
    return contracts, unusable


def catalog(
    contracts: dict[str, Contract],
    unusable: dict[str, str],
    world: World,
    principal: str,
    policy: str,
) -> Json:
    """What dom0 enforces for this principal, and which contracts are not in force. A service in a qube is in force only if `policy`, the
    installed text, was generated from this very contract."""
    services, unusable = {}, dict(unusable)
    asks = {
        words[0]: words[1:]
        for words in map(str.split, re.findall(rf"^# asks {principal} (.*)$", policy, re.MULTILINE))
    }
    for name, contract in contracts.items():
        # INVARIANT policy.consistent
        if contract.route == "qube" and f"# contract {name} {contract.digest}\n" not in policy:
            unusable[name] = (
                "the installed policy was not generated from this contract: qmcp-admin policy install"
            )
            continue
        granted = contract.plugin in world.principals[principal]
        services[name] = {
            "plugin": contract.plugin,
            "digest": contract.digest,
            "granted": granted,
            "invariants": contract.invariants,
        } | ({"asks": asks[name]} if name in asks else {})
    return {
        "format": 1,
        "world": world.name,
        "prefix": world.prefix,
        # For the control qube, which lets further calls wait.
        "concurrent_calls": world.budget["concurrent_calls"],
        "services": services,
        "unusable": unusable,
        "invariants": {
            identity: {"enforcedBy": invariant["enforced_by"]}
            for identity, invariant in INVARIANTS.items()
        },
    }
