"""qmcp.exec.FileList: a page of a directory's entries, sorted by name. Links are listed, not followed.

Each entry is a line of JSON on the output stream. A name that is not UTF-8 has a lone surrogate, U+DC00 plus the byte, for
each byte that cannot be decoded.
"""

from __future__ import annotations

import heapq
import json
import os
import stat
import sys
from collections.abc import Iterator
from typing import Any

from .frames import Frames, Input
from .generated import limits
from .service import PATH, USER, Reply, Request, become, fields, integer, main

TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


def show(request: Request, _received: Input, frames: Frames) -> Reply:
    path, offset, limit, user = fields(
        request,
        path=(PATH[0], "."),
        offset=(integer(0, 1 << 31), 0),
        limit=(integer(1, limits.LIST_ENTRIES), limits.DEFAULT_LIST_ENTRIES),
        user=USER,
    )
    become(user)
    total = 0

    def names() -> Iterator[bytes]:
        nonlocal total
        with os.scandir(path) as entries:
            for entry in entries:
                total += 1
                yield os.fsencode(entry.name)

    # Memory for the names up to the end of the page, and not for the whole directory.
    page = heapq.nsmallest(offset + limit, names())[offset:]
    lines = [json.dumps(line) + "\n" for name in page if (line := _entry(path, os.fsdecode(name)))]
    if lines:
        frames.send(b"O", "".join(lines).encode())
    return {"path": os.path.realpath(path), "total": total}


def _entry(folder: str, name: str) -> dict[str, Any] | None:
    """None for an entry that was removed meanwhile."""
    path = os.path.join(folder, name)
    try:
        status = os.lstat(path)
        link = {"target": os.readlink(path)} if stat.S_ISLNK(status.st_mode) else {}
    except OSError:
        return None
    return {
        "name": name,
        "type": TYPES.get(stat.S_IFMT(status.st_mode), "other"),
        "size": status.st_size,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "mtime": int(status.st_mtime),
        **link,
    }


if __name__ == "__main__":
    sys.exit(main(show))
