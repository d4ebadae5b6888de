"""What every service does before and after its own work: read the request, become its user, answer in band."""

import errno
import os
import pwd
import signal

from .frames import BadRequest, CallerGone, Frames, read_request

# What an error of the operating system is called in a refusal: PROTOCOL.md.
WORDS = {
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
    """What was asked for cannot be done here: the word for it, or another code than `conflict`."""

    def __init__(self, word=None, code="conflict"):
        super().__init__(word or code)
        self.word, self.code = word, code


def main(handle):
    """Serve one call: `handle(request, received, frames)` sends frames and returns the reply. The exit code of the process."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    frames = Frames(1)
    try:
        try:
            request, received = read_request(0)
            frames.received = received
            reply = handle(request, received, frames)
        except BadRequest:
            frames.refuse("invalid-request")
        except Problem as problem:
            frames.refuse(problem.code, problem.word)
        except OSError as error:
            frames.refuse("conflict", WORDS.get(error.errno, "failed"))
        else:
            frames.reply(reply)
    except CallerGone:
        return 1
    return 0


def fields(request, **shapes):
    """The request's values in the order of `shapes`, each `(check, default)`; BadRequest for anything else."""
    if not set(request) <= set(shapes):
        raise BadRequest
    values = []
    for name, (check, default) in shapes.items():
        value = request.get(name, default)
        if value is REQUIRED or (name in request and not check(value)):
            raise BadRequest
        values.append(value)
    return values


def is_text(value):
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_name(value):
    return is_text(value) and value != ""


def is_flag(value):
    return isinstance(value, bool)


def whole(low, high):
    """A check for an integer in this range, both ends included."""
    return lambda value: type(value) is int and low <= value <= high


USER = (is_name, "user")
PATH = (is_name, REQUIRED)


def account_of(user):
    """Its entry in passwd; Problem when there is none, or we could not become it."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise Problem("no-such-user") from None
    if os.geteuid() not in (0, account.pw_uid):
        raise Problem("no-such-user")
    return account


def become(user):
    """This process, from here on, is that user's, and in its home directory: what it may open, the kernel decides."""
    account = account_of(user)
    if os.geteuid() == 0:
        os.setgroups(os.getgrouplist(user, account.pw_gid))
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.umask(0o022)
    os.environ["HOME"] = account.pw_dir
    os.chdir(account.pw_dir if os.path.isdir(account.pw_dir) else "/")


def environment_of(account, extra=None):
    return {
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        **(extra or {}),
    }
