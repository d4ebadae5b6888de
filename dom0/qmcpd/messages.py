"""Requests and replies: bytes to values, and back. No function here looks at the host, so no refusal can tell anything about it."""

import json
import re
from typing import Any

from spec import LIMITS, REFUSAL, TYPES

from . import schema
from .errors import Refused

# `SERVICE+ARG SOURCE name|keyword TARGET`, without its NUL.
_DESCRIPTOR = re.compile(
    r"(qmcp\.[A-Za-z0-9]+(?:\.[A-Z][A-Za-z]*)?)(?:\+([!-~]*))? (\S+) (?:keyword (adminvm)|name (\S+))"
)


def parse_descriptor(untrusted_header: bytes) -> tuple[str, str, str, str]:
    """`(service, argument, source, target)` as qrexec reports them. `target` is dom0 for `keyword adminvm`. A service that is called
    on dom0 takes no argument: with one, it is a service that no contract has."""
    found = _DESCRIPTOR.fullmatch(untrusted_header.decode("latin-1"))
    if (
        not found
        or not schema.fits(TYPES["new_name"], found[3])
        or not schema.fits(TYPES["qube_name"], found[5] or found[3])
    ):
        raise Refused(REFUSAL.invalid_request, "the descriptor is not one that qrexec writes")
    service, argument = found[1], found[2] or ""
    if found[4]:
        return f"{service}+{argument}" if argument else service, "", found[3], "dom0"
    return service, argument, found[3], found[5]


def parse_json(untrusted_payload: bytes) -> dict[str, Any]:
    """Parse one JSON object: UTF-8, within the limits of length and depth, without duplicate keys, NaN or lone surrogates."""
    if len(untrusted_payload) > LIMITS.request_bytes:
        raise Refused(REFUSAL.invalid_request, "the request is longer than its limit")
    try:
        # int rejects NaN and the infinities
        untrusted_value = json.loads(
            untrusted_payload.decode("utf-8"), object_pairs_hook=_unique, parse_constant=int
        )
        # This raises ValueError for a lone surrogate.
        json.dumps(untrusted_value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise Refused(REFUSAL.invalid_request, "the request is not one JSON object") from None
    if not isinstance(untrusted_value, dict) or _depth(untrusted_value) > LIMITS.request_depth:
        raise Refused(REFUSAL.invalid_request, "the request is not an object, or is too deep")
    return untrusted_value


def _depth(value: object) -> int:
    members = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if members is None else 1 + max(map(_depth, members), default=0)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def canonical(value: object) -> bytes:
    """RFC 8785 for the JSON that qmcp uses: strings, integers, booleans, null; keys are ASCII. Each value has one form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8"
    )


def reply(result: object) -> bytes:
    return _line({"ok": True, "result": result})


def refusal(refused: Refused) -> bytes:
    return _line(
        {
            "ok": False,
            "error": {"code": refused.code} | ({"data": refused.data} if refused.data else {}),
        }
    )


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode("ascii") + b"\n"
