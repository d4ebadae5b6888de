"""The chain of the audit log, over all of its files: is every line as it was written, and does it follow the one before?
What was taken off the end, whole lines at a time, no chain can show."""

import heapq
import json
import os

from qmcpd import wire
from qmcpd.audit import GENESIS, digest

PATHS = (
    "var/log/qmcp/audit.log",
    "var/log/qmcp/operator/audit.log",
)  # qmcpd's, and what the operator changed
ASIDE = "audit-*.log"  # files that were full: their names sort as they were written


def lines(path):
    """`(file, number of the line in it, bytes)`, the oldest first. The newest file is opened before the others
    are listed: when it is put aside meanwhile it is read once."""
    with open(path, "rb") as newest:
        for aside in sorted(path.parent.glob(ASIDE)):
            with open(aside, "rb") as file:
                if not os.path.sameopenfile(file.fileno(), newest.fileno()):
                    yield from ((aside, number, line) for number, line in enumerate(file, 1))
        yield from ((path, number, line) for number, line in enumerate(newest, 1))


def chains(root):
    """The lines of each log there is. Raises OSError without qmcpd's: that one is always there."""
    return [lines(root / path) for path in PATHS if path is PATHS[0] or (root / path).exists()]


def read(path, number, line):
    """The entry of a line, or one that says it cannot be read: what is in the log need not be what qmcpd wrote."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    return (
        entry
        if isinstance(entry, dict)
        else {"kind": "unreadable", "time": "", "target": f"{path}:{number}"}
    )


def entries(root):
    """Of all logs, by time."""
    return heapq.merge(
        *((read(*line) for line in chain) for chain in chains(root)),
        key=lambda entry: str(entry.get("time")),
    )


def verified(root, each=lambda entry: None):
    """A Chain for each log, every line added; `each` is told of its entry."""
    for chain_lines in chains(root):
        chain = Chain()
        for line in chain_lines:
            each(chain.add(*line))
        yield chain


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
        return (
            None
            if (seq, prev) == (self._seq + 1, self._last)
            else "does not follow the one before it"
        )

    def words(self):
        yield (
            (self.broken and "the chain breaks at line {1} of {0}: it {2}".format(*self.broken))
            or f"every line follows from the one before ({self.count} lines)"
        )
        if self.starts not in (None, 1):
            yield f"starts at seq {self.starts}: older files are gone"
        for call, service in self.unanswered.items():
            yield f"call {call}, {service}, has an intent and no outcome: it was cut off, or is under way"


def facts(chains):
    """What the logs come to, as one document."""
    broken = next((chain.broken for chain in chains if chain.broken), None)
    return {
        "whole": not broken,
        "lines": sum(chain.count for chain in chains),
        "starts": chains[0].starts,
        "broken": broken,
        "words": [
            f"{name}: {words}"
            for name, chain in zip(("audit log", "operator's log"), chains, strict=False)
            for words in chain.words()
        ],
    }


def _as_written(entry, line):
    """Byte for byte: a line that has a key twice reads the same, and is not what was written."""
    body = {key: value for key, value in entry.items() if key != "hash"}
    try:
        return wire.canonical(entry) + b"\n" == line and digest(body) == entry.get("hash")
    except (ValueError, RecursionError):
        return False
