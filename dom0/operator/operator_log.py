"""The log of the operator's changes, with a hash chain of its own: only qmcpd writes qmcpd's log, and only qmcp-admin writes this
one. The same code writes and verifies both, and `qmcp-admin audit` shows them together."""

import fcntl
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import audit_chain
from answer import Answer, Incomplete, Options
from qmcpd.audit import AuditLog
from spec import REFUSAL

DIRECTORY = "var/log/qmcp/operator"  # owned by root: qmcpd cannot write there


@contextmanager
def _locked(options: Options, waits: bool) -> Iterator[AuditLog]:
    """The log, locked so that only one qmcp-admin at a time writes it."""
    directory = options.root / DIRECTORY
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        try:
            log = AuditLog(directory / "audit.log")
        except ValueError as problem:
            raise OSError(
                f"{directory}/audit.log: {problem}: find out who changed it, then rename it"
            ) from None
        yield log


def carry_out(
    options: Options, reply: Answer, change: Callable[[], list[str]]
) -> tuple[int, list[str]]:
    """Carry out the change, with a line before and a line after. A change that cannot be recorded is not made, unless it is
    `at_once`; that one also waits for no other qmcp-admin. Returns the exit code and the lines to print."""
    facts = {
        "call": secrets.token_hex(8),
        "principal": "operator",
        "service": " ".join(["qmcp-admin", options.command, *reply.words]),
        "world": reply.world,
        "target": "dom0",
        "names": list(reply.about),
        "command": options.command_line,
    }
    made = None
    try:
        with _locked(options, not reply.at_once) as log:
            log.append("intent", durable=True, **facts)
            code = REFUSAL.failed
            try:
                made = _made(change)
                code = REFUSAL.failed if made[0] else "ok"
            finally:
                log.append("outcome", code=code, **facts)
    except OSError as problem:
        if not reply.at_once:
            raise
        print(f"qmcp-admin: not recorded in the log: {problem}", file=sys.stderr)
    return made or _made(change)


def _made(change: Callable[[], list[str]]) -> tuple[int, list[str]]:
    try:
        return 0, change()
    except Incomplete as part:
        return 1, part.args[0]


def unfinished(root: Path) -> list[audit_chain.Entry]:
    """The commands that were interrupted or failed, and that no later command made good: the same one, or another about the same
    qubes."""
    found: list[audit_chain.Entry] = []
    path = root / audit_chain.PATHS[1]
    for line in audit_chain.lines(path) if path.exists() else ():
        entry = audit_chain.read(*line)
        if entry["kind"] == "intent" and "command" in entry:
            found.append(entry)
        if entry["kind"] == "outcome" and entry.get("code") == "ok":
            found = [one for one in found if not _made_good(one, entry)]
    return found


def _made_good(one: audit_chain.Entry, by: audit_chain.Entry) -> bool:
    about = set(audit_chain.qubes(one)) & set(audit_chain.qubes(by))
    freezes = {one["service"], by["service"]} <= {"qmcp-admin freeze", "qmcp-admin thaw"}
    return bool(about) or freezes or one["command"] == by.get("command")


def is_unfinished(options: Options) -> bool:
    """Whether this very command was begun before, and not finished."""
    return options.command_line in [one["command"] for one in unfinished(options.root)]
