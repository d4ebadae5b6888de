"""qmcp.exec.Run: one command, its output as it comes, its end in band.

The command has a session of its own, so that its whole process group can be ended: when its time is up, and when the caller
goes. Memory is bounded: no more is read from the command than the caller has taken.
"""

import os
import pwd
import select
import signal
import subprocess
import sys
import time

from .frames import BadRequest, CallerGone, Frames, read_request

DEFAULT_TIMEOUT = 60  # seconds
MAX_TIMEOUT = 3600
CHUNK = 65536
NOT_EXECUTABLE, NOT_FOUND = 126, 127


class CannotStart(Exception):
    """The command did not start; the exit code a shell would give, and why."""

    def __init__(self, exit_code, why):
        super().__init__(why)
        self.exit_code = exit_code


def check(request):
    """The request's fields, with their defaults; BadRequest for anything that is not one."""
    known = {"command", "cwd", "env", "user", "timeout"}
    command = request.get("command")
    words = [command] if isinstance(command, str) else command
    env, timeout = request.get("env", {}), request.get("timeout", DEFAULT_TIMEOUT)
    good = (
        set(request) <= known
        and isinstance(words, list) and words and all(_is_text(word) for word in words) and words[0]
        and isinstance(env, dict) and all(_is_text(key) and key and "=" not in key and _is_text(env[key]) for key in env)
        and type(timeout) is int and 1 <= timeout <= MAX_TIMEOUT
        and all(_is_text(request.get(key, "x")) and request.get(key, "x") for key in ("cwd", "user"))
    )
    if not good:
        raise BadRequest
    return command, request.get("cwd"), env, request.get("user", "user"), timeout


def _is_text(value):
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def start(command, cwd, env, user):
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise CannotStart(NOT_EXECUTABLE, f"{user}: no such user") from None
    become = {}
    if os.geteuid() == 0:
        groups = os.getgrouplist(user, account.pw_gid)
        become = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
    elif account.pw_uid != os.geteuid():
        raise CannotStart(NOT_EXECUTABLE, f"{user}: cannot become that user")
    where = cwd if cwd is not None else account.pw_dir
    if not os.path.isdir(where):
        raise CannotStart(NOT_EXECUTABLE, f"{where}: no such directory")
    environment = {
        "HOME": account.pw_dir, "USER": user, "LOGNAME": user, "SHELL": account.pw_shell,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **env,
    }
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else command
    try:
        return subprocess.Popen(
            words, cwd=where, env=environment, start_new_session=True, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **become,
        )
    except FileNotFoundError:
        raise CannotStart(NOT_FOUND, f"{words[0]}: not found") from None
    except OSError as error:
        raise CannotStart(NOT_EXECUTABLE, f"{words[0]}: {error.strerror}") from None


def end(process):
    """Every process of the command's group, at once."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


class Pump:
    """Moves bytes between the caller and the command until the command is over."""

    def __init__(self, process, frames, rest, caller_in, caller_out):
        self._process, self._frames = process, frames
        self._pending, self._caller_in = rest, caller_in
        self._feed = process.stdin.fileno()
        self._outputs = {process.stdout.fileno(): b"O", process.stderr.fileno(): b"E"}
        self._caller_out = caller_out
        self._exit = os.pidfd_open(process.pid)
        for fd in (self._feed, *self._outputs):
            os.set_blocking(fd, False)

    def run(self, deadline):
        """Until the command has ended and what it wrote is sent. Raises TimeoutError, or CallerGone."""
        over = False
        while not (over and not self._outputs):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            events = dict(self._poll().poll(0 if over else left * 1000))
            if self._caller_out in events:
                raise CallerGone
            if self._caller_in in events:
                self._listen()
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
        poll.register(self._caller_out, 0)  # errors only: nobody reads any more
        poll.register(self._exit, select.POLLIN)
        for fd in self._outputs:
            poll.register(fd, select.POLLIN)
        if self._feed is not None and self._pending:
            poll.register(self._feed, select.POLLOUT)
        elif self._caller_in is not None:
            poll.register(self._caller_in, select.POLLIN)
        return poll

    def _listen(self):
        self._pending = os.read(self._caller_in, CHUNK)
        if not self._pending:
            self._caller_in = None
            self._close_feed()
        elif self._feed is None:
            self._pending = b""

    def _feed_command(self):
        try:
            self._pending = self._pending[os.write(self._feed, self._pending):]
        except BlockingIOError:
            pass
        except OSError:
            self._pending = b""
            self._close_feed()

    def _close_feed(self):
        if self._feed is not None:
            self._process.stdin.close()
            self._feed = None

    def _forward(self, fd, deadline):
        try:
            chunk = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        if chunk:
            self._frames.send(self._outputs[fd], chunk, deadline)
        else:
            del self._outputs[fd]


def run(request, rest, frames, caller_in, caller_out):
    command, cwd, env, user, timeout = check(request)
    deadline = time.monotonic() + timeout
    try:
        process = start(command, cwd, env, user)
    except CannotStart as problem:
        frames.send(b"E", f"{problem}\n".encode("utf-8", "replace"))
        frames.reply({"exit": problem.exit_code, "signal": None, "timed_out": False})
        return
    timed_out = False
    try:
        Pump(process, frames, rest, caller_in, caller_out).run(deadline)
        process.wait()
    except TimeoutError:
        timed_out = True
        end(process)
    except BaseException:
        end(process)
        raise
    frames.reply({**outcome(process.returncode), "timed_out": timed_out})


def outcome(returncode):
    if returncode >= 0:
        return {"exit": returncode, "signal": None}
    return {"exit": None, "signal": signal.Signals(-returncode).name}


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    frames = Frames(1)
    try:
        request, rest = read_request(0)
        run(request, rest, frames, 0, 1)
    except BadRequest:
        frames.refuse("invalid-request")
    except CallerGone:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
