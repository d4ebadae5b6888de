"""Background commands. Each has a supervisor, a process of its own that outlives the call and the caller, and a directory:

stdout, stderr   the first JOB_OUTPUT_BYTES that the command printed on each stream
printed          the number of bytes it printed in all: two unsigned 64-bit integers, for standard output and error
supervisor       the supervisor's process id; it holds a lock on this file for as long as it lives
end              how the command ended, as JSON; absent while it runs, and if its supervisor was killed
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from typing import Any

from .frames import Input
from .generated import limits
from .process import CannotStart, Pump, Stopped, end, outcome, send_signal
from .service import Problem

# In memory: the commands do not outlive the qube, so neither does their output. The variable is for tests.
ROOT = os.environ.get("QMCP_JOBS", "/run/qmcp/jobs")
ID = re.compile(r"[0-9a-f]{16}")
STREAMS = {b"O": "stdout", b"E": "stderr"}
LOST = {"exit": None, "signal": None, "timed_out": False}


class TooMuchInput(Exception):
    """The standard input for a background command, which is read before the command starts, is over the limit."""


def read_stdin(received: Input) -> bytes:
    data = b""
    while chunk := received.read():
        data += chunk
        if len(data) > limits.JOB_INPUT_BYTES:
            raise TooMuchInput
    return data


def launch(
    start: Callable[[], subprocess.Popen[bytes]], stdin: bytes, timeout: float | None
) -> Job:
    """Run the process that `start` starts, detached from this call. Raises CannotStart, or Problem when too many run."""
    job = _new()
    status_reader, status_writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            os.close(status_reader)
            try:
                _supervise(job, start, stdin, timeout, status_writer)
            finally:
                os._exit(0)
        os._exit(0)
    os.close(status_writer)
    os.waitpid(child, 0)
    with os.fdopen(status_reader, "rb") as pipe:
        failure = json.loads(pipe.read() or b'{"exit": 126, "why": "the supervisor did not start"}')
    if failure:
        shutil.rmtree(job.directory, ignore_errors=True)
        raise CannotStart(failure["exit"], failure["why"])
    return job


def _new() -> Job:
    os.makedirs(ROOT, mode=0o700, exist_ok=True)
    jobs = sorted((job for job in map(Job, os.listdir(ROOT)) if ID.fullmatch(job.id)), key=Job.age)
    ended = [job for job in jobs if not job.running()]
    if len(jobs) - len(ended) >= limits.JOBS_RUNNING:
        raise Problem("too-many-commands")
    size = 0
    for at, old in enumerate(ended):
        size += sum(old.stored_size(stream) for stream in STREAMS.values())
        if at >= limits.JOBS_ENDED or size > limits.JOBS_ENDED_BYTES:
            shutil.rmtree(old.directory, ignore_errors=True)
    job = Job(secrets.token_hex(8))
    os.mkdir(job.directory, mode=0o700)
    return job


def _supervise(
    job: Job,
    start: Callable[[], subprocess.Popen[bytes]],
    stdin: bytes,
    timeout: float | None,
    status_writer: int,
) -> None:
    lock = os.open(job.path("supervisor"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.write(lock, b"%d" % os.getpid())
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(waker)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    spool = Spool(job)
    try:
        process = start()
    except CannotStart as problem:
        os.write(
            status_writer, json.dumps({"exit": problem.exit_code, "why": str(problem)}).encode()
        )
        return
    os.write(status_writer, b"{}")
    os.close(status_writer)
    pump = Pump(process, spool.write, stdin, wake=wake)
    timed_out = False
    try:
        pump.run(timeout and time.monotonic() + timeout)
        process.wait()
    except TimeoutError:
        timed_out = True
        end(process)
    except Stopped:
        _stop(process, pump)
    job.finish(outcome(process.wait(), timed_out))


def _stop(process: subprocess.Popen[bytes], pump: Pump) -> None:
    send_signal(process, signal.SIGTERM)
    with contextlib.suppress(TimeoutError, Stopped):
        pump.run(time.monotonic() + limits.GRACE_SECONDS)
    end(process)


class Spool:
    """Stores the beginning of each stream, and counts all of its bytes."""

    def __init__(self, job: Job) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._files = {
            kind: os.open(job.path(name), flags, 0o600) for kind, name in STREAMS.items()
        }
        self._printed = dict.fromkeys(STREAMS, 0)
        self._count = os.open(job.path("printed"), os.O_WRONLY | os.O_CREAT, 0o600)

    def write(self, kind: bytes, chunk: bytes, _deadline: float | None) -> None:
        left = limits.JOB_OUTPUT_BYTES - self._printed[kind]
        self._printed[kind] += len(chunk)
        if left > 0:
            with contextlib.suppress(OSError):  # disk full: the count shows that bytes are missing
                os.write(self._files[kind], chunk[:left])
        os.pwrite(self._count, struct.pack("=QQ", *self._printed.values()), 0)


class Job:
    def __init__(self, name: str) -> None:
        self.id = name
        self.directory = os.path.join(ROOT, name)

    @staticmethod
    def find(name: str) -> Job:
        job = Job(name)
        if not os.path.isdir(job.directory):
            raise Problem("no-such-command")
        return job

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def age(self) -> float:
        try:
            return -os.stat(self.directory).st_mtime
        except OSError:
            return 0

    def running(self) -> bool:
        """Whether its supervisor lives, and so holds the lock."""
        try:
            lock = os.open(self.path("supervisor"), os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def state(self) -> dict[str, Any]:
        """`running`, `exit`, `signal`, `timed_out`."""
        if self.running():
            return {"running": True, **LOST}
        try:
            with open(self.path("end"), "rb") as file:
                return {"running": False, **json.load(file)}
        except OSError:
            return {"running": False, **LOST}

    def stored_size(self, stream: str) -> int:
        try:
            return os.stat(self.path(stream)).st_size
        except OSError:
            return 0

    def printed_size(self, stream: str) -> int:
        try:
            with open(self.path("printed"), "rb") as file:
                return struct.unpack("=QQ", file.read())[list(STREAMS.values()).index(stream)]
        except (OSError, struct.error):
            return 0

    def finish(self, how: dict[str, Any]) -> None:
        draft = self.path("end.new")
        with open(draft, "w", encoding="ascii") as file:
            json.dump(how, file)
        os.replace(draft, self.path("end"))

    def stop(self) -> None:
        """Ask the supervisor to end the command, and wait until it has. The pid cannot belong to another process: the supervisor
        still holds the lock after the pidfd was opened."""
        try:
            with open(self.path("supervisor"), "rb") as file:
                supervisor = os.pidfd_open(int(file.read()))
        except (OSError, ValueError):
            return
        if self.running():
            signal.pidfd_send_signal(supervisor, signal.SIGTERM)
        last = time.monotonic() + limits.GRACE_SECONDS + 5
        while self.running() and time.monotonic() < last:
            time.sleep(0.02)
