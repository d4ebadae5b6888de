"""qmcp.exec.Stop: ends a background command and everything it started, with SIGTERM and, if that is not enough, SIGKILL."""

from __future__ import annotations

import sys

from .frames import Frames, Input
from .jobs import ID, Job
from .service import REQUIRED, Reply, Request, fields, is_text, main


def stop(request: Request, _received: Input, _frames: Frames) -> Reply:
    (name,) = fields(request, job=(lambda value: is_text(value) and ID.fullmatch(value), REQUIRED))
    job = Job.find(name)
    job.stop()
    return job.state()


if __name__ == "__main__":
    sys.exit(main(stop))
