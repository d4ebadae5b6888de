"""The logs, for a person, together with what the platform's policy decided: exec and copies never pass through dom0.

What policy decided is in the journal, in files that the standard library cannot read. So journalctl is run: the only program
qmcp-admin starts, by its full path, with fixed words and no environment. A reader of our own for that format would be more to
audit, and an operator who had to pipe it in would leave it out. Elsewhere than on that host: --policy-log."""

import collections
import json
import re
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import audit_chain
from answer import Answer, stop
from audit_chain import qubes
from audit_report import Report, page, shown

# As qubes-core-qrexec writes it: qrexec/tools/qrexec_policy_exec.py, LogAllowedResolution.execute and handle_request; why
# is an AccessDenied of qrexec/policy/parser.py. Matched from the start: another program's line may quote such a line.
DECISION = re.compile(
    r"(?:(?P<time>\S+) (?:\S+ qrexec-policy-daemon\S* )?)?"
    r"qrexec: (?P<service>\S+?)\+?: (?P<principal>\S+) -> (?P<target>\S+): (?P<code>allowed to (?P<to>\S+)|denied|error).*"
)
UNIT = "qubes-qrexec-policy-daemon.service"
JOURNALCTL = "usr/bin/journalctl"


def tail(options):
    newest = [
        collections.deque(chain, maxlen=max(options.n, 1))
        for chain in audit_chain.chains(options.root)
    ]
    entries, known = [audit_chain.read(*line) for chain in newest for line in chain], Report()
    for entry in entries:
        known.add(entry)
    return _said(
        _merged(entries, filter(known.concerns, _decisions(options)))[-max(options.n, 1) :]
    )


def show(options):
    """The lines that name it, and the others of their calls: a qube that was born nameless is named by the outcome alone."""

    def named(entry):
        return options.what in (entry.get("call"), entry.get("principal"), *qubes(entry))

    calls = {
        str(entry.get("call")) for entry in audit_chain.entries(options.root) if named(entry)
    } - {"None"}
    found = [
        entry
        for entry in audit_chain.entries(options.root)
        if named(entry) or str(entry.get("call")) in calls
    ]
    rows = _merged(found, filter(named, _decisions(options)))
    return (
        _said(rows)
        if rows
        else stop(f"nothing names {shown(options.what)}: qmcp-admin audit tail shows what there is")
    )


def verify(options):
    facts = audit_chain.facts(list(audit_chain.verified(options.root)))
    return Answer(facts, 0 if facts["whole"] else 1, text=facts["words"])


def report(options):
    made = Report(options.world, _utc(datetime.now(UTC) - timedelta(days=options.since)))
    chain = audit_chain.facts(list(audit_chain.verified(options.root, made.add)))
    if options.world not in (None, *made.worlds):
        stop(f"the log has no world {shown(options.world)}: qmcp-admin world shows those there are")
    for row in _decisions(options):
        made.add(row)
    facts = made.facts(chain)
    options.output.write_text(json.dumps(facts) if options.json else page(facts), encoding="ascii")
    return Answer(
        {"written": str(options.output), "calls": len(facts["calls"])}, 0 if chain["whole"] else 1
    )


def decision(line):
    """A line of the policy daemon's as an entry, or None: of `journalctl -o json`, or of `-o short-iso-precise`."""
    record = audit_chain.read("", 0, line) if line.startswith("{") else {"MESSAGE": line}
    found = DECISION.fullmatch(str(record.get("MESSAGE")).rstrip("\n").replace("@adminvm", "dom0"))
    micros = record.get("__REALTIME_TIMESTAMP")
    if (
        not found
        or bool(found["time"]) == bool(micros)
        or record.get("_SYSTEMD_UNIT", UNIT) != UNIT
    ):
        return None
    try:
        when = (
            datetime.fromtimestamp(int(micros) / 1e6, UTC)
            if micros
            else datetime.fromisoformat(found["time"])
        )
        return found.groupdict() | {"kind": "policy", "time": _utc(when), "names": [found["to"]]}
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _utc(when):
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _decisions(options):
    with closing(options.policy_log or _journal(options.root)) as lines:
        yield from filter(None, map(decision, lines))


def _journal(root):
    command = [
        root / JOURNALCTL,
        "--quiet",
        "--output=json",
        "--output-fields=MESSAGE,_SYSTEMD_UNIT",
        f"--unit={UNIT}",
    ]
    if command[0].exists():
        how = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "text": True,
            "errors": "replace",
            "env": {},
        }
        with subprocess.Popen(command, **how) as journal:
            yield from journal.stdout
        if journal.returncode:
            print(
                f"qmcp-admin: {JOURNALCTL} failed: what policy decided is missing here",
                file=sys.stderr,
            )


def _merged(entries, decisions):
    return sorted([*entries, *decisions], key=lambda entry: str(entry.get("time")))


def _said(entries):
    rows = [
        {
            **{key: shown(entry.get(key)) for key in ("time", "call", "principal", "service")},
            "what": shown(entry.get("kind")),
            "on": shown(", ".join(qubes(entry)) or entry.get("target")),
            "result": shown(entry.get("code", "")),
        }
        for entry in entries
    ]
    return Answer(entries, text=rows or "The log is empty.")
