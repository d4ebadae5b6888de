"""Changes dom0's files completely or not at all, even when the power fails: the old contents are saved first."""

import base64
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bundle import HOME, UNITS

MANIFEST, UNDO = f"{HOME}/manifest.json", "var/lib/qmcp/install.undo"

# The content of a path: None if it does not exist, the target of a link, or [mode, base64] of a file.
Content = list[Any] | str | None
# A step of a change: a path and its new content, a command of the running system, or a function to call.
Step = tuple[str, Content] | list[str] | Callable[[], object]


# ---- one path below the root


def there(path: Path) -> Content:
    if path.is_symlink():
        return os.readlink(path)
    return a_file(path.read_bytes(), path.stat().st_mode & 0o7777) if path.exists() else None


def a_file(data: bytes, its_mode: int = 0o644) -> list[Any]:
    return [its_mode, base64.b64encode(data).decode()]


def put(path: Path, new: Content) -> None:
    """Replace the content of the path atomically. Nothing reads a file with the draft's suffix."""
    draft = path.with_name(path.name + ".qmcp-draft")
    draft.unlink(missing_ok=True)
    if new is None:
        path.unlink(missing_ok=True)
    elif there(path) != new:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(new, str):
            draft.symlink_to(new)
        else:
            draft.write_bytes(base64.b64decode(new[1]))
            draft.chmod(new[0])
        os.replace(draft, path)


# ---- all of a change, or nothing


def change(root: Path, steps: list[Step]) -> None:
    """Take the steps in order. If one fails, undo the change at once; if the process is killed, the next run undoes it. Until
    then dom0 answers no call that it did not answer before."""
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
        # What stopped it may be what qmcpd said.
        command(
            root, ["journalctl", "-b", "-u", "qmcpd", "-n", "10", "--no-pager", "-o", "cat"], False
        )
        take_back(root)
        raise
    (root / UNDO).unlink()


def take_back(root: Path) -> None:
    """Undo the steps in reverse order: close what the change opened first, and reopen what was open at the end."""
    undo, folders = json.loads((root / UNDO).read_bytes())
    units = [
        Path(path).name for path, _ in undo if path.startswith(UNITS) and ".wants/" not in path
    ]
    if units:
        command(root, ["systemctl", "stop", *units], check=False)
    for path, before in reversed(undo):
        put(root / path, before)
    started = [["systemctl", "start", *units]] if (units := wanted(installed_units(root))) else []
    for words in [["systemctl", "daemon-reload"], *started, ["sync"]]:
        command(root, words, check=False)
    (root / UNDO).unlink()
    prune(root, folders)
    print("qmcp-dom0: the unfinished change was undone: everything is as it was before.")


def command(root: Path, words: list[str], check: bool = True) -> None:
    """Run a command of the running system, whose root is /."""
    if root == Path("/"):
        subprocess.run(words, check=check)
    else:
        print("  not run, because the root is not /:", *words)


def missing(root: Path, paths: Iterable[str]) -> list[str]:
    return sorted(
        {
            str(folder)
            for path in [*paths, UNDO]
            for folder in Path(path).parents
            if not (root / folder).exists()
        }
    )


def prune(root: Path, folders: Iterable[str]) -> None:
    for folder in sorted(folders, reverse=True):
        if (root / folder).is_dir() and not any((root / folder).iterdir()):
            (root / folder).rmdir()


# ---- what is installed


def manifest(root: Path) -> dict[str, Any]:
    path = root / MANIFEST
    return (
        json.loads(path.read_bytes())
        if path.exists()
        else {"digest": None, "paths": [], "folders": []}
    )


def installed_units(root: Path) -> dict[str, bytes]:
    return {
        path: (root / path).read_bytes()
        for path in manifest(root)["paths"]
        if path.startswith(UNITS)
    }


def wanted(files: dict[str, bytes]) -> dict[str, str]:
    """`{unit: the target that wants it}` of the unit files among these."""
    targets = {
        path: re.search(rb"^WantedBy=(\S+)$", data, re.MULTILINE)
        for path, data in files.items()
        if path.startswith(UNITS)
    }
    return {
        Path(path).name: target[1].decode()
        for path, target in targets.items()
        if target and ".wants/" not in path
    }
