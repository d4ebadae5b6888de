"""qmcp.exec.Stop: ends a background command and everything it started: SIGTERM, and SIGKILL for what is still there."""

import sys

from .jobs import ID, Job
from .service import REQUIRED, fields, is_text, main


def stop(request, _received, _frames):
    (name,) = fields(request, job=(lambda value: is_text(value) and ID.fullmatch(value), REQUIRED))
    job = Job.find(name)
    job.stop()
    return job.state()


if __name__ == "__main__":
    sys.exit(main(stop))
