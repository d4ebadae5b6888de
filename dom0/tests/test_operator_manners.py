import contextlib
import io
import json
import os
import re
from unittest import mock

from qmcpd.audit import AuditLog

from .host import Dom0, Outcome


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Manners(Dom0):
    def shown(self, columns: int, *words: str) -> str:
        with (
            mock.patch("sys.stdout", Terminal()) as out,
            mock.patch("shutil.get_terminal_size", return_value=os.terminal_size((columns, 24))),
        ):
            import verbs

            verbs.main(["--root", str(self.root), *words])
        return out.getvalue()

    def error(self, *words: str) -> Outcome:
        with contextlib.redirect_stderr(io.StringIO()) as said:
            code, _ = self.admin(*words)
        return code, said.getvalue()

    def test_a_table_fits_the_terminal_and_loses_no_word(self) -> None:
        (self.root / "etc/qubes/policy.d/10-mine.policy").write_text("* * @anyvm @adminvm allow\n")
        wide = self.admin("check")[1]
        for columns in (60, 80, 120):
            lines = self.shown(columns, "check").replace("\x1b[1m", "").replace("\x1b[0m", "")
            self.assertLessEqual(max(map(len, lines.splitlines())), columns)
            for word in re.sub(r"\(.*?\)", "", wide).split():  # without the examples, which vary
                self.assertIn(word[:12], lines)
        self.assertGreater(max(map(len, wide.splitlines())), 120)  # a pipe has no width

    def test_an_interrupt_is_one_line_and_130(self) -> None:
        for interrupted in ("worlds.members", "membership._found"):
            words = ("status",) if "worlds" in interrupted else ("tier", "work", "full", "--yes")
            with mock.patch(interrupted, side_effect=KeyboardInterrupt):
                code, said = self.error(*words)
            self.assertEqual(code, 130)
            self.assertEqual(len(said.splitlines()), 1)
            self.assertRegex(said, "^qmcp-admin: interrupted")
        with (
            mock.patch("sys.stdin.isatty", return_value=True),
            mock.patch("builtins.input", side_effect=KeyboardInterrupt),
        ):
            self.assertEqual(self.error("expel", "work")[0], 130)
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})

    def test_a_change_that_is_interrupted_is_named_by_check(self) -> None:
        with mock.patch.object(self.qubesd, "tag", side_effect=KeyboardInterrupt):
            self.assertEqual(self.error("tier", "work", "full", "--yes")[0], 130)
        self.assertIn("qmcp-admin tier work full", self.admin("check")[1])

    def test_a_word_that_does_not_exist_is_answered_with_the_one_that_was_meant(self) -> None:
        for words, meant in (
            (("statsu",), "status"),
            (("enrol", "vault"), "enroll"),
            (("contract", "instal", "x"), "install"),
            (("tier", "work", "ful"), "full"),
            (("enroll", "vault", "--world", "ai", "--teir", "exec"), "--tier"),
            (("freeze", "--puase"), "--pause"),
        ):
            with self.subTest(words):
                code, said = self.error(*words)
                self.assertEqual(code, 2)
                self.assertTrue(said.endswith(f"did you mean {meant}?\n"), said)
        self.assertIn("did you mean work?", str(self.admin("tier", "wrok", "full")[0]))
        self.assertIn("did you mean ai?", str(self.admin("world", "aii")[0]))

    def test_json_has_numbers_and_instants(self) -> None:
        self.qubesd.add("gone", "ai-managed", "ai-exec", "ai-tombstone")
        self.qubesd.qubes["gone"][1]["qmcp-entombed"] = "1795000000"
        self.admin("tier", "work", "full", "--for", "30m", "--yes")
        (world,) = self.json("status")[1]
        uses = {use["line"]: use for use in world["uses"]}
        self.assertEqual(uses["qubes"], {"line": "qubes", "used": 0, "limit": 32})
        until = {one["qube"]: one["until"] for one in world["qubes"]}
        self.assertRegex(until["work"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertIsNone(until["gone"])
        (row,) = self.json("tombstones")[1]
        self.assertEqual(row["removed"], "2026-11-18T11:06:40Z")
        self.assertRegex(self.admin("tombstones")[1], r"2026-11-1\d \d\d:\d\d ")


class Refusals(Dom0):
    """An agent hears the same of every qube that it may not have; the operator hears why."""

    def test_a_refusal_is_shown_with_the_name_that_was_asked_for_and_the_reason_in_words(
        self,
    ) -> None:
        AuditLog(self.root / "var/log/qmcp/audit.log").append(
            "refusal",
            code="not-found",
            why="vault does not belong to the world",
            call="call1",
            principal="mcp-control",
            world="ai",
            service="qmcp.spawn.Clone",
            target="dom0",
            names=["vault"],
        )
        shown = self.admin("audit", "show", "vault")[1]
        self.assertRegex(shown, "refusal +vault +not-found: vault does not belong to the world")
        (line,) = self.admin("audit", "show", "vault", "--json")[1].splitlines()
        self.assertEqual(json.loads(line)["why"], "vault does not belong to the world")
