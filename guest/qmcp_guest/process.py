"""One command as a process: how it starts, how its bytes move, how it ends.

It has a session of its own, so that everything it started can be ended with it, whatever process groups a shell made.
Memory is bounded: no more is read from a command than its reader has taken.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from .frames import CallerGone, Frames, Input
from .generated import limits
from .service import Problem, account_of, environment_of

NOT_EXECUTABLE, NOT_FOUND = 126, 127


class CannotStart(Exception):
    """The command did not start: the exit code that a shell would give, and why."""

    def __init__(self, exit_code: int, why: str) -> None:
        super().__init__(why)
        self.exit_code = exit_code


class Stopped(Exception):
    """A SIGTERM asked for the command to be ended."""


def start(
    command: str | list[str], cwd: str | None, env: dict[str, str], user: str
) -> subprocess.Popen[bytes]:
    """Execute a list as it is, or a string with a shell. Raises CannotStart."""
    try:
        account = account_of(user)
    except Problem:
        raise CannotStart(NOT_EXECUTABLE, f"{user}: no such user") from None
    is_root = os.geteuid() == 0
    where = os.path.join(account.pw_dir, cwd or "")
    if not os.path.isdir(where):
        raise CannotStart(NOT_EXECUTABLE, f"{where}: no such directory")
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else command
    try:
        return subprocess.Popen(
            words,
            cwd=where,
            env=environment_of(account, env),
            start_new_session=True,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            user=account.pw_uid if is_root else None,
            group=account.pw_gid if is_root else None,
            extra_groups=os.getgrouplist(user, account.pw_gid) if is_root else None,
        )
    except FileNotFoundError:
        raise CannotStart(NOT_FOUND, f"{words[0]}: not found") from None
    except OSError as error:
        raise CannotStart(NOT_EXECUTABLE, f"{words[0]}: {error.strerror}") from None


def send_signal(process: subprocess.Popen[bytes], number: int) -> int:
    """Signal every process of the command's session, and return how many there were. Zombies do not count."""
    members = [
        pid
        for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
        if _session(pid) == process.pid
    ]
    for pid in members:
        with contextlib.suppress(OSError):
            os.kill(pid, number)
    return len(members)


def _session(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, _, _, session = file.read().rpartition(b") ")[2].split()[:4]
    except OSError:
        return None
    return None if state == b"Z" else int(session)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill every process of the command's session, and repeat for those that were forked meanwhile."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    while send_signal(process, signal.SIGKILL):
        time.sleep(0.01)
    process.wait()


def outcome(returncode: int, timed_out: bool) -> dict[str, Any]:
    if returncode >= 0:
        return {"exit": returncode, "signal": None, "timed_out": timed_out}
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"SIG{-returncode}"
    return {"exit": None, "signal": name, "timed_out": timed_out}


class Pump:
    """Moves bytes until the command is over: `pending`, then the bytes of `received`, to its standard input if `feeds`; its
    output to `send(kind, bytes, deadline)`. Raises CallerGone when `received` or `caller_out` closes, and Stopped when a byte
    comes from the descriptor `wake`.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        send: Callable[[bytes, bytes, float | None], None],
        pending: bytes = b"",
        received: Input | None = None,
        feeds: bool = True,
        caller_out: int | None = None,
        wake: int | None = None,
    ) -> None:
        self._process, self._send = process, send
        self._pending, self._received = pending, received
        self._caller_out, self._wake = caller_out, wake
        assert process.stdin and process.stdout and process.stderr  # pipes: `start` made them
        self._stdin = process.stdin
        self._feed: int | None = self._stdin.fileno()
        self._outputs = {process.stdout.fileno(): b"O", process.stderr.fileno(): b"E"}
        self._exit = os.pidfd_open(process.pid)
        for fd in (self._feed, *self._outputs):
            os.set_blocking(fd, False)
        if not feeds:
            self._close_feed()

    def run(self, deadline: float | None = None) -> None:
        """Run until the command has ended and its output is sent. Raises TimeoutError, CallerGone or Stopped."""
        over = False
        while not (over and not self._outputs):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self._refill()
            events = dict(self._poll().poll(0 if over else left and left * 1000))
            if self._caller_out in events:
                raise CallerGone
            if self._wake is not None and self._wake in events:
                os.read(self._wake, limits.FRAME_BYTES)
                raise Stopped
            if self._received is not None and self._received.fd in events:
                self._received.receive()
            if self._feed is not None and self._feed in events:
                self._feed_command(self._feed)
            for fd in [fd for fd in self._outputs if fd in events]:
                self._forward(fd, deadline)
            # A process that the command left behind may hold its output open forever: take only what is there now.
            if over and not any(fd in events for fd in self._outputs):
                break
            over = over or self._exit in events

    def _poll(self) -> select.poll:
        poll = select.poll()
        if self._caller_out is not None:
            poll.register(self._caller_out, 0)  # errors only: the reader is gone
        if self._wake is not None:
            poll.register(self._wake, select.POLLIN)
        poll.register(self._exit, select.POLLIN)
        for fd in self._outputs:
            poll.register(fd, select.POLLIN)
        if self._feed is not None and self._pending:
            poll.register(self._feed, select.POLLOUT)
        if self._received is not None:
            self._received.register(poll)
        return poll

    def _refill(self) -> None:
        """Take the next bytes for the command's standard input, or close it after the last."""
        if self._received and not self._pending:
            self._pending = self._received.take()
        if not self._pending and (not self._received or self._received.ended):
            self._close_feed()

    def _feed_command(self, feed: int) -> None:
        try:
            self._pending = self._pending[os.write(feed, self._pending) :]
        except BlockingIOError:
            pass
        except OSError:
            self._close_feed()

    def _close_feed(self) -> None:
        if self._received:
            self._received.ignore()
        if self._feed is not None:
            self._stdin.close()
            self._feed = None

    def _forward(self, fd: int, deadline: float | None) -> None:
        try:
            chunk = os.read(fd, limits.FRAME_BYTES)
        except BlockingIOError:
            return
        if chunk:
            self._send(self._outputs[fd], chunk, deadline)
        else:
            del self._outputs[fd]


def run(
    process: subprocess.Popen[bytes],
    frames: Frames,
    deadline: float,
    received: Input,
    feeds: bool = False,
) -> dict[str, Any]:
    """Run a command in the foreground and return its outcome. Nothing keeps running when this ends early. The command reads
    the caller's input only if `feeds`."""
    try:
        Pump(process, frames.send, received=received, feeds=feeds, caller_out=1).run(deadline)
        process.wait()
    except TimeoutError:
        end(process)
        return outcome(process.returncode, True)
    except BaseException:
        end(process)
        raise
    return outcome(process.returncode, False)
