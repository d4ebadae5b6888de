"""qmcp.exec.FileWrite: a whole file, or nothing of it; or bytes at a place in one that is there.

The request says how many bytes follow it: a caller that goes before the last one has changed nothing.
"""

import os
import secrets
import stat
import sys

from .frames import BadRequest
from .generated import limits
from .service import PATH, REQUIRED, USER, Problem, become, fields, is_flag, main, whole


def write(request, received, _frames):
    path, size, mode, offset, append, parents, user = fields(
        request,
        path=PATH,
        size=(whole(0, limits.WRITE_BYTES), REQUIRED),
        mode=(is_mode, None),
        offset=(whole(0, 1 << 53), None),
        append=(is_flag, False),
        parents=(is_flag, False),
        user=USER,
    )
    if append and offset is not None:
        raise BadRequest
    become(user)
    # Through links to the file they lead to: replacing the link itself would tear it from where it belongs.
    path = os.path.realpath(path)
    if os.path.isdir(path):
        raise Problem("is-a-directory")
    folder = os.path.dirname(path)
    if parents:
        os.makedirs(folder, exist_ok=True)
    found = os.stat(path) if os.path.exists(path) else None
    if found and not stat.S_ISREG(found.st_mode):
        raise Problem("not-a-file")
    draft = _draft(folder, received, size)
    try:
        if append or offset is not None:
            _splice(draft, path, offset)
        else:
            _replace(draft, path, folder, found, mode)
    finally:
        if os.path.exists(draft):
            os.unlink(draft)
    written = os.stat(path)
    return {"path": path, "size": written.st_size, "mode": f"{stat.S_IMODE(written.st_mode):04o}"}


def is_mode(value):
    return isinstance(value, str) and len(value) in (3, 4) and set(value) <= set("01234567")


def _draft(folder, received, size):
    """A new file beside the one to be written, with all that follows the request."""
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


def _replace(draft, path, folder, found, mode):
    """The draft becomes the file, with the owner and mode it had."""
    if found and os.geteuid() == 0:
        os.chown(draft, found.st_uid, found.st_gid)
    elif found and found.st_uid != os.geteuid():
        raise Problem("access-denied")
    os.chmod(draft, int(mode, 8) if mode else stat.S_IMODE(found.st_mode) if found else 0o644)
    os.replace(draft, path)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def _splice(draft, path, offset):
    """The draft's bytes into the file, at its end or at a place that it has."""
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
