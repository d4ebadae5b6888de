"""qmcp.exec.Run: runs a command and sends its output as it comes, then its exit code; or starts it as a background job."""

from __future__ import annotations

import sys
import time
from typing import Any

from . import jobs, process
from .frames import BadRequest, CallerGone, Frames, Input, caller_gone
from .generated import limits
from .service import (
    REQUIRED,
    USER,
    Reply,
    Request,
    fields,
    integer,
    is_flag,
    is_name,
    is_text,
    main,
)


def is_command(value: Any) -> bool:
    words = [value] if isinstance(value, str) else value
    return isinstance(words, list) and bool(words) and all(map(is_text, words)) and words[0] != ""


def is_environment(value: Any) -> bool:
    return isinstance(value, dict) and all(
        is_name(key) and "=" not in key and is_text(value[key]) for key in value
    )


def run(request: Request, received: Input, frames: Frames) -> Reply:
    command, cwd, env, user, timeout, background = fields(
        request,
        command=(is_command, REQUIRED),
        cwd=(is_name, None),
        env=(is_environment, {}),
        user=USER,
        timeout=(integer(1, limits.COMMAND_SECONDS), None),
        background=(is_flag, False),
    )
    try:
        if background:
            stdin = jobs.read_stdin(received)
            job = jobs.launch(lambda: process.start(command, cwd, env, user), stdin, timeout)
            # Nobody would learn its id, and it would run for as long as the qube does.
            if caller_gone(0):
                job.stop()
                raise CallerGone
            return {"exit": None, "signal": None, "timed_out": False, "job": job.id}
        # A background command has no limit unless it is given one.
        deadline = time.monotonic() + (timeout or limits.DEFAULT_COMMAND_SECONDS)
        return process.run(
            process.start(command, cwd, env, user), frames, deadline, received, feeds=True
        )
    except process.CannotStart as problem:
        frames.send(b"E", f"{problem}\n".encode("utf-8", "replace"))
        return process.outcome(problem.exit_code, False)
    except jobs.TooMuchInput:
        raise BadRequest from None


if __name__ == "__main__":
    sys.exit(main(run))
