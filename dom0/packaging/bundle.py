"""Reads a bundle, which `qmcp bundle` wrote in a qube that an agent may control by now."""

import json
import re
import struct
import sys
from typing import NoReturn

BLOCK = 512  # of tar
LIMIT = 131072  # bytes of a file, five times the size of our longest
HOME, UNITS, CONTRACTS = "usr/lib/qmcp", "usr/lib/systemd/system", "etc/qmcp/contracts"
PROGRAMS = ADMIN, DOM0, WINDOW = (
    f"{HOME}/operator/qmcp-admin",
    f"{HOME}/packaging/qmcp-dom0",
    f"{HOME}/window/qmcp-window",
)
VERSION, SHIPPED = f"{HOME}/version.json", f"{HOME}/qmcp.toml"
# Where a bundle may put a file. dom0 itself makes the links and the list of installed files.
PLACE = re.compile(
    rf"{HOME}/(?:README\.md|qmcp\.toml|version\.json)"
    rf"|{HOME}/(?:qmcpd|settings|spec|operator|policy|packaging|window)/(?:[a-z]+/)?[a-z0-9_-]+(?:\.(?:py|json|toml|template|css))?"
    rf"|usr/share/applications/qmcp-window\.desktop"
    rf"|{UNITS}/qmcp[a-z-]*\.(?:service|socket|timer|path)|usr/lib/(?:sysusers|tmpfiles)\.d/qmcp\.conf"
    rf"|{CONTRACTS}/qmcp\.[a-z][a-z0-9]*\.[A-Z][A-Za-z]*\.json"
)
NEEDED = {*PROGRAMS, VERSION, SHIPPED, f"{HOME}/qmcpd/__main__.py", f"{UNITS}/qmcpd.socket"}


def mode(name: str) -> int:
    return 0o755 if name in PROGRAMS else 0o644


def header(name: str, size: int) -> bytes:
    """The tar header of one of our files."""
    numbers = [b"%07o" % mode(name), b"%07o" % 0, b"%07o" % 0, b"%011o" % size, b"%011o" % 0]
    text = struct.pack(
        "100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x",
        name.encode(),
        *numbers,
        b" " * 8,
        b"0",
        b"",
        b"ustar\x0000",
        b"root",
        b"root",
        b"%07o" % 0,
        b"%07o" % 0,
        b"",
    )
    return text[:148] + b"%06o\0 " % sum(text) + text[156:]


def files_of(untrusted: bytes) -> dict[str, bytes]:
    """`{path: bytes}` of a bundle. A bundle has one valid form: every header is exactly the one we would write for its path and
    size, and the paths are sorted. So it has no link, device, mode, owner or repeated name that could be misread."""
    files, at, last = {}, 0, ""
    while untrusted[at : at + BLOCK] != bytes(BLOCK):
        head = untrusted[at : at + BLOCK]
        name = head[:100].rstrip(b"\0").decode("ascii", "replace")
        size = int(head[124:135], 8) if re.fullmatch(rb"[0-7]{11}", head[124:135]) else 0
        end = at + BLOCK + size
        at = end + -size % BLOCK
        if not PLACE.fullmatch(name):
            refuse(f"{safe(name)!r} is not a path that a bundle may write to")
        if (
            name <= last
            or size > LIMIT
            or head != header(name, size)
            or untrusted[end:at] != bytes(at - end)
        ):
            refuse(
                f"{safe(name)!r} is not a plain file as qmcp bundle writes it, or is not in order"
            )
        files[name], last = untrusted[end - size : end], name
    if untrusted[at:] != bytes(2 * BLOCK) or not set(files) >= NEEDED:
        refuse("it has bytes after its end, or lacks a file that dom0 needs")
    return files


def version_of(files: dict[str, bytes]) -> tuple[list[int], str, dict[str, int]]:
    """`(version as numbers, version as text, {format: number})`."""
    try:
        about = json.loads(files[VERSION])
        numbers, formats = (
            [int(part) for part in about["version"].split(".")],
            dict(about["formats"]),
        )
        if len(numbers) != 3 or any(type(number) is not int for number in formats.values()):
            raise ValueError(VERSION)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        refuse(f"{VERSION} is not valid")
    return numbers, safe(about["version"]), formats


def refuse(why: str) -> NoReturn:
    sys.exit(f"qmcp-dom0: this is not a bundle of qmcp: {why}. Nothing was changed.")


def safe(text: str) -> str:
    """Untrusted text, escaped so that a terminal can only show it."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text)


def lines(data: bytes) -> list[str]:
    return [safe(line) for line in data.decode("utf-8", "backslashreplace").splitlines()]
