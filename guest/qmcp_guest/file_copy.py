"""qmcp.exec.FileCopy: copies a file or a directory to another qube with the platform's own copy.

The policy in dom0 decides whether that qube accepts files from this one: the platform's copy makes its own call, from here.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time

from . import process
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
    is_text,
    main,
)

SENDER = "/usr/lib/qubes/qfile-agent"
QUBE = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]{0,30}")
DENIED = 126  # the client's exit code for a call that the policy denies


def copy(request: Request, received: Input, frames: Frames) -> Reply:
    target, path, user, timeout = fields(
        request,
        target=(lambda value: is_text(value) and QUBE.fullmatch(value), REQUIRED),
        path=PATH,
        user=USER,
        timeout=(integer(1, limits.COMMAND_SECONDS), limits.DEFAULT_COPY_SECONDS),
    )
    client = shutil.which("qrexec-client-vm")
    if client is None:
        raise Problem("no-copy-here")
    become(user)
    os.lstat(path)  # before the next line takes a slash off that only a directory may have
    path = os.path.abspath(path)
    if not os.path.basename(path):
        raise BadRequest
    words = [client, target, "qubes.Filecopy", SENDER, path]
    try:
        running = process.start(words, None, {}, user)
    except process.CannotStart:
        raise Problem("no-copy-here") from None
    result = process.run(running, frames, time.monotonic() + timeout, received)
    if result["exit"] == DENIED:  # or there is no such qube: the client does not say which
        raise Problem(code="not-found")
    return {**result, "name": os.path.basename(path)}


if __name__ == "__main__":
    sys.exit(main(copy))
