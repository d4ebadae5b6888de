"""A change of dom0's files: all of it, or nothing, whenever the power goes. What was there is written down first."""

import base64
import json
import os
import re
import subprocess
from pathlib import Path

from bundle import HOME, UNITS

MANIFEST, UNDO = f"{HOME}/manifest.json", "var/lib/qmcp/install.undo"


# ---- one path of the root. What is there is None, a link's target, or a file as [mode, base64]


def there(path):
    if path.is_symlink():
        return os.readlink(path)
    return a_file(path.read_bytes(), path.stat().st_mode & 0o7777) if path.exists() else None


def a_file(data, its_mode=0o644):
    return [its_mode, base64.b64encode(data).decode()]


def put(path, new):
    """At no moment is half of it there. Nobody reads a file with the ending of the draft."""
    draft = path.with_name(path.name + ".qmcp-draft")
    draft.unlink(missing_ok=True)
    if new is None:
        path.unlink(missing_ok=True)
    if there(path) == new:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(new, str):
        draft.symlink_to(new)
    else:
        draft.write_bytes(base64.b64decode(new[1]))
        draft.chmod(new[0])
    os.replace(draft, path)


# ---- all of a change, or nothing


def change(root, steps):
    """Take the steps in their order: `(path, what is to be there)`, a command of the running system, or what is to be called.
    What fails is taken back at once; what is cut off, before the next change. Until then nothing is open that was not."""
    was, undo = {}, []
    for path, new in (step for step in steps if isinstance(step, tuple)):
        undo.append((path, was[path] if path in was else there(root / path)))
        was[path] = new
    put(root / UNDO, a_file(json.dumps([undo, missing(root, was)]).encode(), 0o600))
    try:
        for step in steps:
            if isinstance(step, tuple):
                put(root / step[0], step[1])
            elif isinstance(step, list):
                command(root, step)
            else:
                step()
    except BaseException:
        take_back(root)
        raise
    (root / UNDO).unlink()


def take_back(root):
    """The last step first: what opened is closed before anything else, and what was open is opened at the end."""
    undo, folders = json.loads((root / UNDO).read_bytes())
    units = [
        Path(path).name for path, _ in undo if path.startswith(UNITS) and ".wants/" not in path
    ]
    for words in [["systemctl", "stop", *units]] if units else []:
        command(root, words, check=False)
    for path, before in reversed(undo):
        put(root / path, before)
    started = (
        [["systemctl", "start", *wanted(installed_units(root))]]
        if wanted(installed_units(root))
        else []
    )
    for words in [["systemctl", "daemon-reload"], *started, ["sync"]]:
        command(root, words, check=False)
    (root / UNDO).unlink()
    prune(root, folders)
    print("qmcp-dom0: what was begun is taken back: all is as it was before.")


def command(root, words, check=True):
    """A command of the running system, whose root is /."""
    if root == Path("/"):
        subprocess.run(words, check=check)
    else:
        print("  not run, for the root is not /:", *words)


def missing(root, paths):
    return sorted(
        {
            str(folder)
            for path in [*paths, UNDO]
            for folder in Path(path).parents
            if not (root / folder).exists()
        }
    )


def prune(root, folders):
    for folder in sorted(folders, reverse=True):
        if (root / folder).is_dir() and not any((root / folder).iterdir()):
            (root / folder).rmdir()


# ---- what is installed


def manifest(root):
    path = root / MANIFEST
    return (
        json.loads(path.read_bytes())
        if path.exists()
        else {"digest": None, "paths": [], "folders": []}
    )


def installed_units(root):
    return {
        path: (root / path).read_bytes()
        for path in manifest(root)["paths"]
        if path.startswith(UNITS)
    }


def wanted(files):
    """`{unit: the target that wants it}` of the unit files among these."""
    found = {
        path: re.search(rb"^WantedBy=(\S+)$", data, re.MULTILINE)
        for path, data in files.items()
        if path.startswith(UNITS)
    }
    return {
        Path(path).name: target[1].decode()
        for path, target in found.items()
        if target and ".wants/" not in path
    }
