"""qmcp.exec.FileRead: a range of a file's bytes."""

import os
import stat
import sys

from .generated import limits
from .service import PATH, USER, Problem, become, fields, main, whole


def read(request, _received, frames):
    path, offset, length, user = fields(
        request,
        path=PATH,
        offset=(whole(0, 1 << 53), 0),
        length=(whole(1, limits.PAGE_BYTES), limits.DEFAULT_PAGE_BYTES),
        user=USER,
    )
    become(user)
    # Not to wait for the other end of a pipe; of devices, which may have no end, nothing is read.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise Problem("is-a-directory" if stat.S_ISDIR(found.st_mode) else "not-a-file")
    at = offset
    while at < offset + length:
        chunk = os.pread(fd, min(limits.FRAME_BYTES, offset + length - at), at)
        if not chunk:
            break
        frames.send(b"O", chunk)
        at += len(chunk)
    # The kernel's own files say that they are empty, and are not.
    return {
        "path": os.path.realpath(path),
        "size": max(found.st_size, at),
        "end": not os.pread(fd, 1, at),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "mtime": int(found.st_mtime),
    }


if __name__ == "__main__":
    sys.exit(main(read))
