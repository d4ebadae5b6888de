"""The frame of every service: is this the qube that is meant? Read the request, become its user, send the reply or the refusal."""

from __future__ import annotations

import errno
import os
import pwd
import signal
from collections.abc import Callable
from typing import Any

from .frames import BadRequest, CallerGone, Frames, Input, Reply, Request, read_request

# The name of an operating system error in a refusal: PROTOCOL.md.
PROBLEMS = {
    errno.ENOENT: "no-such-file",
    errno.ENOTDIR: "not-a-directory",
    errno.EISDIR: "is-a-directory",
    errno.EACCES: "access-denied",
    errno.EPERM: "access-denied",
    errno.EROFS: "read-only",
    errno.ENOSPC: "no-space",
    errno.EDQUOT: "no-space",
    errno.ELOOP: "link-loop",
    errno.ENAMETOOLONG: "name-too-long",
    errno.EEXIST: "exists",
}
REQUIRED = object()


class Problem(Exception):
    """The request cannot be carried out here: its name in the refusal, or another code than `conflict`."""

    def __init__(self, word: str | None = None, code: str = "conflict") -> None:
        super().__init__(word or code)
        self.word, self.code = word, code


def main(handle: Callable[[Request, Input, Frames], Reply], more: bool = False) -> int:
    """Serve one call: `handle(request, received, frames)` sends frames and returns the reply. Returns the exit code of the process.
    `more`: the argument has more than the name of the qube, after a plus."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    frames = Frames(1)
    try:
        try:
            if not is_called_by_name(more):
                raise Problem(code="not-found")
            request, received = read_request(0)
            frames.received = received
            reply = handle(request, received, frames)
        except BadRequest:
            frames.refuse("invalid-request")
        except Problem as problem:
            frames.refuse(problem.code, problem.word)
        except OSError as error:
            frames.refuse("conflict", PROBLEMS.get(error.errno or 0, "failed"))
        else:
            frames.reply(reply)
    except CallerGone:
        return 1
    return 0


def is_called_by_name(more: bool) -> bool:
    """Whether the call's argument is the name of this qube. The operator may have been asked about the argument and have chosen
    another qube in the dialog."""
    argument = os.environ.get("QREXEC_SERVICE_ARGUMENT", "")
    argument = argument.partition("+")[0] if more else argument
    return argument != "" and argument == own_name()


def own_name() -> str:
    """The name that dom0 gave this qube; empty when QubesDB does not say."""
    readable, writable = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, writable, 1),
    ]
    words = ["qubesdb-read", "/name"]
    with open(readable, "rb") as output:
        try:
            child = os.posix_spawnp(words[0], words, os.environ, file_actions=actions)
        except OSError:
            return ""
        finally:
            os.close(writable)
        name = output.read()
    os.waitpid(child, 0)
    return name.decode("ascii", "replace").rstrip("\n")


def fields(request: Request, **shapes: tuple[Callable[[Any], object], Any]) -> list[Any]:
    """The request's values in the order of `shapes`, each `(check, default)`. Raises BadRequest for any other request."""
    if not set(request) <= set(shapes):
        raise BadRequest
    values = []
    for name, (check, default) in shapes.items():
        value = request.get(name, default)
        if value is REQUIRED or (name in request and not check(value)):
            raise BadRequest
        values.append(value)
    return values


def is_text(value: Any) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_name(value: Any) -> bool:
    return is_text(value) and value != ""


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def integer(low: int, high: int) -> Callable[[Any], bool]:
    """A check for an integer from `low` to `high`, both included."""
    return lambda value: type(value) is int and low <= value <= high


USER = (is_name, "user")
PATH = (is_name, REQUIRED)


def account_of(user: str) -> pwd.struct_passwd:
    """The user's entry in passwd. Raises Problem when there is none, or this process cannot become that user."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise Problem("no-such-user") from None
    if os.geteuid() not in (0, account.pw_uid):
        raise Problem("no-such-user")
    return account


def become(user: str) -> None:
    """Run as that user from here on, in its home directory, so that Linux checks the user's own rights."""
    account = account_of(user)
    if os.geteuid() == 0:
        os.setgroups(os.getgrouplist(user, account.pw_gid))
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.umask(0o022)
    os.environ["HOME"] = account.pw_dir
    os.chdir(account.pw_dir if os.path.isdir(account.pw_dir) else "/")


def environment_of(
    account: pwd.struct_passwd, extra: dict[str, str] | None = None
) -> dict[str, str]:
    return {
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        **(extra or {}),
    }
