"""Shows the logs, together with the decisions of the qrexec policy: calls between qubes never pass through qmcpd.

The policy's decisions are in the journal, in files that the standard library cannot read. So this runs journalctl, the only
program that qmcp-admin starts, by its full path, with fixed arguments and no environment. A reader of our own for that format
would be more code to audit, and operators would often forget to pipe the decisions in. For another host, use --policy-log."""

import collections
import json
import re
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import audit_chain
from answer import Answer, Options, stop
from audit_chain import Entry, qubes
from audit_report import Report, page, shown
from spec import LIMITS

# The format of qubes-core-qrexec: qrexec/tools/qrexec_policy_exec.py, LogAllowedResolution.execute and handle_request; the reason
# is an AccessDenied of qrexec/policy/parser.py. It must match from the start: another program's line may quote such a line.
DECISION = re.compile(
    r"(?:(?P<time>\S+) (?:\S+ qrexec-policy-daemon\S* )?)?"
    r"qrexec: (?P<service>\S+?)\+?: (?P<principal>\S+) -> (?P<target>\S+): (?P<code>allowed to (?P<to>\S+)|denied|error).*"
)
UNIT = "qubes-qrexec-policy-daemon.service"
JOURNALCTL = "usr/bin/journalctl"


def tail(options: Options) -> Answer:
    newest = [
        collections.deque(chain, maxlen=max(options.n, 1))
        for chain in audit_chain.chains(options.root)
    ]
    entries, seen = [audit_chain.read(*line) for chain in newest for line in chain], Report()
    for entry in entries:
        seen.add(entry)
    return _rows(_merged(entries, filter(seen.concerns, _decisions(options)))[-max(options.n, 1) :])


def show(options: Options) -> Answer:
    """The lines that name it, and the other lines of the same calls: a disposable's name is only in the outcome."""

    def names_it(entry: Entry) -> bool:
        return options.what in (entry.get("call"), entry.get("principal"), *qubes(entry))

    calls = {
        str(entry.get("call")) for entry in audit_chain.entries(options.root) if names_it(entry)
    } - {"None"}
    entries = [
        entry
        for entry in audit_chain.entries(options.root)
        if names_it(entry) or str(entry.get("call")) in calls
    ]
    rows = _merged(entries, filter(names_it, _decisions(options)))
    return (
        _rows(rows)
        if rows
        else stop(
            f"the log does not mention {shown(options.what)}: qmcp-admin audit tail shows its last lines"
        )
    )


def verify(options: Options) -> Answer:
    facts = audit_chain.facts(list(audit_chain.verified(options.root)))
    return Answer(facts, 0 if facts["whole"] else 1, text=facts["words"])


def report(options: Options) -> Answer:
    entries = Report(options.world, _utc(datetime.now(UTC) - timedelta(days=options.since)))
    chain = audit_chain.facts(list(audit_chain.verified(options.root, entries.add)))
    if options.world not in (None, *entries.worlds):
        stop(f"the log has no world {shown(options.world)}: qmcp-admin world lists the worlds")
    for row in _decisions(options):
        entries.add(row)
    facts = entries.facts(chain)
    options.output.write_text(json.dumps(facts) if options.json else page(facts), encoding="ascii")
    return Answer(
        {"written": str(options.output), "calls": len(facts["calls"])}, 0 if chain["whole"] else 1
    )


def decision(line: str) -> Entry | None:
    """The entry for a line of the policy daemon, from `journalctl -o json` or `-o short-iso-precise`; None for other lines."""
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


def _utc(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _decisions(options: Options) -> Iterator[Entry]:
    with closing(options.policy_log or _journal(options)) as lines:
        yield from filter(None, map(decision, lines))


def _journal(options: Options) -> Generator[str]:
    if (program := options.root / JOURNALCTL).exists():
        with subprocess.Popen(
            [
                program,
                "--quiet",
                "--output=json",
                "--output-fields=MESSAGE,_SYSTEMD_UNIT",
                f"--unit={UNIT}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
            env={},
        ) as journal:
            yield from journal.stdout or ()
        if journal.returncode:
            print(
                f"qmcp-admin: {JOURNALCTL} failed: the policy's decisions are missing here",
                file=sys.stderr,
            )


def _merged(entries: Iterable[Entry], decisions: Iterable[Entry]) -> list[Entry]:
    return sorted([*entries, *decisions], key=lambda entry: str(entry.get("time")))


def _rows(entries: list[Entry]) -> Answer:
    return Answer(
        entries,
        text=[
            {
                **{key: shown(entry.get(key)) for key in ("time", "call", "principal", "service")},
                "what": shown(entry.get("kind")),
                "on": shown(", ".join(qubes(entry)) or entry.get("target")),
                "result": shown(
                    ": ".join(filter(None, (str(entry.get(key) or "") for key in ("code", "why"))))
                    or entry.get("words", ""),
                    LIMITS.report_sentence,
                ),
            }
            for entry in entries
        ]
        or "The log is empty.",
    )
