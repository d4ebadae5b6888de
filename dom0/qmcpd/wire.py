"""Bytes to values. Everything here is about shape: no function looks at the host, so no refusal can tell of it."""

import json
import re

from .errors import Refused

MAX_PAYLOAD = 65536
# qrexec carries longer ones; two names and a service of ours fit with room to spare.
MAX_DESCRIPTOR = 512
MAX_DEPTH = 8

_NAME = "[a-zA-Z][a-zA-Z0-9_.-]{0,30}"
QUBE_NAME = re.compile(_NAME)
# What qubesd refuses as a name, so that the refusal comes from the shape and not from a look-up.
_RESERVED = re.compile("none|default|dom0|Domain-0|.*-dm")
# `SERVICE+ARG SOURCE name|keyword TARGET`, without its NUL. No service of ours takes an argument.
_DESCRIPTOR = re.compile(
    rf"(qmcp\.[A-Za-z0-9]+(?:\.[A-Z][A-Za-z]*)?)\+? ({_NAME}) (?:keyword (adminvm)|name ({_NAME}))"
)


def is_qube_name(untrusted):
    return (
        isinstance(untrusted, str)
        and bool(QUBE_NAME.fullmatch(untrusted))
        and not _RESERVED.fullmatch(untrusted)
    )


def parse_descriptor(untrusted_header):
    """`(service, source, target)`: who calls what on what, as qrexec reports it. `target` is dom0 for `keyword adminvm`."""
    found = _DESCRIPTOR.fullmatch(untrusted_header.decode("latin-1"))
    if not found or not is_qube_name(found[2]):
        raise Refused("invalid-request")
    return found[1], found[2], "dom0" if found[3] else found[4]


def parse_json(untrusted_payload):
    """One JSON object: UTF-8, at most 64 KiB, no duplicate key, no NaN, no lone surrogate, eight levels deep."""
    if len(untrusted_payload) > MAX_PAYLOAD:
        raise Refused("invalid-request")
    try:
        # NaN and the infinities are no integers
        untrusted_value = json.loads(
            untrusted_payload.decode("utf-8"), object_pairs_hook=_unique, parse_constant=int
        )
        json.dumps(untrusted_value, ensure_ascii=False).encode(
            "utf-8"
        )  # a lone surrogate does not encode
    except (ValueError, RecursionError):
        raise Refused("invalid-request") from None
    if not isinstance(untrusted_value, dict) or _depth(untrusted_value) > MAX_DEPTH:
        raise Refused("invalid-request")
    return untrusted_value


def _depth(value):
    members = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if members is None else 1 + max(map(_depth, members), default=0)


def _unique(pairs):
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def canonical(value):
    """RFC 8785 for what we use of JSON: strings, integers, booleans, null; keys are ASCII. One value, one spelling."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8"
    )


def reply(result):
    return _line({"ok": True, "result": result})


def refusal(refused):
    return _line(
        {
            "ok": False,
            "error": {"code": refused.code} | ({"data": refused.data} if refused.data else {}),
        }
    )


def _line(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode("ascii") + b"\n"
