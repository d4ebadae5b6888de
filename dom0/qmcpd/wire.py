"""Bytes to values. Everything here is about shape: no function looks at the host, so no refusal can tell of it."""

import json
import re
from typing import NamedTuple

from .errors import Refused

MAX_PAYLOAD = 65536
# qrexec keeps service and argument under 255 bytes; two names and two words more fit with room to spare.
MAX_DESCRIPTOR = 512
MAX_DEPTH = 8

SERVICE = re.compile(r"qmcp\.[A-Za-z][A-Za-z0-9]*(?:\.[A-Z][A-Za-z]*)?")
QUBE_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]{0,30}")
# What qubesd refuses as a name, so that the refusal comes from the shape and not from a look-up.
RESERVED_NAMES = frozenset({"none", "default", "dom0", "Domain-0"})


class Descriptor(NamedTuple):
    """Who calls what on what, as qrexec reports it to a socket service. `target` is dom0 for `keyword adminvm`."""

    service: str
    source: str
    target: str


def is_qube_name(untrusted):
    return (
        isinstance(untrusted, str)
        and QUBE_NAME.fullmatch(untrusted) is not None
        and untrusted not in RESERVED_NAMES
        and not untrusted.endswith("-dm")
    )


def parse_descriptor(untrusted_header):
    """`SERVICE+ARG SOURCE name|keyword TARGET`, without its NUL. No service of ours takes an argument."""
    try:
        untrusted_words = untrusted_header.decode("ascii").split(" ")
        untrusted_service, untrusted_source, untrusted_kind, untrusted_target = untrusted_words
    except ValueError:
        raise Refused("invalid-request") from None
    untrusted_service, _, untrusted_argument = untrusted_service.partition("+")
    if untrusted_argument or not SERVICE.fullmatch(untrusted_service):
        raise Refused("invalid-request")
    if not is_qube_name(untrusted_source):
        raise Refused("invalid-request")
    if (untrusted_kind, untrusted_target) == ("keyword", "adminvm"):
        untrusted_target = "dom0"
    elif untrusted_kind != "name" or not QUBE_NAME.fullmatch(untrusted_target):
        raise Refused("invalid-request")
    return Descriptor(untrusted_service, untrusted_source, untrusted_target)


def parse_json(untrusted_payload):
    """One JSON object: UTF-8, at most 64 KiB, no duplicate key, no NaN, no lone surrogate, eight levels deep."""
    if len(untrusted_payload) > MAX_PAYLOAD:
        raise Refused("invalid-request")
    try:
        untrusted_text = untrusted_payload.decode("utf-8")
        _check_depth(untrusted_text)
        untrusted_value = json.loads(
            untrusted_text, object_pairs_hook=_unique, parse_constant=_no_constant
        )
        json.dumps(untrusted_value, ensure_ascii=False).encode("utf-8")  # a lone surrogate does not encode
    except (ValueError, RecursionError):
        raise Refused("invalid-request") from None
    if not isinstance(untrusted_value, dict):
        raise Refused("invalid-request")
    return untrusted_value


def _check_depth(text):
    depth = 0
    # A string that never ends matches too: were it to fail, it would be tried again from its every quote.
    for character in re.sub(r'"(?:[^"\\]|\\.)*"?', "", text):
        depth += (character in "[{") - (character in "]}")
        if depth > MAX_DEPTH:
            raise ValueError("too deep")


def _unique(pairs):
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _no_constant(name):
    raise ValueError(name)


def canonical(value):
    """RFC 8785 for what we use of JSON: strings, integers, booleans, null; keys are ASCII. One value, one spelling."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def reply(result):
    return _line({"ok": True, "result": result})


def refusal(refused):
    error = {"code": refused.code}
    if refused.data:
        error["data"] = refused.data
    return _line({"ok": False, "error": error})


def _line(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode("ascii") + b"\n"
