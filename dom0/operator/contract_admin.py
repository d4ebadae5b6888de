"""Contracts, for the operator: what one would let an agent do, in words and as a difference, before anything changes."""

import difflib
import json
from functools import lru_cache

from answer import Answer, stop
from host import CONTRACTS, LINKS, SOCKET, write
from settings import contracts

_load = lru_cache(contracts.load)  # in which one bad file does not hide the others


def listing(options):
    installed, unusable = contracts.load(options.root / CONTRACTS)
    rows = [
        {
            "service": name,
            "plugin": one.plugin,
            "effect": one.effect,
            "digest": one.digest,
            "left out": None,
        }
        for name, one in sorted(installed.items())
    ]
    rows += [
        dict.fromkeys(("plugin", "effect", "digest")) | {"service": name, "left out": why}
        for name, why in unusable.items()
    ]
    return Answer(rows, 1 if unusable else 0, text=rows or "No contract is installed.")


def review(options):
    return Answer([_change(options.root, path.stem, _read(path)) for path in options.files])


def install(options):
    """All of them or none: every file is judged before the first is written."""
    return _changed(options.root, {path.stem: _read(path) for path in options.files})


def remove(options):
    for service in options.services:
        if not contracts.NAME.fullmatch(service) or not _path(options.root, service).exists():
            stop(f"{service} is no contract that is installed: qmcp-admin contract list")
    return _changed(options.root, dict.fromkeys(options.services))


def _changed(root, given):
    """`given`: `{service: its contract, or None}`. The link is the door to dom0: it goes first, and comes last."""

    def do():
        for service, contract in given.items():
            (root / LINKS / service).unlink(missing_ok=True)
            if contract is None:
                _path(root, service).unlink()
            else:
                write(_path(root, service), _pretty(contract.data))
                if contract.route == "dom0":
                    (root / LINKS / service).symlink_to(SOCKET)
        done = [
            f"installed {service} {one.digest}" if one else f"removed {service}"
            for service, one in given.items()
        ]
        return [*done, "In force once the policy says the same: qmcp-admin policy install"]

    return Answer([_change(root, *one) for one in given.items()], do=do, words=tuple(given))


def _path(root, service):
    return root / CONTRACTS / f"{service}.json"


def _read(path):
    given, unusable = _load(path.parent)
    return given.get(path.stem) or stop(
        f"{path}: {unusable.get(path.stem, 'is no file that is named SERVICE.json')}"
    )


def _change(root, service, contract):
    """From what is installed to this, or to nothing: what it lets an agent do, and the file itself. `- ` goes, `+ ` comes."""
    path = _path(root, service)
    before = _load(path.parent)[0].get(service)
    old, new = (
        _pretty(before.data) if before else path.read_text("utf-8") if path.exists() else "",
        contract and _pretty(contract.data),
    )
    each = [_in_words(one) if one else [] for one in (before, contract)]
    words = [line.rstrip() for line in difflib.ndiff(*each) if not line.startswith("?")]
    lines = list(
        difflib.unified_diff(
            old.splitlines(), (new or "").splitlines(), "installed", "to be", n=1, lineterm=""
        )
    )
    return {
        "contract": service,
        "in words": words,
        "file": lines or ["Nothing changes: this very contract is installed."],
    }


def _in_words(contract):
    qubes = {
        f"names a qube ({name}) that has at least the tier": tier
        for name, tier in contract.qubes.items()
    }
    qubes |= (
        {"is called on a qube that has at least the tier": contract.target["capability"]}
        if contract.target
        else {}
    )
    return [
        f"is of the plugin {contract.plugin}: {contract.effect}",
        *(f"{words} {tier}" for words, tier in qubes.items()),
        "runs inside that qube; dom0 sees the call and none of its bytes"
        if contract.route == "qube"
        else f"is answered by qmcpd, to which /{LINKS}/{contract.service} leads",
        *(
            contracts.STEPS[step["do"]]["words"]
            + (f", when {step['when'][1:]} is true" if "when" in step else "")
            for step in contract.steps
        ),
        *(
            f"is bound by {one['id']}" + (f" with {json.dumps(one['with'])}" if one["with"] else "")
            for one in contract.invariants
        ),
        *(f"may use {call}" for call in contract.calls),
    ]


def _pretty(data):
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
