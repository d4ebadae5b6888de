"""Kills the installer at one of its writes after the other, as a power cut would, and looks at what is left.

    killed.py ROOT BUNDLE STRIDE        installs BUNDLE over what is in ROOT, killed at every STRIDE-th write
    killed.py ROOT uninstall STRIDE     the same, taking out what is in ROOT
    killed.py ROOT BUNDLE cut WRITE     installs it as the command does, killed at that write, and leaves what is left
    killed.py ROOT BUNDLE fail COMMAND  the same, but it is this command of the system that fails, counted from 1; of all of them it
                                        prints the words, whether dom0 was open, and the digest of the policy there was

Prints {"writes": N, "kills": N, "closed": N, "old": N, "new": N}; ends with 1 at the first state that is none of those.
"""

import contextlib
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGING = Path(__file__).resolve().parents[2] / "dom0/packaging"
LOADER = importlib.machinery.SourceFileLoader("installer", str(PACKAGING / "qmcp-dom0"))
sys.dont_write_bytecode = True
SPEC = importlib.util.spec_from_loader("installer", LOADER)
assert SPEC
installer: Any = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(installer)

import change as changes  # noqa: E402
from change import Step  # noqa: E402

State = dict[str, str]  # path below the root → the target of a link, or the digest of a file
LINKS, POLICY, UNDO = installer.LINKS, installer.POLICY, installer.UNDO


def tree(root: Path) -> State:
    """What is there, apart from what is only there while a change is under way."""
    found: State = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if (
            name.endswith(".qmcp-draft")
            or name == UNDO
            or (path.is_dir() and not path.is_symlink())
        ):
            continue
        found[name] = (
            os.readlink(path)
            if path.is_symlink()
            else hashlib.sha256(path.read_bytes()).hexdigest()
        )
    return found


def folders(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}


def links(of: State) -> set[str]:
    return {name for name in of if name.startswith(f"{LINKS}/qmcp.")}


class Power:
    """Goes at the n-th write. A file that is being written at that moment has half of its bytes."""

    def __init__(self, until: int) -> None:
        self.left, self.writes = until, 0
        for owner, name in (
            (os, "replace"),
            (os, "symlink"),
            (os, "unlink"),
            (os, "mkdir"),
            (os, "rmdir"),
            (Path, "write_bytes"),
        ):
            setattr(owner, name, self.limited(getattr(owner, name)))

    def limited(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def limited(*given: Any, **how: Any) -> Any:
            if write.__name__ == "unlink" and not os.path.lexists(given[0]):
                return write(*given, **how)
            self.writes += 1
            self.left -= 1
            if not self.left and write.__name__ == "write_bytes":
                write(given[0], given[1][: len(given[1]) // 2])
            if not self.left:
                os._exit(137)
            return write(*given, **how)

        return limited


def child(work: Callable[[], object], until: int = 0) -> tuple[int, int]:
    """`(how it ended, the writes it made)` of this work, in a process whose power goes at that write."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        sys.stdout = open(os.devnull, "w")
        power = Power(until)
        try:
            work()
            os.write(write, str(power.writes).encode())
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    os.close(write)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = os.read(read, 100)
    os.close(read)
    return code, int(said or 0)


def sweep(root: Path, steps: list[Step], stride: int) -> dict[str, int]:
    old, old_folders = tree(root), folders(root)
    change = lambda: installer.change(root, steps)  # noqa: E731
    take_back = lambda: installer.take_back(root)  # noqa: E731

    # Once to the end, to know what new is; then back, by the change that undoes it.
    kept = {
        path: installer.there(root / path)
        for path in {step[0] for step in steps if isinstance(step, tuple)}
    }
    code, writes = child(change)
    assert code == 0, "the change itself fails"
    new = tree(root)
    for path, before in kept.items():
        installer.put(root / path, before)
    installer.prune(root, folders(root) - old_folders)
    assert (tree(root), folders(root)) == (old, old_folders)

    seen = {"writes": writes, "kills": 0, "closed": 0, "old": 0, "new": 0}
    for at in range(1, writes + 1, stride):
        code, _ = child(change, at)
        assert code == 137, f"write {at}: not killed but {code}"
        left = tree(root)
        beside = [
            {name: what for name, what in of.items() if name not in links(of)}
            for of in (left, old, new)
        ]
        if not links(left):
            state = "closed"
        else:  # what is open, in part or whole, leads to all of the old or to all of the new
            state = "old" if beside[0] == beside[1] and left.items() <= old.items() else "new"
            whole = state == "old" or (beside[0] == beside[2] and left.items() <= new.items())
            assert whole, f"write {at}: open, and neither old nor new"
        # The policy is what closes the world's qubes: where there was one, there is one, until all else is gone.
        assert POLICY not in old or POLICY in left or beside[0] == beside[2], (
            f"write {at}: no policy"
        )
        assert left.get(POLICY) in (old.get(POLICY), new.get(POLICY)), f"write {at}: half a policy"
        seen[state] += 1
        seen["kills"] += 1
        if (root / UNDO).exists():
            # The power goes again, while that is taken back; links are not made before everything else is as it was.
            child(take_back, at % 40 + 1)
            again = {name: what for name, what in tree(root).items() if name not in links(old)}
            assert (
                again == beside[1] or not links(tree(root)) or links(tree(root)) <= links(left)
            ), f"write {at}: open too early"
            if (root / UNDO).exists():
                assert child(take_back)[0] == 0, f"write {at}: it cannot be taken back"
        # What may be left is an empty folder: made before the first line was written down, or not yet taken away after the last.
        (root / f"{UNDO}.qmcp-draft").unlink(missing_ok=True)
        installer.prune(root, folders(root) - old_folders)
        assert (tree(root), folders(root)) == (old, old_folders), (
            f"write {at}: taken back, it is not what it was"
        )
    return seen


def main(root: str, what: str, stride: str) -> None:
    where = Path(root).resolve()
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as stage:
        if what == "uninstall":
            steps = installer.removal(where)
        else:
            data = Path(what).read_bytes()
            files = installer.files_of(data)
            for path, content in files.items():
                installer.put(Path(stage) / path, installer.a_file(content, installer.mode(path)))
            steps = installer.plan(where, Path(stage), files, hashlib.sha256(data).hexdigest())
        steps = [*installer.closed(where), *steps]
    print(json.dumps(sweep(where, steps, int(stride))))


def as_command(root: str, bundle: str) -> int:
    digest = hashlib.sha256(Path(bundle).read_bytes()).hexdigest()
    sys.argv = ["qmcp-dom0", "--root", root, "install", bundle, "--sha256", digest, "--yes"]
    return installer.main()


def cut(root: str, bundle: str, write: str) -> None:
    begin = installer.change
    installer.change = lambda *given: (Power(int(write)), begin(*given))
    as_command(root, bundle)


def fail(root: str, bundle: str, which: str) -> None:
    said: list[dict[str, object]] = []

    def command(root: Path, words: list[str], check: bool = True) -> None:
        now = tree(root)
        said.append({"words": words, "open": bool(links(now)), "policy": now.get(POLICY)})
        if check and len(said) == int(which):
            raise subprocess.CalledProcessError(1, words)

    changes.command = command
    with contextlib.redirect_stdout(sys.stderr):
        try:
            code = as_command(root, bundle)
        except subprocess.CalledProcessError:
            code = 1
    print(json.dumps({"code": code, "commands": said}))


if __name__ == "__main__":
    how = {"cut": cut, "fail": fail}.get(sys.argv[3])
    try:
        how(sys.argv[1], sys.argv[2], sys.argv[4]) if how else main(*sys.argv[1:])
    except AssertionError as wrong:
        sys.exit(f"killed.py: {wrong}")
