"""Contracts, for the operator: what one would let an agent do, in words and as a difference, before anything changes."""

import difflib
import json
import os
import sys
from pathlib import Path

from qmcpd import wire
from qmcpd.errors import Refused
from settings import contracts
from table import safe

DIRECTORY = "etc/qmcp/contracts"
RESTART = "systemctl restart qmcpd; qmcp-admin policy install"


def listing(root):
    """Every installed contract, with its digest; what cannot be used, and why."""
    installed, unusable = contracts.load(root / DIRECTORY)
    for name, contract in sorted(installed.items()):
        print(f"{name:<28} {contract.effect:<8} {contract.digest}")
    for service, why in unusable.items():
        print(f"{safe(service)} is left out: {safe(why)}", file=sys.stderr)
    return 1 if unusable else 0


def review(root, paths):
    for path in paths:
        contract = _read(path)
        print("\n".join(_in_words(contract)))
        print("".join(_difference(root, contract)) or "  Nothing changes: this very contract is installed.\n")
    return 0


def install(root, paths):
    """All of them or none: every file is judged before the first is written."""
    for contract in [_read(path) for path in paths]:
        target = root / DIRECTORY / f"{contract.service}.json"
        draft = target.with_suffix(".draft")
        draft.write_text(_text(contract), encoding="utf-8")
        os.replace(draft, target)
        print(f"installed {contract.service} {contract.digest}")
    print(f"In force after: {RESTART}")
    return 0


def remove(root, services):
    for service in services:
        if not contracts.NAME.fullmatch(service):
            sys.exit(f"qmcp-admin: {safe(service)} is not the name of a service")
        (root / DIRECTORY / f"{service}.json").unlink()
        print(f"removed {service}")
    print(f"In force after: {RESTART}")
    return 0


def _read(path):
    path = Path(path)
    try:
        return contracts.parse(wire.parse_json(path.read_bytes()), path.stem)
    except contracts.BadContract as error:
        sys.exit(f"qmcp-admin: {safe(path)}: {safe(error)}")
    except Refused:
        sys.exit(f"qmcp-admin: {safe(path)}: expected one JSON object of at most 64 KiB, without duplicate keys")


def _in_words(contract):
    yield f"{contract.service}, of the plugin {contract.plugin}: {contract.effect}"
    if contract.target:
        yield f"  called on a qube that has at least the tier {contract.target['capability']}"
    for name, capability in contract.qubes.items():
        yield f"  names a qube ({name}) that has at least the tier {capability}"
    if contract.route == "qube":
        yield "  runs inside that qube; dom0 sees the call and none of its bytes"
    for step in contract.steps:
        condition = f", when {step['when'][1:]} is true" if "when" in step else ""
        yield f"  {contracts.STEPS[step['do']]['words']}{condition}"
    for invariant in contract.invariants:
        yield f"  bound by {invariant['id']}" + (f" with {json.dumps(invariant['with'])}" if invariant["with"] else "")
    for call in contract.calls:
        yield f"  may use {call}"


def _difference(root, contract):
    installed = root / DIRECTORY / f"{contract.service}.json"
    before = json.loads(installed.read_text(encoding="utf-8")) if installed.exists() else None
    old = _pretty(before).splitlines(keepends=True) if before is not None else []
    new = _text(contract).splitlines(keepends=True)
    return [safe(line.rstrip("\n")) + "\n" for line in difflib.unified_diff(old, new, "installed", "this file", n=1)]


def _text(contract):
    return _pretty(contract.data)


def _pretty(data):
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
