"""The closed subset of JSON Schema that contracts may use: checked when a contract is loaded, then applied to values."""

import re

from .errors import Refused

_ANNOTATIONS = {"description"}
_KEYWORDS = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"pattern", "minLength", "maxLength"},
    "integer": {"minimum", "maximum"},
    "boolean": set(),
    "null": set(),
}
_PYTHON_TYPE = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
# A pattern is a short row of characters and bracketed classes, at most one of them repeated: matching stays linear.
_PATTERN = re.compile(r"\^(?:\[[^\[\]\\]+\][*+]?|[A-Za-z0-9_-])+\$")


def check_schema(schema, path="schema"):
    """Raise ValueError, naming the place, for a schema outside the subset."""
    if not isinstance(schema, dict):
        raise ValueError(f"{path}: expected an object")
    keys = set(schema) - _ANNOTATIONS
    if "anyOf" in keys:
        _only(keys, {"anyOf"}, path)
        for index, option in enumerate(_list(schema["anyOf"], f"{path}.anyOf")):
            check_schema(option, f"{path}.anyOf[{index}]")
    elif "enum" in keys:
        _only(keys, {"enum"}, path)
        if not all(isinstance(value, str) for value in _list(schema["enum"], f"{path}.enum")):
            raise ValueError(f"{path}.enum: expected strings")
    else:
        kind = schema.get("type")
        if kind not in _KEYWORDS:
            raise ValueError(f"{path}.type: {kind!r} is not one of {', '.join(_KEYWORDS)}")
        _only(keys, _KEYWORDS[kind] | {"type"}, path)
        _check_keywords(schema, kind, path)


def _check_keywords(schema, kind, path):
    for keyword in ("minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum"):
        if keyword in schema and type(schema[keyword]) is not int:
            raise ValueError(f"{path}.{keyword}: expected an integer")
    if kind == "object":
        if schema.get("additionalProperties") is not False:
            raise ValueError(f"{path}.additionalProperties: expected false")
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list) or not set(required) <= set(properties):
            raise ValueError(f"{path}.required: names a property that is not there")
        for name, member in properties.items():
            check_schema(member, f"{path}.{name}")
    elif kind == "array":
        check_schema(schema.get("items"), f"{path}.items")
    elif kind == "string" and "pattern" in schema:
        pattern = schema["pattern"]
        if not isinstance(pattern, str) or len(pattern) > 255 or not _PATTERN.fullmatch(pattern) \
                or len(re.findall(r"\][*+]", pattern)) > 1:
            raise ValueError(f"{path}.pattern: only ^, characters, [classes], one of them with + or *, and $; at most 255 characters")
        re.compile(pattern)


def _only(keys, allowed, path):
    if keys - allowed:
        raise ValueError(f"{path}: {', '.join(sorted(keys - allowed))} is not in the schema subset")


def _list(value, path):
    if not isinstance(value, list) or not value:
        raise ValueError(f"{path}: expected a list")
    return value


def check(schema, value):
    """Refuse a value that does not fit; say nothing of why, since the core has said it to whoever wrote the call."""
    if not fits(schema, value):
        raise Refused("invalid-request")


def fits(schema, value):
    if "anyOf" in schema:
        return any(fits(option, value) for option in schema["anyOf"])
    if "enum" in schema:
        return isinstance(value, str) and value in schema["enum"]
    # `type()` and not isinstance: True is not an integer here.
    if type(value) is not _PYTHON_TYPE[schema["type"]]:
        return False
    return _FITS.get(schema["type"], lambda *_: True)(schema, value)


def _object_fits(schema, value):
    properties = schema.get("properties", {})
    return (
        set(schema.get("required", [])) <= set(value) <= set(properties)
        and all(fits(properties[name], member) for name, member in value.items())
    )


def _array_fits(schema, value):
    return (
        schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        and all(fits(schema["items"], item) for item in value)
    )


def _string_fits(schema, value):
    return (
        schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        # fullmatch without the anchors: in Python `$` also matches before a final newline
        and ("pattern" not in schema or re.fullmatch(schema["pattern"][1:-1], value) is not None)
    )


def _integer_fits(schema, value):
    return schema.get("minimum", value) <= value <= schema.get("maximum", value)


_FITS = {"object": _object_fits, "array": _array_fits, "string": _string_fits, "integer": _integer_fits}
