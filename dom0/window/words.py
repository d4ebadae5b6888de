"""What is shown of the words of others, and the rows that are made of qmcp-admin's documents. Nothing here draws.

An agent chose many of these words. They are made printable ASCII here, once, and no widget reads markup, so they can only be read."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

MOST = 200  # characters of a value on one line
WIDTH = 90  # characters of a line of a plan: nothing is to the right of it
RIGHT = "beyond"  # the style of a line of a plan that says what an agent has no right to do
HEADING, AGENT, PLAIN = "heading", "agent", "plain"
Json = dict[str, Any]
Row = tuple[str, ...]
Line = tuple[str, str, str]  # style, number, text


def safe(value: object, most: int = MOST) -> str:
    """On one line, printable ASCII, and shortened."""
    text = (
        ""
        if value is None
        else ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
    )
    text = "".join(
        c if " " <= c <= "~" else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in text[: most + 1]
    )
    return text if len(text) <= most else f"{text[:most]}..."


def size(count: object) -> str:
    return f"{count / 2**30:.1f} GiB" if isinstance(count, int | float) else ""


def seconds_left(until: object, now: float | None = None) -> int | None:
    """Until an instant as qmcp-admin writes it; None for what is none."""
    try:
        end = datetime.fromisoformat(str(until)).timestamp()
    except ValueError:
        return None
    return round(end - (time.time() if now is None else now))


def time_left(until: object, now: float | None = None) -> str:
    left = seconds_left(until, now)
    if left is None:
        return ""
    hours, minutes = divmod(max(left, 0) // 60, 60)
    return "has ended" if left <= 0 else f"{hours} h {minutes:02} min {left % 60:02} s"


def local(instant: object) -> str:
    """In local time, to the second."""
    try:
        return datetime.fromisoformat(str(instant)).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return safe(instant)


# ---- the rows of the tables: the key, then a cell for each column


def qube(world: Json, one: Json) -> Row:
    return (
        safe(one["qube"]),
        safe(one["qube"]),
        safe(world["world"]),
        safe(one["state"]),
        safe(one["tier"]),
        safe(one["network"]) or "none",
        size(one["disk"]),
        safe(one["switches"]),
        safe(one["made by"]),
        safe(one["class"]),
    )


def grants(worlds: list[Json]) -> Iterator[Row]:
    for one in (one for world in worlds for one in world["qubes"] if one["until"]):
        ends = time_left(one["until"]), local(one["until"])
        yield safe(one["qube"]), safe(one["qube"]), safe(one["tier"]), *ends


def removed(one: Json) -> Row:
    name = safe(one["qube"])
    return name, name, safe(one["world"]), local(one["removed"]), safe(one["would get back"])


def gateway(one: Json) -> Row:
    keys = ("gateway", "world", "state", "rules", "anonymity", "upstream", "used by", "label")
    return f"{safe(one['world'])}/{safe(one['gateway'])}", *(safe(one.get(key)) for key in keys)


def problem(number: int, one: Json) -> Row:
    return str(number), safe(one["where"]), safe(one["what"], 400), safe(one["fix"], 400)


def plan(one: Json) -> Row:
    keys = ("plan", "state", "world", "of", "steps")
    shown = [safe(one[key]) for key in keys]
    return shown[0], *shown, local(one["expires"]), safe(one["title, in the agent's words"])


def call(entry: Json, before: Row | None) -> Row:
    """A call is one row: its outcome takes the place of its intent."""
    key = safe(entry.get("call") or entry.get("hash"))
    names = entry.get("names") if isinstance(entry.get("names"), list) else []
    about = list(dict.fromkeys([*map(str, names or []), str(entry.get("target") or "")]))
    about = [name for name in about if name and (name != "dom0" or len(about) == 1)]
    kind = entry.get("kind")
    result = "in progress" if kind == "intent" else entry.get("code") or kind
    return (
        key,
        before[1] if before else local(entry.get("time")),
        safe(entry.get("principal")),
        safe(entry.get("service")),
        safe(about),
        safe(result),
    )


# ---- a plan, as lines


def review(shown: Json) -> Iterator[Line]:
    """All of it. What an agent wrote stands behind a bar, in quotes or behind line numbers."""
    yield HEADING, "", f"Plan {safe(shown['digest'])}"
    who = f"proposed by {safe(shown['principal'])} of the world {safe(shown['world'])}"
    yield from _wrapped(f"{safe(shown['state'])}, {who} at {local(shown['proposed'])}")
    yield PLAIN, "", "The agent gave it this title and this reason, which do nothing by themselves:"
    for text in (shown["title"], shown["reason"]):
        yield from _wrapped(safe(text, 20_000), AGENT, "|")
    for one in shown["steps"]:
        yield PLAIN, "", ""
        yield HEADING, "", f"Step {one['number']} of {len(shown['steps'])}: {safe(one['state'])}"
        yield from _step(one)
    for said in shown["changed"]:
        yield from _wrapped(f"CHANGED since it was proposed: {safe(said, 4000)}", RIGHT)
    yield PLAIN, "", "This is the end of the plan."


def _step(one: Json) -> Iterator[Line]:
    for said in one["in words"]:
        yield from _wrapped(safe(said, 100_000))
    for said in one["beyond the tier"]:
        yield from _wrapped(f"NEEDS YOUR YES: {safe(said, 4000)}", RIGHT)
    for said in one.get("warnings", ()):
        yield from _wrapped(f"WARNING: {safe(said, 4000)}", RIGHT)
    for key in ("script", "input"):
        yield from _numbered(key, one.get(key) or [])
    for said in one.get("not pinned", ()):
        yield from _wrapped(f"CAN CHANGE before the run, because it is not pinned: {said}", RIGHT)
    for name in ("directory", "pinned", "service", "params", "still holds", "ceilings", "undo"):
        for said in _listed(one.get(name)):
            yield from _wrapped(f"{name}: {safe(said, 100_000)}")


def _listed(value: object) -> list[Any]:
    return [] if value in (None, "", [], {}) else value if isinstance(value, list) else [value]


def _numbered(key: str, rows: list[Json]) -> Iterator[Line]:
    if rows:
        yield PLAIN, "", f"The {key}, with {rows[-1].get('to', rows[-1]['line'])} lines:"
    for row in rows:
        blank = f"(blank up to line {row.get('to')})" if "to" in row else ""
        yield from _wrapped(blank or safe(row["text"], 100_000), AGENT, str(row["line"]))


def _wrapped(text: str, style: str = PLAIN, number: str = "") -> Iterator[Line]:
    for at in range(0, max(len(text), 1), WIDTH):
        yield style, "" if at and number != "|" else number, text[at : at + WIDTH]
