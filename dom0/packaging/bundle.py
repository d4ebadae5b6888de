"""A bundle, read: what `qmcp bundle` wrote in a qube that may be the agent's by now."""

import json
import re
import struct
import sys

BLOCK = 512  # of tar
LIMIT = 131072  # bytes of a file; our longest has a fifth of that
HOME, UNITS, CONTRACTS = "usr/lib/qmcp", "usr/lib/systemd/system", "etc/qmcp/contracts"
ADMIN, DOM0 = f"{HOME}/operator/qmcp-admin", f"{HOME}/packaging/qmcp-dom0"
VERSION, SHIPPED = f"{HOME}/version.json", f"{HOME}/qmcp.toml"
# Where a file of a bundle may go. Links, and the list of what is installed, are made in dom0.
PLACE = re.compile(
    rf"{HOME}/(?:README\.md|qmcp\.toml|version\.json)"
    rf"|{HOME}/(?:qmcpd|settings|spec|operator|policy|packaging)/(?:[a-z]+/)?[a-z0-9_-]+(?:\.(?:py|json|toml|template))?"
    rf"|{UNITS}/qmcp[a-z-]*\.(?:service|socket|timer)|usr/lib/(?:sysusers|tmpfiles)\.d/qmcp\.conf"
    rf"|{CONTRACTS}/qmcp\.[a-z][a-z0-9]*\.[A-Z][A-Za-z]*\.json"
)
NEEDED = {ADMIN, DOM0, VERSION, SHIPPED, f"{HOME}/qmcpd/__main__.py", f"{UNITS}/qmcpd.socket"}


def mode(name):
    return 0o755 if name in (ADMIN, DOM0) else 0o644


def header(name, size):
    """What tar has before a file of ours."""
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


def files_of(untrusted):
    """`{path: bytes}` of a bundle. It has one spelling: every header is the very one we would write for this path and size, in
    the order of the paths. So there is no link, device, mode, owner or second file of a name in it that could be misread."""
    files, at, last = {}, 0, ""
    while untrusted[at : at + BLOCK] != bytes(BLOCK):
        head = untrusted[at : at + BLOCK]
        name = head[:100].rstrip(b"\0").decode("ascii", "replace")
        size = int(head[124:135], 8) if re.fullmatch(rb"[0-7]{11}", head[124:135]) else 0
        end = at + BLOCK + size
        at = end + -size % BLOCK
        if not PLACE.fullmatch(name):
            refuse(f"{safe(name)!r} goes where no file of ours goes")
        if (
            name <= last
            or size > LIMIT
            or head != header(name, size)
            or untrusted[end:at] != bytes(at - end)
        ):
            refuse(f"{safe(name)!r} is not a plain file, as qmcp bundle writes it, in its place")
        files[name], last = untrusted[end - size : end], name
    if untrusted[at:] != bytes(2 * BLOCK) or not set(files) >= NEEDED:
        refuse("it goes on after its end, or lacks what dom0 needs")
    return files


def version_of(files):
    """`(the numbers of the version, its text, {format: number})`."""
    try:
        about = json.loads(files[VERSION])
        numbers, formats = (
            [int(part) for part in about["version"].split(".")],
            dict(about["formats"]),
        )
        if len(numbers) == 3 and all(type(number) is int for number in formats.values()):
            return numbers, safe(about["version"]), formats
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    refuse(f"{VERSION} does not say what it is")
    return None


def refuse(why):
    sys.exit(f"qmcp-dom0: this is no bundle of ours: {why}. Nothing was changed.")


def safe(text):
    """Somebody else's text as a terminal may show it."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text)


def lines(data):
    return [safe(line) for line in data.decode("utf-8", "backslashreplace").splitlines()]
