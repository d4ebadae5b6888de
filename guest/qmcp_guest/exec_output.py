"""qmcp.exec.Output: a page of what a background command has printed so far, and the command's state."""

from __future__ import annotations

import os
import sys
import time

from .frames import CallerGone, Frames, Input, caller_gone
from .generated import limits
from .jobs import ID, STREAMS, Job
from .service import REQUIRED, Reply, Request, fields, integer, is_text, main

TICK = 0.05


def output(request: Request, _received: Input, frames: Frames) -> Reply:
    name, stream, offset, limit, wait = fields(
        request,
        job=(lambda value: is_text(value) and ID.fullmatch(value), REQUIRED),
        stream=(lambda value: value in STREAMS.values(), "stdout"),
        offset=(integer(0, 1 << 40), 0),
        limit=(integer(1, limits.PAGE_BYTES), limits.DEFAULT_PAGE_BYTES),
        wait=(integer(0, limits.OUTPUT_WAIT_SECONDS), 0),
    )
    job = Job.find(name)
    last = time.monotonic() + wait
    while job.stored_size(stream) <= offset and job.running() and time.monotonic() < last:
        if caller_gone(TICK):
            raise CallerGone
    state = job.state()  # before the sizes: once a command has ended, they no longer grow
    size, printed = job.stored_size(stream), job.printed_size(stream)
    kind = next(kind for kind, name in STREAMS.items() if name == stream)
    if size > offset:
        with open(job.path(stream), "rb") as file:
            frames.send(kind, os.pread(file.fileno(), min(limit, size - offset), offset))
    return {**state, "size": size, "dropped": max(printed - size, 0)}


if __name__ == "__main__":
    sys.exit(main(output))
