"""The audit log as a page for a person: one file without scripts, links or external resources. Agents chose most of its words:
all of them pass `_text`, which makes them ASCII that a browser can only show."""

import collections
import html
from datetime import datetime
from pathlib import Path

from answer import safe
from audit_chain import Entry, qubes
from spec import LIMITS

OPEN, MADE = "no outcome", "created, or source of a new qube"
ACTIONS = {
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


def shown(value: object, most: int = LIMITS.report_value) -> str:
    """Untrusted text, made safe to show: printable ASCII, shortened, and without anything that a viewer makes a link of."""
    text = safe(value).replace("://", ":\\x2f/")
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def _text(value: object, most: int = LIMITS.report_value) -> str:
    return html.escape(shown(value, most))


class Report:
    """Collects the entries that are added, call by call: those of one world or of all, from a time on."""

    def __init__(self, world: str | None = None, since: str = "") -> None:
        self.calls, self.history, self.worlds = {}, collections.defaultdict(list), set()
        self._world, self._since, self._names = world, since, set()

    def concerns(self, row: Entry) -> bool:
        """Whether a decision of the policy is about a principal, or about a qube that a principal reached."""
        return not self._names.isdisjoint([row["principal"], *qubes(row)])

    def add(self, entry: Entry) -> None:
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
            # The names in a refusal were not checked, except the principal's.
            self.worlds.add(str(world))
            self._names.update(
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

    def _remember(self, call: Entry, intended: list[str]) -> None:
        """A new name is one that the intent did not have, or the only name of a creation that is not in the history."""
        word, grown = (
            ACTIONS.get(str(call["service"]).rpartition(".")[2], "changed"),
            intended not in ([], call["on"]),
        )
        old = intended if grown else self.history if word is MADE else call["on"]
        new = [name for name in call["on"] if name not in old]
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

    def facts(self, chain: dict) -> dict:
        """All the data of the page, as one document."""
        calls = sorted(self.calls.values(), key=lambda call: str(call["time"]))
        refusals = collections.Counter(
            (call["result"], str(call["service"])) for call in calls if _refused(call)
        )
        return {
            "worlds": sorted(self.worlds),
            "chain": chain,
            "calls": calls,
            "qubes": self.history,
            "refusals": [[*what, count] for what, count in refusals.most_common()],
        }


def _refused(call: Entry) -> bool:
    return call["result"] not in ("ok", OPEN) and not call["result"].startswith("allowed")


def page(facts: dict) -> str:
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


def _clock(event: Entry) -> str:
    return str(event["time"])[:19].replace("T", " ")


def _table(headings: tuple[str, ...], rows: list[list], bad: list[bool] | None = None) -> str:
    cells = ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows]
    lines = ["".join(f"<th>{word}</th>" for word in headings), *cells]
    classes = ["", *(' class="bad"' if refused else "" for refused in bad or [False] * len(cells))]
    return f"<table>{''.join(f'<tr{name}>{line}</tr>' for name, line in zip(classes, lines, strict=True))}</table>"


def _timeline(calls: list[Entry]) -> str:
    """A call that the policy passed to dom0 is not drawn, because qmcpd has logged it too."""
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


def _hour(call: Entry) -> int:
    """Hours since the epoch, or 0 when the entry's time is not valid."""
    try:
        return int(datetime.fromisoformat(str(call["time"])).timestamp() // 3600)
    except (ValueError, OverflowError):
        return 0
