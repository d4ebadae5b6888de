"""Verifies the hash chain of the audit log over all of its files: every line is as it was written, and follows the one before.
A hash chain cannot show that whole lines at its end are missing."""

import heapq
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qmcpd import messages
from qmcpd.audit import GENESIS, digest

PATHS = ("var/log/qmcp/audit.log", "var/log/qmcp/operator/audit.log")  # qmcpd's, the operator's
ASIDE = "audit-*.log"  # full files; their names sort by time
Entry = dict[str, Any]


def lines(path: Path) -> Iterator[tuple[Path, int, bytes]]:
    """`(file, line number, bytes)`, the oldest first. The newest file is opened before the others are listed: if it is renamed
    meanwhile, it is still read once."""
    with open(path, "rb") as newest:
        for aside in sorted(path.parent.glob(ASIDE)):
            with open(aside, "rb") as file:
                if not os.path.sameopenfile(file.fileno(), newest.fileno()):
                    yield from ((aside, number, line) for number, line in enumerate(file, 1))
        yield from ((path, number, line) for number, line in enumerate(newest, 1))


def chains(root: Path) -> list[Iterator[tuple[Path, int, bytes]]]:
    """The lines of each existing log. Raises OSError when qmcpd's log is missing: it always exists."""
    return [lines(root / path) for path in PATHS if path is PATHS[0] or (root / path).exists()]


def read(path: Path | str, number: int, line: bytes | str) -> Entry:
    """The entry of a line, or an entry that says it is unreadable: somebody else may have written to the log."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    return (
        entry
        if isinstance(entry, dict)
        else {"kind": "unreadable", "time": "", "target": f"{path}:{number}"}
    )


def entries(root: Path) -> Iterator[Entry]:
    """The entries of all logs, by time."""
    return heapq.merge(
        *((read(*line) for line in chain) for chain in chains(root)),
        key=lambda entry: str(entry.get("time")),
    )


def verified(root: Path, each: Callable[[Entry], object] = lambda entry: None) -> "Iterator[Chain]":
    """A Chain for each log, with every line added; `each` is called with every entry."""
    for chain_lines in chains(root):
        chain = Chain()
        for line in chain_lines:
            each(chain.add(*line))
        yield chain


def qubes(entry: Entry) -> list[str]:
    """The names that an entry is about, except dom0."""
    names = entry.get("names")
    targets = [entry.get("target"), *(names if isinstance(names, list) else [])]
    return [name for name in dict.fromkeys(map(str, targets)) if name not in ("None", "dom0")]


class Chain:
    """The state of a chain after the lines so far. `starts`: the sequence number of the oldest. `broken`: file, line and reason of
    the first break. `unanswered`: `{call: service}` of the intents without an outcome."""

    def __init__(self) -> None:
        self.count, self.starts, self.broken, self.unanswered = 0, None, None, {}
        self._next = (1, GENESIS)  # the sequence number and the hash before it

    def add(self, path: Path, number: int, line: bytes) -> Entry:
        """Add a line and return its entry."""
        entry, self.count = read(path, number, line), self.count + 1
        why = None if self.broken else self._wrong(entry, line)
        self.broken = (str(path), number, why) if why else self.broken
        self._next = (
            seq + 1 if isinstance(seq := entry.get("seq"), (int, float)) else None,
            entry.get("hash"),
        )
        if entry.get("kind") == "intent":
            self.unanswered[str(entry.get("call"))] = entry.get("service")
        elif entry.get("kind") in ("outcome", "settled"):
            self.unanswered.pop(str(entry.get("call")), None)
        return entry

    def _wrong(self, entry: Entry, line: bytes) -> str | None:
        if not line.endswith(b"\n"):
            return "is incomplete (if it is the last line, qmcpd removes it when it starts)"
        if not _as_written(entry, line):
            return "was modified"
        first, seq, prev = self.starts is None, entry.get("seq"), entry.get("prev")
        self.starts = seq if first else self.starts
        if first and type(seq) is int and seq > 1 and prev != GENESIS:
            return None  # older files are missing: `words` says so, and the operator knows whether they were deleted
        return None if (seq, prev) == self._next else "does not follow the line before it"

    def words(self) -> Iterator[str]:
        yield (
            (self.broken and "the chain breaks at line {1} of {0}: it {2}".format(*self.broken))
            or f"hash chain intact, {self.count} lines"
        )
        if self.starts not in (None, 1):
            yield f"starts at seq {self.starts}: older files are missing"
        for call, service in self.unanswered.items():
            yield f"call {call}, {service}, has an intent but no outcome: it was interrupted or is in progress"


def facts(chains: list[Chain]) -> dict[str, Any]:
    """The result for all logs, as one document."""
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


def _as_written(entry: Entry, line: bytes) -> bool:
    """Compare byte for byte: a line with a repeated key parses to the same entry, but was not written by us."""
    body = {key: value for key, value in entry.items() if key != "hash"}
    try:
        return messages.canonical(entry) + b"\n" == line and digest(body) == entry.get("hash")
    except (ValueError, RecursionError):
        return False
