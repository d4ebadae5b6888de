"""Refusals: their codes are the closed list of `spec/refusals.toml`. Anything else that reaches the edge is answered `failed`."""

import sys
from collections.abc import Sequence
from pathlib import Path


class Refused(Exception):
    """A call that does not happen. `data` may hold only the caller's own words. `why` is for the audit log: the caller never sees it."""

    def __init__(self, code: str, why: str = "", **data: object) -> None:
        super().__init__(code)
        self.code, self.why, self.data = code, why, data


class Misconfigured(Exception):
    """A file of the operator's that cannot be used: which, the path of the key in it, what was expected. `qmcp-admin check`
    finds the line."""

    def __init__(self, path: Path, key: Sequence[str | int], message: str) -> None:
        super().__init__(
            f"{path}: {'.'.join(map(str, key))}: {message}" if key else f"{path}: {message}"
        )
        self.path, self.key = path, key


def say(words: str) -> None:
    """For the operator: on standard error, which systemd keeps."""
    print(f"qmcpd: {words}", file=sys.stderr, flush=True)
