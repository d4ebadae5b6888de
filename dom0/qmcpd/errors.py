"""Refusals and messages. `spec/refusals.toml` lists every code; for any other exception, the caller gets `failed`."""

import sys
from collections.abc import Sequence
from pathlib import Path


class Refused(Exception):
    """A refused call. `data` may hold only the caller's own words. `why` is for the audit log; the caller never sees it."""

    def __init__(self, code: str, why: str = "", **data: object) -> None:
        super().__init__(code)
        self.code, self.why, self.data = code, why, data


class Misconfigured(Exception):
    """An unusable file of the operator: its path, the key in it, and the value that was expected. `qmcp-admin check` finds the line."""

    def __init__(self, path: Path, key: Sequence[str | int], message: str) -> None:
        super().__init__(
            f"{path}: {'.'.join(map(str, key))}: {message}" if key else f"{path}: {message}"
        )
        self.path, self.key = path, key


def say(words: str) -> None:
    """Tell the operator, on standard error: systemd writes it to the system journal."""
    print(f"qmcpd: {words}", file=sys.stderr, flush=True)
