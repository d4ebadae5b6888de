"""What is shown of the words of others, and the rows that are made of qmcp-admin's documents. Nothing here draws.

An agent chose many of these words. They are made printable ASCII here, once, and no widget reads markup, so they can only be read."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

MOST = 200  # characters of a value on one line
Json = dict[str, Any]
Row = tuple[str, ...]


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
