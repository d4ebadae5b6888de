"""The schemas that a contract may use. `spec/shapes/subset.json` lists the keywords. Patterns match in linear time, and the check of one
value is short, because every other world waits meanwhile."""

import re
from collections.abc import Iterator

from qmcpd import schema
from qmcpd.schema import Schema
from spec import SHAPES

# Characters and bracketed classes, of which at most one repeats.
_LINEAR = re.compile(
    r"\^(?:\[[^\[\]\\]+\]|[A-Za-z0-9_-])*(?:\[[^\[\]\\]+\][*+])?(?:\[[^\[\]\\]+\]|[A-Za-z0-9_-])*\$"
)


def check(of: Schema) -> None:
    """Raise ValueError for a schema outside the subset; the message names the place."""
    wrong = schema.problem(SHAPES["subset"], of)
    if wrong:
        raise ValueError(f"{'.'.join(map(str, wrong[0]))}: expected {wrong[1]}")
    for one in _all(of):
        if one.get("additionalProperties") or not set(one.get("required", ())) <= set(
            one.get("properties", ())
        ):
            raise ValueError(
                "an object has no additionalProperties, and requires only what its properties name"
            )
        if "pattern" in one and not _LINEAR.fullmatch(one["pattern"]):
            raise ValueError(
                "pattern: expected ^, characters and [classes], one of them with + or *, and $"
            )
        re.compile(one.get("pattern", ""))


def most_checks(of: Schema, longest: int) -> int:
    """The most comparisons that one check of a value can take, if no array has more than `longest` items."""
    count = len(of.get("enum", ())) + sum(most_checks(one, longest) for one in _members(of))
    items = max(0, min(of.get("maxItems", longest), longest)) if of.get("type") == "array" else 1
    return 1 + count * items


def _all(of: Schema) -> Iterator[Schema]:
    yield of
    for member in _members(of):
        yield from _all(member)


def _members(of: Schema) -> tuple[Schema, ...]:
    return (
        *of.get("properties", {}).values(),
        *of.get("anyOf", ()),
        *filter(None, [of.get("items")]),
    )
