"""The chain of the audit log, over all of its files: is every line as it was written, and does it follow the one before?
What was taken off the end, whole lines at a time, no chain can show."""

import json
import os

from qmcpd import wire
from qmcpd.audit import GENESIS, digest

PATH = "var/log/qmcp/audit.log"
ASIDE = "audit-*.log"  # files that were full: their names sort as they were written


def lines(root):
    """`(file, number of the line in it, bytes)`, the oldest first. The newest file is opened before the others
    are listed: when it is put aside meanwhile it is read once."""
    with open(root / PATH, "rb") as newest:
        for path in sorted((root / PATH).parent.glob(ASIDE)):
            with open(path, "rb") as file:
                if not os.path.sameopenfile(file.fileno(), newest.fileno()):
                    yield from ((path, number, line) for number, line in enumerate(file, 1))
        yield from ((root / PATH, number, line) for number, line in enumerate(newest, 1))


def read(path, number, line):
    """The entry of a line, or one that says it cannot be read: what is in the log need not be what qmcpd wrote."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    return entry if isinstance(entry, dict) else {"kind": "unreadable", "time": "", "target": f"{path}:{number}"}


def entries(root):
    return (read(*line) for line in lines(root))


def qubes(entry):
    """The names an entry is about, dom0 apart."""
    names = entry.get("names")
    given = [entry.get("target"), *(names if isinstance(names, list) else [])]
    return [name for name in dict.fromkeys(map(str, given)) if name not in ("None", "dom0")]


class Chain:
    """What the lines so far come to. `starts`: the number of the oldest. `broken`: file, line and reason of the first break.
    `unanswered`: by their call, the services of the intents that have no outcome."""

    def __init__(self):
        self.count, self.starts, self.broken, self.unanswered = 0, None, None, {}
        self._seq, self._last = 0, GENESIS

    def add(self, path, number, line):
        """The entry of this line."""
        entry, self.count = read(path, number, line), self.count + 1
        why = None if self.broken else self._wrong(entry, line)
        self.broken = (str(path), number, why) if why else self.broken
        self._seq, self._last = entry.get("seq"), entry.get("hash")
        if entry.get("kind") == "intent":
            self.unanswered[str(entry.get("call"))] = entry.get("service")
        elif entry.get("kind") == "outcome":
            self.unanswered.pop(str(entry.get("call")), None)
        return entry

    def _wrong(self, entry, line):
        if not line.endswith(b"\n"):
            return "is cut off (if nothing comes after it, qmcpd takes it away when it starts)"
        if not _as_written(entry, line):
            return "is not what was written"
        first, seq, prev = self.starts is None, entry.get("seq"), entry.get("prev")
        self.starts = seq if first else self.starts
        if first and type(seq) is int and seq > 1 and prev != GENESIS:
            return None  # what was before is gone: that is said, and the operator knows whether it may be
        return None if (seq, prev) == (self._seq + 1, self._last) else "does not follow the one before it"

    def facts(self):
        broken = self.broken and "the chain breaks at line {1} of {0}: it {2}".format(*self.broken)
        words = [broken or f"every line follows from the one before ({self.count} lines)"]
        if self.starts not in (None, 1):
            words.append(f"starts at seq {self.starts}: older files are gone")
        for call, service in self.unanswered.items():
            words.append(f"call {call}, {service}, has an intent and no outcome: it was cut off, or is under way")
        return {"whole": not broken, "lines": self.count, "starts": self.starts, "broken": self.broken, "words": words}


def _as_written(entry, line):
    """Byte for byte: a line that has a key twice reads the same, and is not what was written."""
    body = {key: value for key, value in entry.items() if key != "hash"}
    try:
        return wire.canonical(entry) + b"\n" == line and digest(body) == entry.get("hash")
    except (ValueError, RecursionError):
        return False


def verify(lines):
    """The number of the first line that breaks the chain (from 1), or 0 when it is whole."""
    chain = Chain()
    for number, line in enumerate(lines, 1):
        chain.add("", number, line.rstrip("\n").encode() + b"\n")
    return chain.broken[1] if chain.broken else 0
