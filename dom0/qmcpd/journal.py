"""Intents. qmcpd writes each before its effect, and deletes it at the end of its call. An intent that is still here after its call, or
when qmcpd starts, is unfinished: see effects.py. Each is one file, so that opening it is one rename and closing it one deletion."""

import json
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import messages

Operation = Sequence[Any]  # see effects.py
Intent = dict[str, Any]  # see Call.intend


def keep(path: Path, value: Any) -> None:
    """Write a file, or replace it: the disk has it whole when this returns, or as it was if this raises OSError."""
    draft = path.with_suffix(".draft")
    with open(draft, "wb") as file:
        file.write(messages.canonical(value))
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, path)
    sync(path.parent)


def drop(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync(path.parent)


def sync(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class Journal:
    """The intents of a directory, in memory too, in the order in which they were written."""

    def __init__(self, directory: Path) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o750, exist_ok=True)
        self._held: set[str] = set()  # intents of calls in progress
        for draft in self._directory.glob("*.draft"):
            draft.unlink()  # no effect followed from it
        paths = sorted(self._directory.glob("*.intent"), key=lambda path: path.stat().st_mtime_ns)
        self._intents: dict[str, Intent] = {
            path.stem: json.loads(path.read_bytes()) for path in paths
        }

    def open(self, intent: Intent) -> str:
        """Write an intent to the disk and return its id. Raises OSError if that fails; then no effect may follow."""
        identity = secrets.token_hex(8)
        keep(self._path(identity), intent)
        self._held.add(identity)
        self._intents[identity] = intent
        return identity

    def close(self, identity: str) -> None:
        """Delete an intent from the disk. A caller hears of success only after this."""
        drop(self._path(identity))
        del self._intents[identity]

    def release(self, identities: Iterable[str]) -> None:
        """Say that the call of these intents is over."""
        self._held.difference_update(identities)

    def is_held(self, identity: str) -> bool:
        """Whether its call is in progress."""
        return identity in self._held

    def births(self) -> set[str]:
        """The names of the qubes whose birth is in progress."""
        return {intent["qube"] for intent in self._intents.values() if intent["unborn"]}

    def names(self) -> set[str]:
        return {intent["qube"] for intent in self._intents.values()}

    def unfinished(self) -> list[tuple[str, Intent]]:
        return [
            (identity, intent)
            for identity, intent in self._intents.items()
            if identity not in self._held
        ]

    def _path(self, identity: str) -> Path:
        return self._directory / f"{identity}.intent"
