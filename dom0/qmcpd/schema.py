"""Checks values against a closed subset of JSON Schema. `spec/shapes/` has the schemas of qmcp.toml, of a contract, and of a schema
within a contract."""

import re
from typing import Any

from spec import REFUSAL

from .errors import Refused

Schema = dict[str, Any]
Path = tuple[str | int, ...]
Problem = tuple[Path, str]
_TYPES: dict[str, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def problem(
    schema: Schema, value: Any, path: Path = (), root: Schema | None = None
) -> Problem | None:
    """None for a value that fits; else `(path of the first part that does not, the value expected there)`."""
    root = root or schema
    schema = root if "$ref" in schema else schema
    wrong = (
        path,
        schema.get("description")
        or f"one of {', '.join(schema.get('enum') or [str(schema.get('type'))])}",
    )
    if "anyOf" in schema:
        tried = [problem(one, value, path, root) for one in schema["anyOf"]]
        found = [one for one in tried if one]
        return max(wrong, *found, key=lambda one: len(one[0])) if len(found) == len(tried) else None
    if "enum" in schema:
        return None if isinstance(value, str) and value in schema["enum"] else wrong
    kind = schema.get("type")
    # type(), because isinstance would accept True as an integer.
    if kind and (type(value) is not _TYPES[kind] or not _within(schema, kind, value)):
        return wrong
    return _members(schema, kind, value, path, root)


def _within(schema: Schema, kind: str, value: Any) -> bool:
    low, high = {"integer": ("minimum", "maximum"), "array": ("minItems", "maxItems")}.get(
        kind, ("minLength", "maxLength")
    )
    size = value if kind == "integer" else len(value) if kind in ("array", "string") else 0
    # fullmatch without the anchors, because `$` also matches before a final newline in Python.
    return schema.get(low, size) <= size <= schema.get(high, size) and (
        kind != "string"
        or "pattern" not in schema
        or re.fullmatch(schema["pattern"][1:-1], value) is not None
    )


def _members(
    schema: Schema, kind: str | None, value: Any, path: Path, root: Schema
) -> Problem | None:
    if kind == "array":
        found = (
            problem(schema.get("items", {}), one, (*path, index), root)
            for index, one in enumerate(value)
        )
    elif kind == "object":
        for key in schema.get("required", ()):
            if key not in value:
                return path, f"the key {key}"
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for key in value:
            if key not in properties and (
                others is False or problem(schema.get("propertyNames", {}), key)
            ):
                return (*path, key), schema["propertyNames"][
                    "description"
                ] if others else f"one of {', '.join(properties)}"
        found = (
            problem(properties.get(key, others), one, (*path, key), root)
            for key, one in value.items()
        )
    else:
        return None
    return next(filter(None, found), None)


def fits(schema: Schema, value: object) -> bool:
    return problem(schema, value) is None


def check(schema: Schema, value: Any) -> Any:
    """Return a value that fits, or refuse it. The refusal gives no reason: the server in the control qube has told the agent."""
    if not fits(schema, value):
        raise Refused(REFUSAL.invalid_request, "the arguments do not fit the contract")
    return value
