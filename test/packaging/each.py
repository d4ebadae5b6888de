"""Installs each of these bundles with --yes, in a process of its own, without the start of an interpreter for each.

each.py ROOT FILE…      prints a list of {code, out, err, changed: whether anything below ROOT is not as it was before it}
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

import killed


def installed(root: str, file: str) -> dict[str, object]:
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    pid = os.fork()
    if not pid:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        sys.argv = ["qmcp-dom0", "--root", root, "install", file, "--sha256", digest, "--yes"]
        sys.exit(killed.installer.main())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {
        "code": code,
        **{
            name: (file.seek(0), file.read().decode())[1]
            for name, file in (("out", out), ("err", err))
        },
    }


if __name__ == "__main__":
    root = Path(sys.argv[1])
    before, found = (killed.tree(root), killed.folders(root)), []
    for file in sys.argv[2:]:
        said = installed(str(root), file)
        after = killed.tree(root), killed.folders(root)
        found.append(said | {"changed": after != before})
        before = after
    print(json.dumps(found))
