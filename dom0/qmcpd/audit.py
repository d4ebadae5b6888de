"""The audit log: one JSON object a line. Each holds the hash of the line before it, so nobody can remove or change a line unnoticed.
The log has the names of services and qubes, and never values or payloads."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spec import LIMITS

from . import messages

GENESIS = "0" * 64


class AuditLog:
    def __init__(self, path: Path) -> None:
        self._path, self._reserve = path, path.with_suffix(".reserve")
        self._open()
        self._seq, self._last = self._tail()

    def append(
        self, kind: str, durable: bool = False, is_owed: bool = False, **facts: object
    ) -> None:
        """Write one line; with `durable`, wait until it is on the disk. Raises OSError if that fails. A durable line announces a
        change, and room for the lines that tell its end is put by first: such a line `is_owed`, and may use that room."""
        if durable:
            self._put_by()
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = {"seq": self._seq + 1, "time": now, "kind": kind, **facts, "prev": self._last}
        entry["hash"] = digest(entry)
        line = messages.canonical(entry) + b"\n"
        if os.fstat(self._fd).st_size + len(line) > LIMITS.audit_file_bytes:
            self._put_aside()
        try:
            self._write(line)
        except OSError:
            if not is_owed:
                raise
            self._reserve.unlink(missing_ok=True)
            self._write(line)
        self._seq, self._last = entry["seq"], entry["hash"]
        if durable:
            os.fsync(self._fd)

    def _write(self, line: bytes) -> None:
        if os.write(self._fd, line) != len(line):
            self._cut_partial_line()
            raise OSError("short write to the audit log")

    def _put_by(self) -> None:
        with open(self._reserve, "ab") as file:
            os.posix_fallocate(file.fileno(), 0, LIMITS.audit_reserve_bytes)

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def _put_aside(self) -> None:
        """Rename the file to the number of its last line. The next file begins with the hash of that line, so it cannot pass for the first."""
        os.fsync(self._fd)
        os.rename(self._path, self._path.with_name(f"audit-{self._seq:012}.log"))
        os.close(self._fd)
        self._open()

    def _tail(self) -> tuple[int, str]:
        """Sequence number and hash of the last complete line. Nothing followed from a line that a crash cut, so it is removed."""
        end, aside = self._cut_partial_line(), sorted(self._path.parent.glob("audit-*.log"))
        if not end and not aside:
            return 0, GENESIS
        lines = (
            os.pread(self._fd, LIMITS.audit_line_bytes, max(0, end - LIMITS.audit_line_bytes))
            if end
            else aside[-1].read_bytes()[-LIMITS.audit_line_bytes :]
        )
        entry = json.loads(lines.split(b"\n")[-2])
        if entry.get("hash") != digest(
            {key: value for key, value in entry.items() if key != "hash"}
        ):
            raise ValueError("the last line of the audit log does not match its hash")
        return entry["seq"], entry["hash"]

    def _cut_partial_line(self) -> int:
        size = os.fstat(self._fd).st_size
        start = max(0, size - LIMITS.audit_line_bytes)
        end = start + os.pread(self._fd, LIMITS.audit_line_bytes, start).rfind(b"\n") + 1
        os.ftruncate(self._fd, end)
        return end


def digest(entry: dict[str, Any]) -> str:
    """Hex SHA-256 of an entry, its own hash left out."""
    return hashlib.sha256(messages.canonical(entry)).hexdigest()
