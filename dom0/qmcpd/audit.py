"""The audit log: one JSON object a line, each holding the hash of the one before, so that no line can be taken out or
changed unseen. Names of services and qubes are logged; values and payloads never."""

import hashlib
import json
import os
import time

from . import wire

GENESIS = "0" * 64


class AuditLog:
    def __init__(self, path):
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            self._seq, self._last = self._tail()
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, kind, durable=False, **facts):
        """Write one line; `durable` waits until it is on the disk. Raises OSError when it cannot be written."""
        entry = {"seq": self._seq + 1, "time": _now(), "kind": kind, **facts, "prev": self._last}
        entry["hash"] = digest(entry)
        line = wire.canonical(entry) + b"\n"
        if os.write(self._fd, line) != len(line):
            self._cut_partial_line()
            raise OSError("short write to the audit log")
        self._seq, self._last = entry["seq"], entry["hash"]
        if durable:
            os.fsync(self._fd)

    def _tail(self):
        """Sequence number and hash of the last whole line. A line cut by a crash was never acted on: it goes."""
        end = self._cut_partial_line()
        if end == 0:
            return 0, GENESIS
        start = self._line_start(end - 1)
        entry = json.loads(os.pread(self._fd, end - start, start))
        if entry.get("hash") != digest({k: v for k, v in entry.items() if k != "hash"}):
            raise ValueError("the last line of the audit log does not match its hash")
        return entry["seq"], entry["hash"]

    def _cut_partial_line(self):
        end = self._line_start(os.fstat(self._fd).st_size)
        os.ftruncate(self._fd, end)
        return end

    def _line_start(self, position):
        """The offset just after the last newline before `position`."""
        while position > 0:
            step = min(position, 4096)
            newline = os.pread(self._fd, step, position - step).rfind(b"\n")
            if newline >= 0:
                return position - step + newline + 1
            position -= step
        return 0


def digest(entry):
    """Hex SHA-256 of an entry without its own hash."""
    return hashlib.sha256(wire.canonical(entry)).hexdigest()


def verify(lines):
    """The number of the first line that breaks the chain (from 1), or 0 when it is whole."""
    last = GENESIS
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            claimed = entry.pop("hash")
            whole = entry["prev"] == last and entry["seq"] == number and claimed == digest(entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            return number
        last = claimed
    return 0


def _now():
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"
