"""qmcp.exec.FileRead: a range of a file's bytes."""

from __future__ import annotations

import os
import stat
import sys

from .frames import Frames, Input
from .generated import limits
from .service import PATH, USER, Problem, Reply, Request, become, fields, integer, main


def read(request: Request, _received: Input, frames: Frames) -> Reply:
    path, offset, length, user = fields(
        request,
        path=PATH,
        offset=(integer(0, 1 << 53), 0),
        length=(integer(1, limits.PAGE_BYTES), limits.DEFAULT_PAGE_BYTES),
        user=USER,
    )
    become(user)
    # O_NONBLOCK: do not wait for the other end of a pipe. Devices are refused below, because reading one may never end.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise Problem("is-a-directory" if stat.S_ISDIR(status.st_mode) else "not-a-file")
    at = offset
    while at < offset + length:
        chunk = os.pread(fd, min(limits.FRAME_BYTES, offset + length - at), at)
        if not chunk:
            break
        frames.send(b"O", chunk)
        at += len(chunk)
    # Files in /proc and /sys report size 0, but have content.
    size = max(status.st_size, at) if at > offset else status.st_size
    return {
        "path": os.path.realpath(path),
        "size": size,
        "end": not os.pread(fd, 1, at),
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "mtime": int(status.st_mtime),
    }


if __name__ == "__main__":
    sys.exit(main(read))
