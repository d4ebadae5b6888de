"""qmcp.exec.FileList: a page of what is in a directory, by name. Links are shown, not followed.

Each entry is a line of JSON on the output stream. A name that is no UTF-8 has a lone surrogate, U+DC00 and the byte, for
each byte that does not fit.
"""

import heapq
import json
import os
import stat
import sys

from .generated import limits
from .service import PATH, USER, become, fields, main, whole

TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


def show(request, _received, frames):
    path, offset, limit, user = fields(
        request,
        path=(PATH[0], "."),
        offset=(whole(0, 1 << 31), 0),
        limit=(whole(1, limits.LIST_ENTRIES), limits.DEFAULT_LIST_ENTRIES),
        user=USER,
    )
    become(user)
    total = 0

    def names():
        nonlocal total
        with os.scandir(path) as entries:
            for entry in entries:
                total += 1
                yield os.fsencode(entry.name)

    page = heapq.nsmallest(offset + limit, names())[
        offset:
    ]  # as much memory as it takes to know what comes before
    lines = [json.dumps(line) + "\n" for name in page if (line := _entry(path, os.fsdecode(name)))]
    if lines:
        frames.send(b"O", "".join(lines).encode())
    return {"path": os.path.realpath(path), "total": total}


def _entry(folder, name):
    """None for what went away meanwhile."""
    path = os.path.join(folder, name)
    try:
        found = os.lstat(path)
        link = {"target": os.readlink(path)} if stat.S_ISLNK(found.st_mode) else {}
    except OSError:
        return None
    return {
        "name": name,
        "type": TYPES.get(stat.S_IFMT(found.st_mode), "other"),
        "size": found.st_size,
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "mtime": int(found.st_mtime),
        **link,
    }


if __name__ == "__main__":
    sys.exit(main(show))
