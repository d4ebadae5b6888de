"""The audit log, for a person, together with what the platform's policy decided: exec and copies never pass through dom0."""

import collections
import heapq
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import audit_chain
import table
from audit_chain import qubes
from audit_report import Report, page, shown

# As qubes-core-qrexec writes it: qrexec/tools/qrexec_policy_exec.py, LogAllowedResolution.execute and handle_request; why
# is an AccessDenied of qrexec/policy/parser.py. Matched from the start: another program's line may quote such a line.
DECISION = re.compile(
    r"(?:(?P<time>\S+) (?:\S+ qrexec-policy-daemon\S* )?)?"
    r"qrexec: (?P<service>\S+?)\+?: (?P<principal>\S+) -> (?P<target>\S+): (?P<code>allowed to (?P<to>\S+)|denied|error).*")
UNIT = "qubes-qrexec-policy-daemon.service"


def register(areas):
    area = areas.add_parser("audit", help="what was asked, and what came of it")
    verbs = area.add_subparsers(required=True, metavar="VERB")
    lines, document = "as JSON, one object a line", "as JSON, one document"
    last = _verb(verbs, "tail", "the last lines", lines, lambda o: tail(o.root, o.n, o.json, o.policy_log))
    last.add_argument("-n", type=int, default=20, metavar="LINES", help="how many (default: 20)")
    one = _verb(verbs, "show", "all about a call or a qube", lines, lambda o: show(o.root, o.what, o.json, o.policy_log))
    one.add_argument("what", metavar="CALL|QUBE", help="of a qube also what policy decided")
    _verb(verbs, "verify", "is the chain of hashes whole, over all files?", document, lambda o: verify(o.root, o.json))
    whole = _verb(verbs, "report", "a page to read or print", document, report)
    whole.add_argument("--world", help="only this one")
    whole.add_argument("--since", type=int, metavar="DAYS", default=36500, help="only what was asked in these last days")
    whole.add_argument("-o", type=Path, metavar="FILE", required=True, dest="output")


def _verb(verbs, name, words, form, run):
    verb = verbs.add_parser(name, help=words)
    verb.set_defaults(run=run)
    verb.add_argument("--json", action="store_true", help=form)
    if name != "verify":
        verb.add_argument("--policy-log", metavar="FILE", help=f"add: journalctl -o json -u {UNIT}; - is stdin")
    return verb


def tail(root, count, as_json, policy_log=None):
    newest, known = collections.deque(audit_chain.lines(root), maxlen=max(count, 1)), Report()
    entries = [audit_chain.read(*line) for line in newest]
    collections.deque(map(known.add, entries))
    return _show(_merged(entries, filter(known.concerns, _decisions(policy_log)))[-newest.maxlen:], as_json)


def show(root, what, as_json, policy_log=None):
    """The lines that name it, and the others of their calls: a qube that was born nameless is named by the outcome alone."""
    def named(entry):
        return what in (entry.get("call"), entry.get("principal"), *qubes(entry))
    calls = {str(entry.get("call")) for entry in audit_chain.entries(root) if named(entry)} - {"None"}
    found = [entry for entry in audit_chain.entries(root) if named(entry) or str(entry.get("call")) in calls]
    rows = _merged(found, filter(named, _decisions(policy_log)))
    return _show(rows, as_json) if rows else sys.exit(f"qmcp-admin: nothing names {shown(what)}")


def verify(root, as_json=False):
    chain = audit_chain.Chain()
    for line in audit_chain.lines(root):
        chain.add(*line)
    facts = chain.facts()
    print(json.dumps(facts) if as_json else "\n".join(f"audit log: {table.safe(words)}" for words in facts["words"]))
    return 0 if facts["whole"] else 1


def report(options):
    chain, made = audit_chain.Chain(), Report(options.world, _utc(datetime.now(UTC) - timedelta(days=options.since)))
    for line in audit_chain.lines(options.root):
        made.add(chain.add(*line))
    if options.world not in (None, *made.worlds):
        sys.exit(f"qmcp-admin: the log has no world {shown(options.world)}")
    for row in _decisions(options.policy_log):
        made.add(row)
    facts = made.facts(chain.facts())
    options.output.write_text(json.dumps(facts) if options.json else page(facts), encoding="ascii")
    return 0 if facts["chain"]["whole"] else 1


def decision(line):
    """A line of the policy daemon's as an entry, or None: of `journalctl -o json`, or of `-o short-iso-precise`."""
    record = audit_chain.read("", 0, line) if line.startswith("{") else {"MESSAGE": line}
    found = DECISION.fullmatch(str(record.get("MESSAGE")).rstrip("\n").replace("@adminvm", "dom0"))
    micros = record.get("__REALTIME_TIMESTAMP")
    if not found or bool(found["time"]) == bool(micros) or record.get("_SYSTEMD_UNIT", UNIT) != UNIT:
        return None
    try:
        when = datetime.fromtimestamp(int(micros) / 1e6, UTC) if micros else datetime.fromisoformat(found["time"])
        return found.groupdict() | {"kind": "policy", "time": _utc(when), "names": [found["to"]]}
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _utc(when):
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _decisions(policy_log):
    if policy_log:
        with sys.stdin if policy_log == "-" else open(policy_log, encoding="utf-8", errors="replace") as lines:
            yield from filter(None, map(decision, lines))


def _merged(entries, decisions):
    return list(heapq.merge(entries, decisions, key=lambda entry: str(entry.get("time"))))


def _show(rows, as_json):
    if as_json:
        print("\n".join(map(json.dumps, rows)))
    else:
        table.show(["time", "call", "principal", "service", "on", "what", "result"], map(_row, rows))
    return 0


def _row(entry):
    result, on = str(entry.get("code", "")), ", ".join(qubes(entry)) or entry.get("target")
    colour = {"": None, "ok": "green", "failed": "red"}.get(result, None if result.startswith("allowed") else "yellow")
    texts = [*(entry.get(key) for key in ("time", "call", "principal", "service")), on, entry.get("kind")]
    return [*((shown(text), None) for text in texts), (shown(result), colour)]
