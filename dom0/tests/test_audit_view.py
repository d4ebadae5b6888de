import contextlib
import io
import json
import sys
import tempfile
import unittest
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

from qmcpd import messages
from qmcpd.audit import AuditLog, digest
from settings.config import Json
from spec import LIMITS

from .host import Code, Outcome

sys.path.append(str(Path(__file__).parent.parent / "operator"))
import audit_chain
import audit_view
import verbs

HOSTILE = [
    "<script>alert(1)</script>",
    '"onmouseover="alert(1)',
    "' onload='x",
    "ai-\u202egpj.exe",
    "\x1b[2J\x1b]0;owned\x07",
    "a\u200bi\u2066x",
    "\ufeffai",
    "\x85\x9b31m",
    "</title><img src=x>",
    "javascript:alert(1)",
    "https://evil.example/x",
    "]]><!--",
    "&lt;b&gt;",
    "%s %n {0}",
    "\U0001f600",
    "x" * 10_000,
    "\u00e9" * 10_000,
]
WHO = {"principal": "mcp-control", "world": "ai"}
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "p",
    "b",
    "br",
    "div",
    "small",
    "table",
    "tr",
    "th",
    "td",
    "svg",
    "g",
    "rect",
}
ATTRIBUTES = {
    "lang",
    "charset",
    "name",
    "http-equiv",
    "content",
    "class",
    "viewbox",
    "preserveaspectratio",
    "x",
    "y",
    "width",
    "height",
}


Attributes = list[tuple[str, str | None]]
Entry = tuple[str, str, str, list[str], str | None]  # kind, service, target, names, code


class Parsed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in ("meta", "br", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_pi(self, data: str) -> None:
        raise AssertionError("an instruction")


class Log(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        self.directory = self.root / "var/log/qmcp"
        self.directory.mkdir(parents=True)
        self.path = self.directory / "audit.log"
        self.calls = 0

    def last(self) -> datetime:
        """When the last line was written."""
        return datetime.fromisoformat(json.loads(self.path.read_bytes().splitlines()[-1])["time"])

    def write(self, *entries: Entry) -> None:
        """Each is of a call of its own."""
        log = AuditLog(self.path)
        for kind, service, target, names, code in entries:
            self.calls += 1
            facts: Json = {"call": f"call{self.calls}", **WHO, "service": service, "target": target}
            result: Json = {} if code is None else {"code": code}
            if kind == "outcome":
                log.append("intent", **facts, names=names)
            log.append(kind, **result, **facts, names=names)

    def fill(self, count: int = 6) -> None:
        self.write(*[("outcome", "qmcp.spawn.Start", f"ai-{n}", [], "ok") for n in range(count)])

    def rotated(self) -> list[Path]:
        with mock.patch.object(LIMITS, "audit_file_bytes", 1200):
            self.fill()
        aside = sorted(self.directory.glob("audit-*.log"))
        self.assertGreater(len(aside), 2)
        return aside

    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    def admin(self, *words: str | Path) -> Outcome:
        """`(exit code or message, what was printed)`."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            try:
                code = verbs.main(["--root", str(self.root), "audit", *map(str, words)])
            except SystemExit as stop:
                code = stop.code
        return code, printed.getvalue()

    def report(self, *words: str | Path) -> tuple[Code, str]:
        """`(exit code, the page)`."""
        page = self.root / "report.html"
        code, _ = self.admin("report", "-o", page, *words)
        return code, page.read_text(encoding="ascii")

    def document(self, *words: str | Path) -> Json:
        page = self.root / "report.json"
        self.admin("report", "--json", "-o", page, *words)
        return json.loads(page.read_text())

    def assertBroken(self, path: Path, line: int, why: str) -> None:
        code, printed = self.admin("verify")
        self.assertEqual(code, 1)
        self.assertIn(f"the chain breaks at line {line} of {path}: it {why}", printed)
        self.assertEqual(
            json.loads(self.admin("verify", "--json")[1])["broken"][:2], [str(path), line]
        )


class Verify(Log):
    def test_all_files_are_one_chain(self) -> None:
        self.rotated()
        code, printed = self.admin("verify")
        self.assertEqual((code, printed), (0, "audit log: hash chain intact, 12 lines\n"))

    def test_an_edited_line_in_any_file_is_named(self) -> None:
        for path in (*self.rotated(), self.path):
            before = path.read_bytes()
            path.write_bytes(before.replace(b"mcp-control", b"mcp-contrary", 1))
            self.assertBroken(path, 1, "was modified")
            path.write_bytes(before)

    def test_a_line_that_reads_the_same_but_was_not_written_so_is_a_break(self) -> None:
        self.fill(2)
        lines = self.lines()
        for other in (
            lines[1].replace(b'{"call"', b'{"code":"ok","call"'),
            lines[1].replace(b'{"call"', b'{ "call"'),
        ):
            self.path.write_bytes(lines[0] + other + b"".join(lines[2:]))
            self.assertBroken(self.path, 2, "was modified")

    def test_a_removed_and_a_swapped_line_are_named(self) -> None:
        self.fill(3)
        lines = self.lines()
        self.path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
        self.assertBroken(self.path, 3, "does not follow")
        self.path.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
        self.assertBroken(self.path, 2, "does not follow")

    def test_a_line_made_up_with_a_right_hash_does_not_follow(self) -> None:
        self.fill(2)
        entry = json.loads(self.lines()[1]) | {"target": "ai-other"}
        del entry["hash"]
        made_up = messages.canonical(entry | {"hash": digest(entry)}) + b"\n"
        self.path.write_bytes(b"".join([self.lines()[0], made_up, *self.lines()[2:]]))
        self.assertBroken(self.path, 3, "does not follow")

    def test_swapped_files_and_a_missing_file_between_others_are_named(self) -> None:
        one, two, three, *_ = self.rotated()
        content = [path.read_bytes() for path in (one, two)]
        one.write_bytes(content[1])
        two.write_bytes(content[0])
        self.assertBroken(two, 1, "does not follow")
        two.unlink()
        one.write_bytes(content[0])
        self.assertBroken(three, 1, "does not follow")

    def test_a_missing_oldest_file_is_said_and_is_no_break(self) -> None:
        self.rotated()[0].unlink()
        code, printed = self.admin("verify")
        self.assertEqual(code, 0)
        self.assertRegex(printed, r"starts at seq [2-9]: older files are missing")
        self.assertIn("older files are missing", self.report()[1])

    def test_a_first_line_cannot_pretend_to_be_the_first_of_all(self) -> None:
        self.fill(1)
        written = json.loads(self.lines()[0])
        for change in ({"seq": 5}, {"prev": "1" * 64}, {"seq": "2"}, {"seq": None}):
            entry = written | change
            del entry["hash"]
            self.path.write_bytes(messages.canonical(entry | {"hash": digest(entry)}) + b"\n")
            self.assertBroken(self.path, 1, "does not follow")

    def test_what_is_no_entry_is_a_break_and_never_an_exception(self) -> None:
        self.fill(2)
        lines = self.lines()
        for junk in (
            b"not json",
            b"[]",
            b"",
            b"\xff\xfe",
            b'"\\ud800"',
            b'{"a":"\\ud800"}',
            b"[" * 100_000,
            b"9" * 9999,
            b'{"call":{},"kind":["intent"],"names":"x","seq":[],"target":7,"time":{}}',
        ):
            self.path.write_bytes(b"".join([lines[0], junk + b"\n", *lines[1:]]))
            self.assertBroken(self.path, 2, "was modified")
            self.assertEqual(self.admin("tail")[0], 0)
            self.assertEqual(self.admin("tail", "--json")[0], 0)
            self.assertEqual(self.report()[0], 1)

    def test_a_line_cut_off_is_named_at_the_end_and_in_the_middle(self) -> None:
        one, *_ = self.rotated()
        self.path.write_bytes(self.path.read_bytes()[:-9])
        self.assertBroken(self.path, len(self.lines()), "is incomplete")
        one.write_bytes(one.read_bytes()[:-9])
        self.assertBroken(one, len(one.read_bytes().splitlines()), "is incomplete")

    def test_an_intent_without_an_outcome_is_told_over_all_files(self) -> None:
        self.write(("intent", "qmcp.spawn.Create", "dom0", ["ai-new"], None))
        self.rotated()
        code, printed = self.admin("verify")
        self.assertEqual(code, 0)
        self.assertIn("call call1, qmcp.spawn.Create, has an intent but no outcome", printed)
        self.assertEqual(printed.count("no outcome"), 1)

    # ATTACK 22
    def test_what_a_terminal_would_act_on_is_escaped(self) -> None:
        self.write(*[("intent", text, text, [text], None) for text in HOSTILE])
        for words in (
            "verify",
            "verify --json",
            "tail",
            "tail --json",
            "show call5",
            "show call5 --json",
        ):
            _, printed = self.admin(*words.split())
            self.assertTrue(printed)
            self.assertRegex(printed, r"\A[ -~\n]*\Z")
        self.assertLess(max(map(len, self.admin("tail")[1].splitlines())), 400)

    def test_a_file_put_aside_while_it_is_read_is_read_once(self) -> None:
        self.fill(2)
        lines = audit_chain.lines(self.path)
        next(lines)
        self.path.rename(self.directory / "audit-000000000004.log")
        self.assertEqual(len(list(lines)), 3)
        current = open(self.directory / "audit-000000000004.log", "rb")
        self.addCleanup(current.close)
        with mock.patch(
            "builtins.open",
            side_effect=[current, open(self.directory / "audit-000000000004.log", "rb")],
        ):
            self.assertEqual(len(list(audit_chain.lines(self.path))), 4)


class Show(Log):
    def show(self, *words: str) -> list[Json]:
        return [json.loads(line) for line in self.admin("show", "--json", *words)[1].splitlines()]

    def test_a_call_is_all_of_its_lines_over_all_files(self) -> None:
        self.rotated()
        self.assertEqual([entry["kind"] for entry in self.show("call2")], ["intent", "outcome"])

    def test_a_qube_that_was_born_nameless_has_its_intent_too(self) -> None:
        log = AuditLog(self.path)
        facts: Json = {"call": "c", **WHO, "service": "qmcp.spawn.Disposable", "target": "ai-dvm"}
        log.append("intent", **facts, names=[])
        log.append("outcome", code="ok", **facts, names=["disp12"])
        self.assertEqual([entry["seq"] for entry in self.show("disp12")], [1, 2])
        history = self.document()["qubes"]
        self.assertEqual(
            [history[name][0]["what"] for name in ("disp12", "ai-dvm")],
            ["created", "source of a new qube"],
        )

    def test_what_nothing_names_is_said_and_escaped(self) -> None:
        self.fill(1)
        self.assertEqual(
            self.admin("show", "\x1b[2J"),
            (
                "qmcp-admin: the log does not mention \\x1b[2J: qmcp-admin audit tail shows its last lines",
                "",
            ),
        )


class Policy(Log):
    def policy(self, *lines: str) -> tuple[str, Path]:
        path = self.root / "policy.log"
        path.write_text("".join(line + "\n" for line in lines))
        return "--policy-log", path

    def test_a_decision_is_read_in_every_form_it_is_written(self) -> None:
        message = "qrexec: qmcp.exec.Run+: mcp-control -> ai-work: allowed to ai-work"
        journal = {
            "__REALTIME_TIMESTAMP": "1767323045678901",
            "MESSAGE": message,
            "_SYSTEMD_UNIT": audit_view.UNIT,
        }
        for line in (
            f"2026-01-02T03:04:05.678Z {message}\n",
            f"2026-01-02T04:04:05.678901+0100 dom0 qrexec-policy-daemon[812]: {message}\n",
            json.dumps(journal) + "\n",
            f"2026-01-02T03:04:05.678Z {message} (/etc/qubes/policy.d/30-qmcp.policy:20)\n",
        ):
            row = audit_view.decision(line)
            assert row
            self.assertEqual(
                [row[key] for key in ("kind", "time", "service", "principal", "target", "code")],
                [
                    "policy",
                    "2026-01-02T03:04:05.678Z",
                    "qmcp.exec.Run",
                    "mcp-control",
                    "ai-work",
                    "allowed to ai-work",
                ],
            )

    def test_every_verdict_is_read(self) -> None:
        for words, code, to in (
            ("denied: denied by policy /etc/qubes/policy.d/30-qmcp.policy:9", "denied", None),
            ("denied: no matching rule found", "denied", None),
            ("error loading policy: x:1: bad", "error", None),
            ("allowed to @dispvm:ai-dvm", "allowed to @dispvm:ai-dvm", "@dispvm:ai-dvm"),
            ("allowed to @adminvm", "allowed to dom0", "dom0"),
        ):
            row = audit_view.decision(
                f"2026-01-02T03:04:05Z qrexec: qubes.Filecopy: ai-a -> @default: {words}"
            )
            assert row
            self.assertEqual((row["code"], row["names"]), (code, [to]))

    def test_what_another_program_wrote_is_no_decision(self) -> None:
        message = "qrexec: qmcp.exec.Run+: mcp-control -> ai-work: allowed to ai-work"
        stamp = {"__REALTIME_TIMESTAMP": "1767323045678901"}
        for line in (
            "",
            "nonsense",
            message,
            f"2026-01-02T03:04:05Z dom0 guid[1]: {message}",
            f"2026-01-02T03:04:05Z dom0 a: {message}",
            f"yesterday {message}",
            json.dumps(stamp | {"MESSAGE": message, "_SYSTEMD_UNIT": "user@1000.service"}),
            json.dumps(stamp | {"MESSAGE": f"said: {message}"}),
            json.dumps(stamp | {"MESSAGE": [255, 1]}),
            json.dumps({"MESSAGE": message}),
            json.dumps({"MESSAGE": message, "__REALTIME_TIMESTAMP": "9" * 40}),
            "{",
            "{}",
            "[" * 100_000,
        ):
            self.assertIsNone(audit_view.decision(line))

    def test_decisions_about_the_world_are_merged_by_time_and_others_are_not(self) -> None:
        self.write(("outcome", "qmcp.spawn.Start", "ai-work", [], "ok"))
        later = (self.last() + timedelta(seconds=5)).isoformat()
        log = self.policy(
            "2020-01-01T00:00:00Z qrexec: qmcp.exec.Run+: mcp-control -> ai-other: allowed to ai-other",
            f"{later} qrexec: qubes.Filecopy+: ai-work -> vault: denied: denied by policy /etc/x.policy:9",
            f"{later} qrexec: qubes.Filecopy+: personal -> vault: allowed to vault",
        )
        kinds = [
            json.loads(line)["kind"] for line in self.admin("tail", "--json", *log)[1].splitlines()
        ]
        self.assertEqual(kinds, ["policy", "intent", "outcome", "policy"])
        self.assertNotIn("personal", self.admin("tail", *log)[1])
        self.assertEqual(len(self.admin("show", "vault", "--json", *log)[1].splitlines()), 2)
        _, page = self.report(*log)
        self.assertIn("ai-other", page)
        self.assertNotIn("personal", page)

    def test_the_log_of_the_policy_can_be_piped_in(self) -> None:
        self.fill(1)
        piped = io.StringIO(
            "2020-01-01T00:00:00Z qrexec: qubes.Filecopy+: ai-0 -> vault: denied: no matching rule found\n"
        )
        with mock.patch("sys.stdin", piped):
            self.assertIn("qubes.Filecopy", self.admin("show", "ai-0", "--policy-log", "-")[1])

    def test_a_name_that_was_only_refused_does_not_draw_in_what_others_do(self) -> None:
        self.write(("refusal", "qmcp.spawn.Start", "vault", [], "not-found"))
        log = self.policy(
            "2026-01-02T03:04:05Z qrexec: qubes.Gpg+: personal -> vault: allowed to vault"
        )
        self.assertNotIn("qubes.Gpg", self.admin("tail", *log)[1] + self.report(*log)[1])


class Page(Log):
    def assertHarmless(self, page: str) -> Parsed:
        self.assertRegex(page, r"\A[ -~\n]*\Z")
        parsed = Parsed(page)
        self.assertEqual(parsed.open, [])
        for tag, attributes in parsed.tags:
            self.assertIn(tag, TAGS)
            self.assertLessEqual(set(attributes), ATTRIBUTES)
        self.assertLess(max(map(len, parsed.words)), 2500)
        self.assertNotRegex(page.lower(), r"<script|://|url\(|@import|href|src=.?x>|<img")
        return parsed

    def test_the_page_is_harmless_whatever_agents_choose_as_words(self) -> None:
        for kind, code in (("outcome", "ok"), ("refusal", "not-found"), ("intent", None)):
            self.write(*[(kind, text, text, [text, "ai-x"], code) for text in HOSTILE])
        self.write(*[("refusal", "qmcp.spawn.Start", "ai-x", [], text) for text in HOSTILE])
        log = self.root / "policy.log"
        said = "2026-01-02T03:04:05Z qrexec: {0}: mcp-control -> {0}: denied: {0}\n"
        log.write_text("".join(said.format(text) for text in HOSTILE))
        code, page = self.report("--policy-log", log)
        self.assertEqual(code, 0)
        parsed = self.assertHarmless(page)
        self.assertIn("<script>alert(1)</script>", parsed.words)
        self.assertIn("ai-\\u202egpj.exe", page)
        self.assertIn("(10000 characters)", page)

    def test_the_page_is_harmless_when_the_log_was_rewritten(self) -> None:
        self.fill(1)
        with self.path.open("ab") as file:
            for text in HOSTILE:
                entry = dict.fromkeys(
                    ("call", "principal", "world", "service", "target", "code", "time", "seq"), text
                )
                for kind in (text, "intent", "outcome", "refusal"):
                    file.write(
                        json.dumps(entry | {"kind": kind, "names": {"a": text}}).encode() + b"\n"
                    )
                    other = entry | {"kind": kind, "call": [text], "world": {text: 1}, "time": 7}
                    file.write(json.dumps(other).encode() + b"\n")
        code, page = self.report()
        self.assertEqual(code, 1)
        self.assertIn("the chain breaks at line 3", page)
        self.assertHarmless(page)

    def test_the_page_may_load_and_run_nothing(self) -> None:
        self.fill(1)
        tags = Parsed(self.report()[1]).tags
        policy = {
            "http-equiv": "Content-Security-Policy",
            "content": "default-src 'none'; style-src 'unsafe-inline'",
        }
        self.assertIn(("meta", policy), tags)

    def test_a_report_groups_refusals_and_tells_what_became_of_each_qube(self) -> None:
        self.write(
            ("outcome", "qmcp.spawn.Create", "dom0", ["ai-new", "debian"], "ok"),
            ("outcome", "qmcp.spawn.Start", "ai-new", [], "ok"),
            ("outcome", "qmcp.spawn.Create", "dom0", ["ai-two", "debian"], "ok"),
            ("outcome", "qmcp.spawn.Remove", "ai-new", [], "ok"),
            ("outcome", "qmcp.spawn.Start", "ai-two", [], "failed"),
            *[("refusal", "qmcp.spawn.Start", "vault", [], "not-found")] * 3,
        )
        facts = self.document()
        self.assertEqual(
            facts["refusals"],
            [["not-found", "qmcp.spawn.Start", 3], ["failed", "qmcp.spawn.Start", 1]],
        )
        history = {
            name: [event["what"] for event in events] for name, events in facts["qubes"].items()
        }
        either = "created, or source of a new qube"
        self.assertEqual(
            history,
            {
                "ai-new": [either, "started", "removed"],
                "debian": [either, "source of a new qube"],
                "ai-two": ["created"],
            },
        )
        self.assertEqual(
            [event["call"] for event in facts["qubes"]["ai-new"]], ["call1", "call2", "call4"]
        )

    def test_a_report_is_of_the_world_and_the_days_that_were_asked_for(self) -> None:
        self.fill(1)
        lab = {
            "principal": "mcp-lab",
            "world": "lab",
            "service": "s",
            "target": "lab-a",
            "names": [],
        }
        AuditLog(self.path).append("refusal", code="frozen", call="z", **lab)
        self.assertNotIn("lab-a", self.report("--world", "ai")[1])
        self.assertEqual(self.document("--world", "lab")["worlds"], ["lab"])
        code, _ = self.admin("report", "--world", "\x1b", "-o", self.root / "none.html")
        self.assertEqual(
            code, "qmcp-admin: the log has no world \\x1b: qmcp-admin world lists the worlds"
        )
        self.assertFalse((self.root / "none.html").exists())
        with mock.patch("audit_view.datetime", wraps=datetime) as clock:
            clock.now.return_value = self.last() + timedelta(days=9)
            self.assertEqual(self.document("--since", "8")["calls"], [])
            self.assertEqual(len(self.document("--since", "10")["calls"]), 2)

    def test_a_long_time_is_drawn_in_bounded_bars_and_every_call_is_in_one(self) -> None:
        from audit_report import page

        calls = [
            dict.fromkeys(("principal", "call", "service", "by"), "x")
            | {"time": f"20{year}-03-04T05:06:07Z", "result": code, "on": []}
            for year in range(10, 30)
            for code in ("ok", "frozen")
        ]
        text = page(
            {
                "worlds": ["ai"],
                "chain": {"whole": True, "words": []},
                "calls": calls,
                "qubes": {},
                "refusals": [],
            }
        )
        bars = [attributes for tag, attributes in self.assertHarmless(text).tags if tag == "rect"]
        self.assertLessEqual(max(int(bar["x"]) for bar in bars), LIMITS.report_bars)
        self.assertEqual(sum(int(bar["height"]) for bar in bars), len(calls))
        self.assertTrue(all(int(bar["y"]) >= 0 for bar in bars))

    def test_an_empty_log_has_a_page_too(self) -> None:
        self.path.touch()
        code, page = self.report()
        self.assertEqual(code, 0)
        self.assertHarmless(page)
