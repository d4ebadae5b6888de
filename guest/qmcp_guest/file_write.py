"""qmcp.exec.FileWrite: writes a whole file or nothing, or writes bytes at a position in an existing file.

The request says how many bytes follow it: a caller that leaves before the last one has changed nothing.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from typing import Any

from .frames import BadRequest, Frames, Input
from .generated import limits
from .service import (
    PATH,
    REQUIRED,
    USER,
    Problem,
    Reply,
    Request,
    become,
    fields,
    integer,
    is_flag,
    main,
)


def write(request: Request, received: Input, _frames: Frames) -> Reply:
    path, size, mode, offset, append, parents, user = fields(
        request,
        path=PATH,
        size=(integer(0, limits.WRITE_BYTES), REQUIRED),
        mode=(is_mode, None),
        offset=(integer(0, 1 << 53), None),
        append=(is_flag, False),
        parents=(is_flag, False),
        user=USER,
    )
    if append and offset is not None:
        raise BadRequest
    become(user)
    # Write to the file that a link points to: replacing the link itself would leave that file unchanged.
    path = os.path.realpath(path)
    if os.path.isdir(path):
        raise Problem("is-a-directory")
    folder = os.path.dirname(path)
    if parents:
        os.makedirs(folder, exist_ok=True)
    old = os.stat(path) if os.path.exists(path) else None
    if old and not stat.S_ISREG(old.st_mode):
        raise Problem("not-a-file")
    draft = _draft(folder, received, size)
    try:
        if append or offset is not None:
            _splice(draft, path, offset)
        else:
            _replace(draft, path, folder, old, mode)
    finally:
        if os.path.exists(draft):
            os.unlink(draft)
    written = os.stat(path)
    return {"path": path, "size": written.st_size, "mode": f"{stat.S_IMODE(written.st_mode):04o}"}


def is_mode(value: Any) -> bool:
    return isinstance(value, str) and len(value) in (3, 4) and set(value) <= set("01234567")


def _draft(folder: str, received: Input, size: int) -> str:
    """The path of a new file in the same folder that holds all bytes after the request."""
    draft = os.path.join(folder, f".qmcp-{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        left = size
        while chunk := received.read():
            left -= len(chunk)
            if left < 0:
                raise BadRequest
            while chunk:
                chunk = chunk[os.write(fd, chunk) :]
        if left:
            raise BadRequest
        os.fsync(fd)
    except BaseException:
        os.unlink(draft)
        raise
    finally:
        os.close(fd)
    return draft


def _replace(
    draft: str, path: str, folder: str, old: os.stat_result | None, mode: str | None
) -> None:
    """Replace the file with the draft, keeping its owner and, unless a mode is given, its mode."""
    if old and os.geteuid() == 0:
        os.chown(draft, old.st_uid, old.st_gid)
    elif old and old.st_uid != os.geteuid():
        raise Problem("access-denied")
    os.chmod(draft, int(mode, 8) if mode else stat.S_IMODE(old.st_mode) if old else 0o644)
    os.replace(draft, path)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def _splice(draft: str, path: str, offset: int | None) -> None:
    """Write the draft's bytes into the file: at its end, or at an offset that it reaches."""
    with open(draft, "rb") as source, open(path, "ab" if offset is None else "r+b") as target:
        if offset is not None:
            if offset > os.fstat(target.fileno()).st_size:
                raise Problem("beyond-the-end")
            target.seek(offset)
        while chunk := source.read(1 << 20):
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())


if __name__ == "__main__":
    sys.exit(main(write))
