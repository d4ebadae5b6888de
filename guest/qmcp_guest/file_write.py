"""qmcp.exec.FileWrite: writes a whole file or nothing, or writes bytes at a position in an existing file.

The request says how many bytes follow it: a caller that leaves before the last one has changed nothing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import sys
from typing import Any, BinaryIO

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

# As many links as Linux follows.
MOST_LINKS = 40


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
    path = _behind_links(path)
    old = _old_file(path)
    content = _receive(received, size)
    if parents:
        _make_folders(os.path.dirname(path))
    if append or offset is not None:
        _splice(content, path, offset)
        if mode:
            os.chmod(path, int(mode, 8))
    else:
        _replace(content, path, old, mode)
    written = os.stat(path)
    real = os.path.realpath(path)
    return {"path": real, "size": written.st_size, "mode": f"{stat.S_IMODE(written.st_mode):04o}"}


def _behind_links(path: str) -> str:
    """The file that a path leads to, as the kernel finds it: replacing a link itself would leave the file behind it unchanged. A
    file that does not exist yet is allowed."""
    for _ in range(MOST_LINKS):
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            if os.path.basename(path) in ("", ".", ".."):
                raise Problem("is-a-directory") from None
            return path
        if not stat.S_ISLNK(status.st_mode):
            return path
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    raise Problem("link-loop")


def _old_file(path: str) -> os.stat_result | None:
    """The file to write, if it exists. Raises Problem or OSError if its user could not write it."""
    if os.path.isdir(path):
        raise Problem("is-a-directory")
    old = os.stat(path) if os.path.exists(path) else None
    if old and not stat.S_ISREG(old.st_mode):
        raise Problem("not-a-file")
    if old and not os.access(path, os.W_OK):
        os.close(os.open(path, os.O_WRONLY))  # raises the reason
    return old


def _make_folders(folder: str) -> None:
    try:
        os.makedirs(folder or ".", exist_ok=True)
    except FileExistsError:
        raise Problem("not-a-directory") from None


def is_mode(value: Any) -> bool:
    return isinstance(value, str) and len(value) in (3, 4) and set(value) <= set("01234567")


def _receive(received: Input, size: int) -> BinaryIO:
    """All bytes after the request, in memory: until the last has come, nothing in the qube changes."""
    content = open(os.memfd_create("content"), "w+b")
    left = size
    while chunk := received.read():
        left -= len(chunk)
        if left < 0:
            raise BadRequest
        content.write(chunk)
    if left:
        raise BadRequest
    content.seek(0)
    return content


def _replace(content: BinaryIO, path: str, old: os.stat_result | None, mode: str | None) -> None:
    """Replace the file at once by a new one that keeps its owner, its group, its extended attributes and, unless a mode is given,
    its mode."""
    folder = os.path.dirname(path) or "."
    draft = os.path.join(folder, f".qmcp-{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "wb") as target:
            shutil.copyfileobj(content, target)
            target.flush()
            os.fsync(fd)
        if old:
            _keep(path, old, draft)
        os.chmod(draft, int(mode, 8) if mode else stat.S_IMODE(old.st_mode) if old else 0o644)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def _keep(path: str, old: os.stat_result, draft: str) -> None:
    """Whoever cannot keep the owner and the group may not replace the file."""
    if os.geteuid() != 0 and old.st_uid != os.geteuid():
        raise Problem("access-denied")
    os.chown(draft, old.st_uid, old.st_gid)
    with contextlib.suppress(OSError):  # not every file system has them, and some are the kernel's
        for name in os.listxattr(path):
            os.setxattr(draft, name, os.getxattr(path, name))


def _splice(content: BinaryIO, path: str, offset: int | None) -> None:
    """Write the bytes into the file: at its end, or at an offset that it reaches. A failed append leaves the file as it was."""
    with open(path, "ab" if offset is None else "r+b") as target:
        before = os.fstat(target.fileno()).st_size
        if offset is not None:
            if offset > before:
                raise Problem("beyond-the-end")
            target.seek(offset)
        try:
            shutil.copyfileobj(content, target)
            target.flush()
            os.fsync(target.fileno())
        except OSError:
            if offset is None:
                os.truncate(path, before)
            raise


if __name__ == "__main__":
    sys.exit(main(write))
