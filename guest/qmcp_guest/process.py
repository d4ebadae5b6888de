"""One command as a process: how it starts, how its bytes move, how it ends.

It has a session of its own, so that everything it started can be ended with it, whatever groups a shell made of it.
Memory is bounded: no more is read from a command than whoever takes its output has taken.
"""

import contextlib
import os
import select
import signal
import subprocess
import time

from .frames import CallerGone
from .generated import limits
from .service import Problem, account_of, environment_of

NOT_EXECUTABLE, NOT_FOUND = 126, 127


class CannotStart(Exception):
    """The command did not start; the exit code a shell would give, and why."""

    def __init__(self, exit_code, why):
        super().__init__(why)
        self.exit_code = exit_code


class Stopped(Exception):
    """Somebody asked for the command to be ended."""


def start(command, cwd, env, user):
    """A list is executed as it is, a string by a shell. Raises CannotStart."""
    try:
        account = account_of(user)
    except Problem:
        raise CannotStart(NOT_EXECUTABLE, f"{user}: no such user") from None
    become = {}
    if os.geteuid() == 0:
        groups = os.getgrouplist(user, account.pw_gid)
        become = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
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
            **become,
        )
    except FileNotFoundError:
        raise CannotStart(NOT_FOUND, f"{words[0]}: not found") from None
    except OSError as error:
        raise CannotStart(NOT_EXECUTABLE, f"{words[0]}: {error.strerror}") from None


def send_signal(process, number):
    """To every process of the command's session; how many there were. A zombie is one no more."""
    members = [
        pid
        for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
        if _session(pid) == process.pid
    ]
    for pid in members:
        with contextlib.suppress(OSError):
            os.kill(pid, number)
    return len(members)


def _session(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, _, _, session = file.read().rpartition(b") ")[2].split()[:4]
    except OSError:
        return None
    return None if state == b"Z" else int(session)


def end(process):
    """Every process of the command's session, at once; again for those that were being born meanwhile."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    while send_signal(process, signal.SIGKILL):
        time.sleep(0.01)
    process.wait()


def outcome(returncode, timed_out):
    if returncode >= 0:
        return {"exit": returncode, "signal": None, "timed_out": timed_out}
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"SIG{-returncode}"
    return {"exit": None, "signal": name, "timed_out": timed_out}


class Pump:
    """Moves bytes until the command is over: `pending`, then what is `received`, to its standard input if that `feeds` it; its
    output to `send(kind, bytes, deadline)`. The end of what is received, or of `caller_out`, is CallerGone; where there is a
    `wake`, a byte from it is Stopped.
    """

    def __init__(
        self, process, send, pending=b"", received=None, feeds=True, caller_out=None, wake=None
    ):
        self._process, self._send = process, send
        self._pending, self._received = pending, received
        self._caller_in = None if received is None else received.fd
        self._caller_out, self._wake = caller_out, wake
        self._feed = process.stdin.fileno()
        self._outputs = {process.stdout.fileno(): b"O", process.stderr.fileno(): b"E"}
        self._exit = os.pidfd_open(process.pid)
        for fd in (self._feed, *self._outputs):
            os.set_blocking(fd, False)
        if not feeds:
            self._close_feed()

    def run(self, deadline=None):
        """Until the command has ended and what it wrote is sent. Raises TimeoutError, CallerGone or Stopped."""
        over = False
        while not (over and not self._outputs):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self._refill()
            events = dict(self._poll().poll(0 if over else left and left * 1000))
            if self._caller_out in events:
                raise CallerGone
            if self._wake in events:
                os.read(self._wake, limits.FRAME_BYTES)
                raise Stopped
            if self._caller_in in events:
                self._received.hear()
            if self._feed in events:
                self._feed_command()
            for fd in [fd for fd in self._outputs if fd in events]:
                self._forward(fd, deadline)
            # A process the command left behind may hold its output open for ever: what is there is taken, no more.
            if over and not any(fd in events for fd in self._outputs):
                break
            over = over or self._exit in events

    def _poll(self):
        poll = select.poll()
        if self._caller_out is not None:
            poll.register(self._caller_out, 0)  # errors only: nobody reads any more
        if self._wake is not None:
            poll.register(self._wake, select.POLLIN)
        poll.register(self._exit, select.POLLIN)
        for fd in self._outputs:
            poll.register(fd, select.POLLIN)
        if self._feed is not None and self._pending:
            poll.register(self._feed, select.POLLOUT)
        if self._caller_in is not None:
            self._received.register(poll)
        return poll

    def _refill(self):
        """The next of what has come for the command's standard input; the end of it when that was the last."""
        if self._received and not self._pending:
            self._pending = self._received.take()
        if not self._pending and (not self._received or self._received.ended):
            self._close_feed()

    def _feed_command(self):
        try:
            self._pending = self._pending[os.write(self._feed, self._pending) :]
        except BlockingIOError:
            pass
        except OSError:
            self._close_feed()

    def _close_feed(self):
        if self._received:
            self._received.ignore()
        if self._feed is not None:
            self._process.stdin.close()
            self._feed = None

    def _forward(self, fd, deadline):
        try:
            chunk = os.read(fd, limits.FRAME_BYTES)
        except BlockingIOError:
            return
        if chunk:
            self._send(self._outputs[fd], chunk, deadline)
        else:
            del self._outputs[fd]


def run(process, frames, deadline, received, feeds=False):
    """The whole of a command in the foreground; its outcome. Whoever leaves early leaves nothing running. The caller's input
    is the command's only where it `feeds` it."""
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
