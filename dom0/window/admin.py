"""Runs qmcp-admin. The window does nothing to the host in any other way."""

import json
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gi.repository import Gio, GLib
from words import safe

STATE = "var/lib/qmcp"  # closed to all but root and qmcpd, on a host
AGAIN = 2  # seconds until a stream that ended is started again
Then = Callable[[Any, str], None]  # takes the document, or None and what went wrong


class Admin:
    """`program`: the words that run qmcp-admin."""

    def __init__(self, program: list[str], root: Path) -> None:
        self._program, self._root = program, root
        self._reading: dict[tuple[str, ...], bool] = {}  # and whether to read again after that
        self._changes: deque[tuple[tuple[str, ...], Then]] = deque()
        self._is_changing = False

    def command(self, *words: str, changes: bool = False) -> list[str]:
        """Exactly what is run. It goes through sudo where this user may not do it."""
        how = os.W_OK if changes else os.R_OK | os.X_OK
        sudo = [] if os.access(self._root / STATE, how) else ["sudo", "-n"]
        more = ["--json", "--yes"] if changes else ["--json"]
        return [*sudo, *self._program, *words, *more]

    def read(self, words: tuple[str, ...], then: Then) -> None:
        """Read a document; once at a time each, and once more if it was asked for meanwhile."""
        if words in self._reading:
            self._reading[words] = True
            return
        self._reading[words] = False

        def done(document: Any, wrong: str) -> None:
            again = self._reading.pop(words)
            then(document, wrong)
            if again:
                self.read(words, then)

        _run(self.command(*words), done)

    def change(self, words: tuple[str, ...], then: Then, at_once: bool = False) -> None:
        """One at a time; a freeze waits for nothing."""
        if at_once:
            _run(self.command(*words, changes=True), then)
            return
        self._changes.append((words, then))
        self._next()

    def _next(self) -> None:
        if self._is_changing or not self._changes:
            return
        words, then = self._changes.popleft()
        self._is_changing = True

        def done(document: Any, wrong: str) -> None:
            self._is_changing = False
            then(document, wrong)
            self._next()

        _run(self.command(*words, changes=True), done)

    def stream(self, words: tuple[str, ...], then: Then) -> None:
        """Every line as a document, for ever. None each time that it ends."""
        try:
            process = Gio.Subprocess.new(
                self.command(*words),
                Gio.SubprocessFlags.STDOUT_PIPE | Gio.SubprocessFlags.STDERR_SILENCE,
            )
        except GLib.Error as problem:
            self._start_again(words, then, safe(problem.message))
            return
        lines = Gio.DataInputStream.new(process.get_stdout_pipe())

        def got(_: Gio.DataInputStream, result: Gio.AsyncResult) -> None:
            try:
                line, _ = lines.read_line_finish_utf8(result)
            except GLib.Error:
                line = None
            if line is None:
                self._start_again(words, then, "qmcp-admin watch ended")
                return
            then(*_parsed(line))
            lines.read_line_async(GLib.PRIORITY_DEFAULT_IDLE, None, got)

        lines.read_line_async(GLib.PRIORITY_DEFAULT_IDLE, None, got)

    def _start_again(self, words: tuple[str, ...], then: Then, wrong: str) -> None:
        then(None, wrong)
        GLib.timeout_add_seconds(AGAIN, lambda: self.stream(words, then))


def _run(command: list[str], then: Then) -> None:
    flags = Gio.SubprocessFlags.STDOUT_PIPE | Gio.SubprocessFlags.STDERR_PIPE
    try:
        process = Gio.Subprocess.new(command, flags)
    except GLib.Error as problem:
        then(None, safe(problem.message))
        return

    def done(_: Gio.Subprocess, result: Gio.AsyncResult) -> None:
        try:
            _, out, err = process.communicate_utf8_finish(result)
        except GLib.Error as problem:
            out, err = "", problem.message
        document, wrong = _parsed(out)
        code = process.get_exit_status() if process.get_if_exited() else -1
        # A document may come with a code: there are findings, or a part of a change failed.
        said = safe(err.strip(), 2000) or wrong
        then(document, said if document is None else "" if code == 0 else said or "failed")

    process.communicate_utf8_async(None, None, done)


def _parsed(text: str) -> tuple[Any, str]:
    """One document, or a list of one a line."""
    try:
        return json.loads(text), ""
    except ValueError:
        pass
    try:
        return [json.loads(line) for line in text.splitlines()], ""
    except ValueError:
        return None, "qmcp-admin gave no answer that can be read"
