"""Background commands. Each has a supervisor, a process of its own that outlives the call and the caller, and a directory:

stdout, stderr   the beginning of what the command printed, JOB_OUTPUT_BYTES of each at most
printed          how much it printed in all: two unsigned 64-bit numbers, standard output and error
supervisor       the supervisor's process id; it holds a lock on this file for as long as it lives
end              how it ended, as JSON; absent while it runs, and if its supervisor was killed
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import struct
import time

from .generated import limits
from .process import CannotStart, Pump, Stopped, end, outcome, send_signal
from .service import Problem

# In memory, and gone when the qube stops: as the commands are. The variable is for tests.
ROOT = os.environ.get("QMCP_JOBS", "/run/qmcp/jobs")
ID = re.compile(r"[0-9a-f]{16}")
STREAMS = {b"O": "stdout", b"E": "stderr"}
LOST = {"exit": None, "signal": None, "timed_out": False}


class TooMuchInput(Exception):
    """A background command gets its standard input before it starts, and that is bounded."""


def read_stdin(received):
    data = b""
    while chunk := received.read():
        data += chunk
        if len(data) > limits.JOB_INPUT_BYTES:
            raise TooMuchInput
    return data


def launch(start, stdin, timeout):
    """Run what `start` starts, away from this call. Raises CannotStart, or Problem when too many run."""
    job = _new()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            os.close(told)
            try:
                _supervise(job, start, stdin, timeout, tell)
            finally:
                os._exit(0)
        os._exit(0)
    os.close(tell)
    os.waitpid(child, 0)
    with os.fdopen(told, "rb") as pipe:
        said = json.loads(pipe.read() or b'{"exit": 126, "why": "the supervisor did not start"}')
    if said:
        shutil.rmtree(job.directory, ignore_errors=True)
        raise CannotStart(said["exit"], said["why"])
    return job


def _new():
    os.makedirs(ROOT, mode=0o700, exist_ok=True)
    known = sorted((one for one in map(Job, os.listdir(ROOT)) if ID.fullmatch(one.id)), key=Job.age)
    ended = [one for one in known if not one.running()]
    if len(known) - len(ended) >= limits.JOBS_RUNNING:
        raise Problem("too-many-commands")
    kept = 0
    for at, one in enumerate(ended):
        kept += sum(one.kept(stream) for stream in STREAMS.values())
        if at >= limits.JOBS_ENDED or kept > limits.JOBS_ENDED_BYTES:
            shutil.rmtree(one.directory, ignore_errors=True)
    job = Job(secrets.token_hex(8))
    os.mkdir(job.directory, mode=0o700)
    return job


def _supervise(job, start, stdin, timeout, tell):
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
        os.write(tell, json.dumps({"exit": problem.exit_code, "why": str(problem)}).encode())
        return
    os.write(tell, b"{}")
    os.close(tell)
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


def _stop(process, pump):
    send_signal(process, signal.SIGTERM)
    with contextlib.suppress(TimeoutError, Stopped):
        pump.run(time.monotonic() + limits.GRACE_SECONDS)
    end(process)


class Spool:
    """Keeps the beginning of each stream, and counts all of it."""

    def __init__(self, job):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._files = {
            kind: os.open(job.path(name), flags, 0o600) for kind, name in STREAMS.items()
        }
        self._printed = dict.fromkeys(STREAMS, 0)
        self._count = os.open(job.path("printed"), os.O_WRONLY | os.O_CREAT, 0o600)

    def write(self, kind, chunk, _deadline):
        left = limits.JOB_OUTPUT_BYTES - self._printed[kind]
        self._printed[kind] += len(chunk)
        if left > 0:
            with contextlib.suppress(OSError):  # no room: what is missing shows in the count
                os.write(self._files[kind], chunk[:left])
        os.pwrite(self._count, struct.pack("=QQ", *self._printed.values()), 0)


class Job:
    def __init__(self, name):
        self.id = name
        self.directory = os.path.join(ROOT, name)

    @staticmethod
    def find(name):
        job = Job(name)
        if not os.path.isdir(job.directory):
            raise Problem("no-such-command")
        return job

    def path(self, name):
        return os.path.join(self.directory, name)

    def age(self):
        try:
            return -os.stat(self.directory).st_mtime
        except OSError:
            return 0

    def running(self):
        """Its supervisor lives: nobody else can take the lock."""
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

    def state(self):
        """`running`, `exit`, `signal`, `timed_out`."""
        if self.running():
            return {"running": True, **LOST}
        try:
            with open(self.path("end"), "rb") as file:
                return {"running": False, **json.load(file)}
        except OSError:
            return {"running": False, **LOST}

    def kept(self, stream):
        try:
            return os.stat(self.path(stream)).st_size
        except OSError:
            return 0

    def printed(self, stream):
        try:
            with open(self.path("printed"), "rb") as file:
                return struct.unpack("=QQ", file.read())[list(STREAMS.values()).index(stream)]
        except (OSError, struct.error):
            return 0

    def finish(self, how):
        draft = self.path("end.new")
        with open(draft, "w", encoding="ascii") as file:
            json.dump(how, file)
        os.replace(draft, self.path("end"))

    def stop(self):
        """Ask the supervisor to end the command, and wait until it has. Its number cannot be somebody else's: it holds the lock."""
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
