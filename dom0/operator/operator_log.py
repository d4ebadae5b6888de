"""What the operator changed, in a chain of its own: qmcpd is the only writer of its log, and qmcp-admin of this one. Both are
made by the same code, verified by the same, and shown together by `qmcp-admin audit`."""

import fcntl
import secrets
import sys
from contextlib import contextmanager

from qmcpd.audit import AuditLog
from spec import REFUSAL

DIRECTORY = "var/log/qmcp/operator"  # root's: qmcpd cannot reach into it


@contextmanager
def _held(root):
    """The log, held by one qmcp-admin at a time."""
    directory = root / DIRECTORY
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            log = AuditLog(directory / "audit.log")
        except ValueError as problem:
            raise OSError(
                f"{directory}/audit.log: {problem}: find out who changed it, then put it aside under another name"
            ) from None
        yield log


def carry_out(options, said):
    """Do it, with a line before and a line after. What cannot be recorded is not done; what may not wait is done whatever happens
    to the log."""
    facts = {
        "call": secrets.token_hex(8),
        "principal": "operator",
        "service": " ".join(["qmcp-admin", options.verb, *said.words]),
        "world": said.world,
        "target": "dom0",
        "names": list(said.about),
    }
    code, done = REFUSAL.failed, said.do() if said.at_once else None
    try:
        with _held(options.root) as log:
            log.append("intent", durable=True, **facts)
            try:
                done, code = done or said.do(), "ok"
            finally:
                log.append("outcome", code=code, **facts)
    except OSError as problem:
        if not said.at_once:
            raise
        print(f"qmcp-admin: done, and not recorded: {problem}", file=sys.stderr)
    return done
