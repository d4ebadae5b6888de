"""Contracts, for the operator: shows what one would let an agent do, in words and as a difference, before anything changes."""

import difflib
import json
from functools import lru_cache
from pathlib import Path

import operator_log
from answer import Answer, Options, stop
from host import CONTRACTS, LINKS, SOCKET, write
from settings import contracts
from spec import TIERS

_load = lru_cache(contracts.load)  # it reports each bad file, and still loads the others


def listing(options: Options) -> Answer:
    installed, unusable = contracts.load(options.root / CONTRACTS)
    rows = [
        *(
            {
                "service": name,
                "plugin": one.plugin,
                "effect": one.effect,
                "digest": one.digest,
                "left out": None,
            }
            for name, one in sorted(installed.items())
        ),
        *(
            dict.fromkeys(("plugin", "effect", "digest")) | {"service": name, "left out": why}
            for name, why in unusable.items()
        ),
    ]
    return Answer(rows, 1 if unusable else 0, text=rows or "No contract is installed.")


def review(options: Options) -> Answer:
    return Answer([_change(options.root, path.stem, _read(path)) for path in options.files])


def install(options: Options) -> Answer:
    """Install all of them or none: every file is checked before the first is written."""
    return _changed(options.root, {path.stem: _read(path) for path in options.files})


def remove(options: Options) -> Answer:
    there = [
        service
        for service in options.services
        if contracts.NAME.fullmatch(service) and _path(options.root, service).exists()
    ]
    missing = set(options.services) - set(there)
    if missing and not operator_log.is_unfinished(options):
        stop(f"no contract called {min(missing)} is installed: qmcp-admin contract list")
    if not there:
        return Answer([], text="Nothing is left to do.")
    return _changed(options.root, dict.fromkeys(there))


def _changed(root: Path, new: dict[str, contracts.Contract | None]) -> Answer:
    """`new`: `{service: its contract, or None}`. The link lets calls into dom0: it is removed first, and made last."""

    def do() -> list[str]:
        for service, contract in new.items():
            (root / LINKS / service).unlink(missing_ok=True)
            if contract is None:
                _path(root, service).unlink()
            else:
                write(_path(root, service), _pretty(contract.data))
                if contract.route == "dom0":
                    (root / LINKS / service).symlink_to(SOCKET)
        return [
            *(
                f"installed {service} {one.digest}" if one else f"removed {service}"
                for service, one in new.items()
            ),
            "To put this in force, run: qmcp-admin policy install",
        ]

    return Answer([_change(root, *one) for one in new.items()], do=do, words=tuple(new))


def _path(root: Path, service: str) -> Path:
    return root / CONTRACTS / f"{service}.json"


def _read(path: Path) -> contracts.Contract:
    usable, unusable = _load(path.parent)
    return usable.get(path.stem) or stop(
        f"{path}: {unusable.get(path.stem, 'not a file named SERVICE.json')}"
    )


def _change(root: Path, service: str, contract: contracts.Contract | None) -> dict:
    """The difference between the installed contract and this one or none: in words, and as lines of the file."""
    path = _path(root, service)
    before = _load(path.parent)[0].get(service)
    old, new = (
        _pretty(before.data) if before else path.read_text("utf-8") if path.exists() else "",
        _pretty(contract.data) if contract else "",
    )
    said, says = (_in_words(one) if one else [] for one in (before, contract))
    return {
        "contract": service,
        "in words": [
            line.rstrip() for line in difflib.ndiff(said, says) if not line.startswith("?")
        ],
        "file": list(
            difflib.unified_diff(
                old.splitlines(), new.splitlines(), "installed", "to be", n=1, lineterm=""
            )
        )
        or ["Nothing changes: this contract is already installed."],
    }


def _in_words(contract: contracts.Contract) -> list[str]:
    asked = {"$target": contract.target["capability"]} if contract.target else {}
    # A step can take a higher tier than the contract names.
    tiers = asked | {reference: use.tier for reference, use in contract.uses.items()}
    qubes = {
        **{
            f'names a qube, in "{name}", that has at least the tier': tiers[f"${name}"]
            for name in contract.qubes
        },
        **(
            {"is called on a qube that has at least the tier": tiers["$target"]}
            if contract.target
            else {}
        ),
    }
    return [
        f"belongs to the plugin {contract.plugin}: {contract.effect}",
        *(f"{words} {tier}" for words, tier in qubes.items()),
        f"runs inside that qube, as {_user(contract)}; dom0 sees the call, but none of its bytes"
        if contract.route == "qube"
        else f"is answered by qmcpd, through /{LINKS}/{contract.service}",
        *map(step_in_words, contract.steps),
        *(
            f"is bound by {one['id']}" + (f" with {json.dumps(one['with'])}" if one["with"] else "")
            for one in contract.invariants
        ),
        *(f"may use {call}" for call in contract.calls),
    ]


def _user(contract: contracts.Contract) -> str:
    looked_at = contract.target["capability"] == TIERS[0]
    return "the qube's own user, also where agents may only look" if looked_at else "root"


def step_in_words(entry: dict) -> str:
    """Its parameters are shown as data: whoever wrote the contract chose their names."""
    step = contracts.STEPS[entry["do"]]
    exactly = [
        step["exactly"][value]
        for value in entry["with"].values()
        if value in step.get("exactly", ())
    ]
    given = [
        f"{name}={json.dumps(value)}"
        for name, value in entry["with"].items()
        if value not in step.get("exactly", ())
    ]
    when = f", when {json.dumps(entry['when'][1:])} is true" if "when" in entry else ""
    return (
        f"{exactly[0] if exactly else step['words']}{when}{': ' if given else ''}{', '.join(given)}"
    )


def _pretty(data: dict) -> str:
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
