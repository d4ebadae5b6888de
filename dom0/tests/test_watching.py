import contextlib
import io
import json
from unittest import mock

from .host import Dom0

import watching  # isort: skip
from qmcpd import audit  # isort: skip
from qmcpd.audit import AuditLog  # isort: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(events: list[watching.Event], printed: io.StringIO, columns: int = 80) -> list[str]:
    size = mock.patch("shutil.get_terminal_size", lambda: mock.Mock(columns=columns))
    with contextlib.redirect_stdout(printed), size:
        return list(watching._lines(iter(events)))


class Watching(Dom0):
    def log(self) -> AuditLog:
        return AuditLog(self.root / "var/log/qmcp/audit.log")

    def test_only_lines_that_are_added_are_shown_and_none_is_lost_when_a_full_file_is_put_aside(
        self,
    ) -> None:
        written = self.log()
        written.append("refusal", call="before")
        watched = watching.Log(self.root / "var/log/qmcp/audit.log")
        self.assertEqual(list(watched.added()), [])
        with mock.patch.object(audit, "LIMITS", mock.Mock(audit_file_bytes=700)):
            for number in range(12):
                written.append("refusal", call=str(number))
                if number % 5 == 1:
                    seen = [entry["call"] for entry in watched.added()]
                    self.assertEqual(seen[-1], str(number))
        aside = list((self.root / "var/log/qmcp").glob("audit-*.log"))
        self.assertGreater(len(aside), 1)

    def test_a_line_is_shown_when_all_of_it_is_written_and_a_log_when_it_comes_to_be(self) -> None:
        path = self.root / "var/log/qmcp/operator.log"
        watched = watching.Log(path)
        self.assertEqual(list(watched.added()), [])
        with open(path, "wb", buffering=0) as file:
            file.write(b'{"call": "on')
            self.assertEqual(list(watched.added()), [])
            file.write(b'e"}\nnot json\n')
            first, second = watched.added()
        self.assertEqual(first, {"call": "one"})
        self.assertEqual(second["kind"], "unreadable")

    def test_a_change_of_a_file_is_shown_once_and_the_first_look_says_how_things_are(self) -> None:
        files = watching.Files(self.root)
        first = list(files.changes())
        self.assertEqual({one["event"] for one in first}, {"frozen", "grants", "plans", "settings"})
        self.assertTrue(all(one["first"] for one in first))
        self.assertEqual(list(files.changes()), [])
        self.admin("freeze", "ai")
        self.admin("tier", "vault", "read", "--yes")
        changes = [one for one in files.changes() if one["event"] != "log"]
        self.assertEqual(changes, [{"event": "frozen", "worlds": ["ai"]}])
        self.admin("tier", "work", "full", "--for", "1h", "--yes")
        given = [one for one in files.changes() if one["event"] == "grants"]
        self.assertEqual([grant["qube"] for grant in given[0]["grants"]], ["work"])
        self.assertRegex(given[0]["grants"][0]["until"], r"^\d{4}-\d\d-\d\dT[\d:]{8}Z$")
        settings = self.root / "etc/qmcp/qmcp.toml"
        settings.write_text(settings.read_text().replace("prefix =", "prefics ="))
        broken = [one for one in files.changes() if one["event"] == "settings"]
        self.assertIn("expected the key prefix", broken[0]["problem"])

    def test_a_pipe_gets_only_what_happens_and_a_terminal_how_things_were_cut_to_its_width(
        self,
    ) -> None:
        first = {"event": "frozen", "worlds": [], "first": True}
        then = {"event": "frozen", "worlds": ["ai" * 100]}
        self.assertEqual(len(shown([first, then], io.StringIO())), 1)
        self.assertIn("ai" * 100, shown([first, then], io.StringIO())[0])
        lines = shown([first, then], Terminal(), columns=40)
        self.assertEqual([len(line) <= 40 for line in lines], [True, True])

    def test_words_of_an_agent_stay_on_one_line_and_move_no_cursor(self) -> None:
        entry = {"kind": "refusal", "target": "x\n\x1b[2J\u202e", "service": "s", "code": "denied"}
        (line,) = shown([{"event": "log", "entry": entry}], io.StringIO())
        self.assertIn("x\\n\\x1b[2J\\u202e", line)

    def test_the_stream_is_one_json_object_a_line(self) -> None:
        events = [{"event": "frozen", "worlds": ["ai"]}, {"event": "qubesd", "answers": True}]
        with mock.patch.object(watching, "_stream", lambda root: iter(events)):
            code, printed = self.admin("watch", "--json")
            self.assertEqual(
                (code, [json.loads(line) for line in printed.splitlines()]), (0, events)
            )
            self.assertIn("qubesd    answers", self.admin("watch")[1])
