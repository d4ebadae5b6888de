"""Intents, written before the effect and taken away after it. What is still here at the next start was cut off in the
middle, and is settled: see `settle` in steps.py. One file an intent, so that opening and closing are each one rename."""

import json
import os
import secrets
from pathlib import Path

from . import wire


class Journal:
    def __init__(self, directory):
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o750, exist_ok=True)

    def open(self, **intent):
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
        return identity

    def close(self, identity):
        """Take an intent away, through to the disk: the caller is told of success only after this."""
        self._path(identity).unlink()
        self._sync()

    def unfinished(self):
        """`[(id, intent)]` in the order they were written. A draft was never acted on: it goes."""
        for draft in self._directory.glob("*.draft"):
            draft.unlink()
        paths = sorted(self._directory.glob("*.intent"), key=lambda path: path.stat().st_mtime_ns)
        return [(path.stem, json.loads(path.read_bytes())) for path in paths]

    def _path(self, identity):
        return self._directory / f"{identity}.intent"

    def _sync(self):
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
