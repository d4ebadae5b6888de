"""Intents, written before the effect and taken away after it. What is still here when its call is over, or at the next start,
is to be settled: see effects.py. One file an intent, so that opening and closing are each one rename."""

import json
import os
import secrets
from pathlib import Path

from . import wire


class Journal:
    def __init__(self, directory):
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o750, exist_ok=True)
        self._held = set()  # those of calls that are under way
        for draft in self._directory.glob("*.draft"):
            draft.unlink()  # never acted on

    def open(self, intent):
        """Record an intent on the disk and return its id. Raises OSError when it cannot; then nothing may happen."""
        identity = secrets.token_hex(8)
        path = self._path(identity)
        draft = path.with_suffix(".draft")
        with open(draft, "xb") as file:
            file.write(wire.canonical(intent))
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, path)
        self._sync()
        self._held.add(identity)
        return identity

    def close(self, identity):
        """Take an intent away, through to the disk: the caller is told of success only after this."""
        self._path(identity).unlink()
        self._sync()

    def let_go(self, identities):
        self._held.difference_update(identities)

    def all(self):
        """`[(id, intent)]` in the order they were written."""
        paths = sorted(self._directory.glob("*.intent"), key=lambda path: path.stat().st_mtime_ns)
        return [(path.stem, json.loads(path.read_bytes())) for path in paths]

    def births(self):
        """The names of what is coming into being."""
        return {intent["qube"] for _, intent in self.all() if intent["unborn"]}

    def unfinished(self):
        return [(identity, intent) for identity, intent in self.all() if identity not in self._held]

    def _path(self, identity):
        return self._directory / f"{identity}.intent"

    def _sync(self):
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
