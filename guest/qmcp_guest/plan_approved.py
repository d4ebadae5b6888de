"""qmcp.plan.Approved: runs a command that a person approved in dom0: these very bytes, in this qube, once.

The call's argument is QUBE+SHA256 of the request, and the policy lets only approved arguments through. Once begun, the command is its
own: it runs to its end, whether the caller stays, reads or leaves, because a person approved all of it and not its first half."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from typing import Any

from . import jobs, process
from .exec_output import TICK
from .exec_run import is_command
from .frames import BadRequest, CallerGone, Frames, Input, caller_gone
from .generated import limits
from .service import (
    REQUIRED,
    USER,
    Problem,
    Reply,
    Request,
    fields,
    integer,
    is_name,
    is_text,
    main,
)

# On the qube's own disk: what ran before a restart of the qube does not run after it. The variable is for tests.
ROOT = os.environ.get("QMCP_APPROVED", "/rw/qmcp/approved")
DIGEST = re.compile("[0-9a-f]{64}")


def is_digest(value: Any) -> bool:
    return is_text(value) and DIGEST.fullmatch(value) is not None


def are_files(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pin, dict)
        and set(pin) == {"path", "sha256"}
        and is_name(pin["path"])
        and is_digest(pin["sha256"])
        for pin in value
    )


def approved(request: Request, received: Input, frames: Frames) -> Reply:
    qube, command, stdin, user, cwd, timeout, files, output, _, _, _ = fields(
        request,
        qube=(is_name, REQUIRED),
        command=(is_command, REQUIRED),
        input=(is_text, ""),
        user=USER,
        cwd=(is_name, None),
        timeout=(integer(1, limits.COMMAND_SECONDS), limits.DEFAULT_COMMAND_SECONDS),
        files=(are_files, []),
        output=(lambda value: value in ("agent", "nobody"), REQUIRED),
        plan=(is_digest, REQUIRED),
        step=(integer(1, limits.PLAN_STEPS), REQUIRED),
        key=(is_name, REQUIRED),
    )
    digest = hashlib.sha256(received.request).hexdigest()
    if os.environ.get("QREXEC_SERVICE_ARGUMENT") != f"{qube}+{digest}":
        raise BadRequest
    remember(digest)
    require_pinned(files)
    try:
        job = jobs.launch(lambda: process.start(command, cwd, {}, user), stdin.encode(), timeout)
    except process.CannotStart as problem:
        if output == "agent":
            frames.send(b"E", f"{problem}\n".encode("utf-8", "replace"))
        return process.outcome(problem.exit_code, False)
    listen(job, frames if output == "agent" else None)
    state = job.state()
    return {key: state[key] for key in jobs.LOST}


def remember(digest: str) -> None:
    """Raises Problem for a request that came before. The disk has it before the command starts."""
    os.makedirs(ROOT, mode=0o700, exist_ok=True)
    try:
        mark = os.open(os.path.join(ROOT, digest), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Problem("run-before") from None
    os.fsync(mark)
    os.close(mark)
    directory = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)
    os.close(directory)
    # dom0 gives a request away once, and the policy forgets it when its plan ends: the oldest marks are of no use any more.
    marks = sorted(os.scandir(ROOT), key=lambda one: one.stat().st_mtime_ns)
    for old in marks[: -limits.APPROVED_MARKS]:
        os.unlink(old.path)


def require_pinned(files: list[dict[str, str]]) -> None:
    for pin in files:
        found = None
        # Anything but a regular file could keep the service waiting.
        if os.path.isfile(pin["path"]):
            with contextlib.suppress(OSError), open(pin["path"], "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != pin["sha256"]:
            raise Problem("file-changed")


def listen(job: jobs.Job, frames: Frames | None) -> None:
    """Wait until the command has ended, and send what it prints for as long as somebody listens."""
    sent = dict.fromkeys(jobs.STREAMS, 0)
    over = False
    while not over:
        over = not job.running()  # before the output: once it has ended, it prints no more
        for kind, stream in jobs.STREAMS.items():
            while frames and job.stored_size(stream) > sent[kind]:
                with open(job.path(stream), "rb") as file:
                    chunk = os.pread(file.fileno(), limits.PAGE_BYTES, sent[kind])
                frames.send(kind, chunk)
                sent[kind] += len(chunk)
        if not over and caller_gone(TICK):
            raise CallerGone


if __name__ == "__main__":
    sys.exit(main(approved, more=True))
