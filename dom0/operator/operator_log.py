"""The log of the operator's changes, with a hash chain of its own: only qmcpd writes qmcpd's log, and only qmcp-admin writes this
one. The same code writes and verifies both, and `qmcp-admin audit` shows them together."""

import fcntl
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from answer import Answer, Options
from qmcpd.audit import AuditLog
from spec import REFUSAL

DIRECTORY = "var/log/qmcp/operator"  # owned by root: qmcpd cannot write there


@contextmanager
def _locked(options: Options) -> Iterator[AuditLog]:
    """The log, locked so that only one qmcp-admin at a time writes it."""
    directory = options.root / DIRECTORY
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            log = AuditLog(directory / "audit.log")
        except ValueError as problem:
            raise OSError(
                f"{directory}/audit.log: {problem}: find out who changed it, then rename it"
            ) from None
        yield log


def carry_out(options: Options, reply: Answer, change: Callable[[], list[str]]) -> list[str]:
    """Carry out the change, with a line before and a line after. A change that cannot be recorded is not made, unless it is
    `at_once`."""
    facts = {
        "call": secrets.token_hex(8),
        "principal": "operator",
        "service": " ".join(["qmcp-admin", options.command, *reply.words]),
        "world": reply.world,
        "target": "dom0",
        "names": list(reply.about),
    }
    code, done = REFUSAL.failed, change() if reply.at_once else []
    try:
        with _locked(options) as log:
            log.append("intent", durable=True, **facts)
            try:
                done, code = done or change(), "ok"
            finally:
                log.append("outcome", code=code, **facts)
    except OSError as problem:
        if not reply.at_once:
            raise
        print(f"qmcp-admin: done, but not recorded in the log: {problem}", file=sys.stderr)
    return done
