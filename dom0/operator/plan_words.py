"""A plan in words. All that an agent wrote is shown as data: in quotes or behind line numbers, with every character visible."""

import json
import re
from collections.abc import Iterator
from typing import Any

import contract_admin
from answer import safe
from qmcpd.plans import inside
from settings.config import World
from settings.contracts import Contract
from spec import INVARIANTS, LIMITS

Json = dict[str, Any]
WIDTH = 96  # characters of a script on one line of a page: nothing is to the right of it
BLANK = 3  # more blank lines in a row are shown as one
_WORD = re.compile(r"[^\s'\"();|&<>`$={}]+")
_SUFFIX = re.compile(r".+\.(?:sh|py|pl|rb|js|mjs|lua|awk|sql|conf|mk|service|deb|rpm|jar|bin)")


def step(
    one: Json, contract: Contract, beyond: dict[str, tuple[str, str | None]], world: World
) -> Json:
    """A step as `plan show --json` has it."""
    lacks = [
        f"{name} has the tier {has or 'none'}, and this takes {takes}"
        for name, (takes, has) in beyond.items()
    ]
    shared = {
        "beyond the tier": lacks,
        "undo": "nobody can undo it"
        if contract.effect == "destroy"
        else "it changes nothing"
        if contract.effect == "read"
        else "another call can undo it",
    }
    if inside(one):
        return _command(one) | shared
    return {
        "service": one["service"],
        "qube": one.get("target"),
        "in words": [
            words(entry, one)
            for entry in contract.steps
            if "when" not in entry or one["params"].get(entry["when"][1:], False)
        ],
        "params": one["params"],
        **shared,
        "still holds": [INVARIANTS[entry["id"]]["statement"] for entry in contract.invariants],
        "ceilings": _ceilings(contract, world),
    }


def words(entry: Json, one: Json) -> str:
    """A step of the contract, with the values of the call instead of its parameters."""
    values = {"$target": one.get("target")} | {f"${k}": v for k, v in one["params"].items()}
    fixed = {name: value for name, value in entry["with"].items() if not value.startswith("$")}
    said, _, _ = contract_admin.step_in_words(entry | {"with": fixed}).partition(": ")
    given = [
        f"{name} {json.dumps(values[value])}"
        for name, value in entry["with"].items()
        if value in values
    ]
    return f"{said}: {', '.join(given)}" if given else said


def _ceilings(contract: Contract, world: World) -> Json:
    """Those of qmcp.toml that bound such a call."""
    ids = {entry["id"] for entry in contract.invariants}
    bounds: dict[str, tuple[str, Any]] = {
        "budget.hard": ("budget", world.budget),
        "egress.within-ceiling": ("egress", world.egress),
        "egress.gateways-only": ("gateways", world.gateways),
        "props.allowlist": ("properties", [*world.properties, *world.features]),
    }
    return {name: value for of, (name, value) in bounds.items() if of in ids}


def _command(one: Json) -> Json:
    command = one["command"]
    text = command if isinstance(command, str) else json.dumps(command, ensure_ascii=True)
    pinned = {pin["path"] for pin in one.get("files", ())}
    return {
        "qube": one["qube"],
        "in words": [
            f"runs a {'script with /bin/sh' if isinstance(command, str) else 'program'} in {one['qube']}, "
            f"as {one.get('user', 'user')}, for at most "
            f"{one.get('timeout', LIMITS.default_command_seconds)} seconds"
        ],
        "directory": one.get("cwd"),
        "script": lines(text),
        "input": lines(one.get("input", "")),
        "pinned": one.get("files", []),
        "not pinned": unpinned(command, pinned) + unpinned(one.get("input", ""), pinned),
        "warnings": [*_warnings("the script", text), *_warnings("the input", one.get("input", ""))],
    }


def unpinned(command: str | list[str], pinned: set[str]) -> list[str]:
    """The words that look like files: they can be other files by the time the command runs."""
    parts = [command] if isinstance(command, str) else command
    found = [word for part in parts for word in _WORD.findall(part)]
    files = [word for word in found if "/" in word or _SUFFIX.fullmatch(word)]
    return sorted({word for word in files if word not in pinned and word.strip("/")})


def lines(text: str) -> list[Json]:
    """`{line, text}`, or `{line, to, text}` for blank lines in a row: all characters but printable ASCII are escaped."""
    rows: list[Json] = []
    for number, line in enumerate(text.split("\n") if text else [], 1):
        if not line.strip() and rows and not rows[-1]["text"]:
            rows[-1]["to"] = number
        else:
            rows.append({"line": number, "text": safe(line) if line.strip() else ""})
    return rows


def _warnings(of: str, text: str) -> Iterator[str]:
    if any(not (" " <= c <= "~" or c in "\n\t") for c in text):
        yield f"{of} has characters that do not show, or that look like others: they are written as \\x.. or \\u...."
    if any(len(line) > WIDTH for line in text.split("\n")):
        yield f"{of} has lines of more than {WIDTH} characters"
    if re.search(rf"(?:\n[ \t]*){{{BLANK + 1},}}", text):
        yield f"{of} has many blank lines in a row, and goes on after them"
    if re.search(r"\S[ \t]{9,}\S", text):
        yield f"{of} has a wide gap within a line"


# ---- for a person


def pages(shown: Json) -> list[str]:
    """As lines. The agent's words stand behind a bar."""
    said = [
        f"plan {shown['digest']}",
        f"state: {shown['state']}; proposed by {shown['principal']} of world {shown['world']} at {shown['proposed']}",
        "the agent's words, which do nothing by themselves:",
        *_quoted("title", shown["title"]),
        *_quoted("reason", shown["reason"]),
    ]
    for one in shown["steps"]:
        said += ["", f"step {one['number']} of {len(shown['steps'])} ({one['state']})"]
        said += [f"  {line}" for line in _lines_of(one)]
    changed = [f"CHANGED since it was proposed: {line}" for line in shown["changed"]]
    approval = [f"{key}: {value}" for key, value in shown.get("approval", {}).items()]
    return [*said, "", *changed, *approval]


def _lines_of(one: Json) -> Iterator[str]:
    yield from one["in words"]
    if "script" in one:
        yield from (f"in {one['directory']}",) if one["directory"] else ()
        yield from _numbered(one["script"])
        yield from ("and for its standard input:", *_numbered(one["input"])) if one["input"] else ()
        yield from (f"pinned: {pin['path']} has SHA-256 {pin['sha256']}" for pin in one["pinned"])
        yield from (
            f"NOT PINNED, so its contents can change before the run: {word}"
            for word in one["not pinned"]
        )
        yield from (f"WARNING: {line}" for line in one["warnings"])
    else:
        yield f"calls {one['service']}" + (f" on {one['qube']}" if one["qube"] else "")
        yield f"with {json.dumps(one['params'])}"
        yield from (f"still holds: {line}" for line in one["still holds"])
        yield from (
            f"ceiling, {name}: {json.dumps(value)}" for name, value in one["ceilings"].items()
        )
    yield from (f"BEYOND ITS RIGHTS: {line}" for line in one["beyond the tier"])
    yield one["undo"]


def _numbered(rows: list[Json]) -> Iterator[str]:
    for row in rows:
        if "to" in row:
            yield f"{row['line']:>6} | (lines {row['line']} to {row['to']} are blank)"
            continue
        parts = re.findall(rf".{{1,{WIDTH}}}", row["text"]) or [""]
        yield f"{row['line']:>6} | {parts[0]}"
        yield from (f"{'':>6} : {part}" for part in parts[1:])


def _quoted(name: str, text: str) -> Iterator[str]:
    for part in re.findall(rf".{{1,{WIDTH}}}", safe(text)):
        yield f"  {name} | {part}"
