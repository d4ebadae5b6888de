"""The audit log as a page for a person: one file without a script, a link, or anything from elsewhere. Agents chose most of
its words: all of them pass `_text`, and what comes out is ASCII that a browser can only show."""

import collections
import html
from datetime import datetime
from pathlib import Path

from answer import safe
from audit_chain import qubes
from spec import LIMITS

OPEN, MADE = "no outcome", "created, or source of a new qube"
VERBS = {
    "Create": MADE,
    "Clone": MADE,
    "Remove": "removed",
    "Restore": "restored",
    "Start": "started",
    "Shutdown": "halted",
}
FACTS = ("time", "call", "principal", "service")
# The page, a bar of its timeline, the timeline.
PAGE, BAR, TIMELINE = (
    (Path(__file__).parent / "report.template").read_text(encoding="ascii").split("\n---\n")
)


def shown(value, most=LIMITS.report_value):
    """Somebody else's text as it may be shown: printable ASCII, not long, and nothing that a viewer makes a link of."""
    text = safe(value).replace("://", ":\\x2f/")
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def _text(value, most=LIMITS.report_value):
    return html.escape(shown(value, most))


class Report:
    """What the entries that were added come to, call by call: those of one world, or of all, from a time on."""

    def __init__(self, world=None, since=""):
        self.calls, self.history, self.worlds = {}, collections.defaultdict(list), set()
        self._world, self._since, self._known = world, since, set()

    def concerns(self, row):
        """Whether what policy decided is about a principal, or about a qube that one of them reached."""
        return not self._known.isdisjoint([row["principal"], *qubes(row)])

    def add(self, entry):
        kind, key, world = (
            entry.get("kind"),
            str(entry.get("call") or len(self.calls)),
            entry.get("world"),
        )
        if kind not in ("intent", "outcome", "refusal", "policy") or (
            kind != "policy" and self._world not in (None, world)
        ):
            return
        if world:
            self.worlds.add(str(world))  # and of a refusal's names nothing is known but who it was
            self._known.update(
                [str(entry.get("principal"))], [] if kind == "refusal" else qubes(entry)
            )
        if str(entry.get("time")) < self._since or (kind == "policy" and not self.concerns(entry)):
            return
        facts = {fact: entry.get(fact) for fact in FACTS}
        call = self.calls.setdefault(
            key, facts | {"on": [], "by": "policy" if kind == "policy" else "qmcpd"}
        )
        intended, call["on"] = call["on"], qubes(entry)
        call["result"] = OPEN if kind == "intent" else str(entry.get("code"))
        if (kind, call["result"]) == ("outcome", "ok"):
            self._remember(call, intended)

    def _remember(self, call, intended):
        """New is a name that the intent had not, or the one name of a creation that was not met before."""
        word, grown = (
            VERBS.get(str(call["service"]).rpartition(".")[2], "changed"),
            intended not in ([], call["on"]),
        )
        known = intended if grown else self.history if word is MADE else call["on"]
        new = [name for name in call["on"] if name not in known]
        for name in call["on"]:
            what = (
                "created"
                if new == [name]
                else "source of a new qube"
                if len(new) == 1
                else MADE
                if new
                else word
            )
            self.history[name].append(call | {"what": what})

    def facts(self, chain):
        """Everything the page says, as one document."""
        calls = sorted(self.calls.values(), key=lambda call: str(call["time"]))
        refusals = collections.Counter(
            (call["result"], str(call["service"])) for call in calls if _refused(call)
        )
        rows = [[*what, count] for what, count in refusals.most_common()]
        return {
            "worlds": sorted(self.worlds),
            "chain": chain,
            "calls": calls,
            "qubes": self.history,
            "refusals": rows,
        }


def _refused(call):
    return call["result"] not in ("ok", OPEN) and not call["result"].startswith("allowed")


def page(facts):
    calls, chain = facts["calls"], facts["chain"]
    period = f"{_clock(calls[0])} to {_clock(calls[-1])} UTC" if calls else "No time"
    changes = [
        [name, _clock(event), event["what"], event["service"], event["principal"], event["call"]]
        for name, events in sorted(facts["qubes"].items())
        for event in events[-LIMITS.report_events :]
    ]
    asked = [
        [
            _clock(call),
            *(call[fact] for fact in FACTS[1:]),
            ", ".join(call["on"]),
            call["by"],
            call["result"],
        ]
        for call in calls[-LIMITS.report_calls :]
    ]
    return PAGE % {
        "title": _text(f"Audit of world {', '.join(facts['worlds'])}", LIMITS.report_sentence),
        "period": _text(period, LIMITS.report_sentence),
        "count": len(calls),
        "refused": sum(map(_refused, calls)),
        "timeline": _timeline(calls),
        "chain": "<br>".join(_text(it, LIMITS.report_sentence) for it in chain["words"]),
        "bad": "" if chain["whole"] else ' class="bad"',
        "refusals": _table(("code", "service", "count"), facts["refusals"][: LIMITS.report_calls]),
        "qubes": _table(("qube", "time", "what", "service", "by", "call"), changes),
        "calls": _table(
            (*FACTS, "on", "said by", "result"),
            asked,
            list(map(_refused, calls[-LIMITS.report_calls :])),
        ),
    }


def _clock(event):
    return str(event["time"])[:19].replace("T", " ")


def _table(headings, rows, bad=()):
    cells = ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows]
    marks = [' class="bad"' if refused else "" for refused in bad] or [""] * len(cells)
    body = "".join(f"<tr{mark}>{row}</tr>" for mark, row in zip(marks, cells, strict=True))
    return f"<table><tr>{''.join(f'<th>{word}</th>' for word in headings)}</tr>{body}</table>"


def _timeline(calls):
    """A call that policy sent on to dom0 is not drawn: qmcpd's own lines are."""
    drawn = [call for call in calls if call["result"] != "allowed to dom0" and _hour(call)]
    if not drawn:
        return ""
    first, last = _hour(min(drawn, key=_hour)), _hour(max(drawn, key=_hour))
    step = (last - first) // LIMITS.report_bars + 1
    counts = collections.Counter(((_hour(call) - first) // step, _refused(call)) for call in drawn)
    columns = {at: (counts[at, False], counts[at, True]) for at, _ in counts}
    most = max(map(sum, columns.values()))
    return TIMELINE.format(
        unit="hour" if step == 1 else f"{step} hours",
        most=most,
        count=(last - first) // step + 1,
        bars="".join(
            BAR.format(x=at, ok=ok, no=no, low=most - ok, high=most - ok - no)
            for at, (ok, no) in columns.items()
        ),
        since=_text(_clock(drawn[0])),
        until=_text(_clock(drawn[-1])),
    )


def _hour(call):
    """Hours since the epoch, or 0 when somebody made the line's time something else."""
    try:
        return int(datetime.fromisoformat(str(call["time"])).timestamp() // 3600)
    except (ValueError, OverflowError):
        return 0
