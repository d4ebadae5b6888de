import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from settings.config import Json

from .host import DOM0, Dom0

import verbs  # isort: skip
from qmcpd.qubesd import Qubesd  # isort: skip

START = "qmcp.spawn.Start"
# Words with which each verb has something to say; those that would change something ask first, unless they are told not to.
ASKS = {
    "enroll": "vault --world ai --tier exec",
    "tier": "work full",
    "guard": "work",
    "manage": "work --sink on",
    "expel": "work",
    "restore": "gone",
    "reap": "",
    "contract install": "{file}",
    "contract remove": START,
    "policy install": "",
    "ask": "destroy",
    "gateway add": "sys-vpn --world ai",
    "gateway change": "sys-ai-net --world ai --label home",
    "gateway remove": "sys-spare --world ai",
    "plan approve": "{plan}",
}
AT_ONCE = {
    "freeze": "",
    "thaw": "ai",
    "expire": "--all",
    "plan reject": "{plan}",
    "plan revoke": "{approved}",
}
READS = {
    "status": "",
    "world": "ai",
    "check": "",
    "tombstones": "",
    "gateway list": "--world ai",
    "contract list": "",
    "contract review": "{file}",
    "policy render": "",
    "policy lint": "--rendered",
    "plan list": "",
    "plan show": "{plan}",
    "audit tail": "",
    "audit show": "call1",
    "audit verify": "",
    "audit report": "-o {root}/report",
}
STREAMS = {"watch"}  # without an end: test_watching.py


class Verbs(Dom0):
    def setUp(self) -> None:
        super().setUp()
        self.qubesd.add("gone", "ai-managed", "ai-exec", "ai-tombstone")
        self.qubesd.qubes["gone"][1]["qmcp-entombed"] = "1000000000"
        self.qubesd.add("sys-vpn", provides_network="True")
        toml = self.root / "etc/qmcp/qmcp.toml"
        toml.write_text(toml.read_text() + "\n[world.ai.gateway.sys-spare]\n")
        self.file = self.root / f"{START}.json"
        self.file.write_text(
            (DOM0 / f"contracts/{START}.json").read_text().replace('"exec"', '"net"')
        )
        self.policy.write_text("# before\n")
        self.qubesd.qubes["work"].properties["uuid"] = "uuid-of-work"
        step = {"service": START, "target": "work", "params": {}}
        self.plan, self.approved = self.add_plan(step), self.add_plan(step, nonce="1")
        self.approve(self.approved)
        log = self.root / "var/log/qmcp/audit.log"
        from qmcpd.audit import AuditLog

        AuditLog(log).append(
            "refusal",
            code="not-found",
            call="call1",
            principal="mcp-control",
            world="ai",
            service=START,
            target="ai-\x1b[2J",
            names=[],
        )

    def prepare(self, verb: str) -> None:
        """Something is left to install, but for a question: that needs the policy that is generated."""
        if verb == "ask":
            self.policy.write_text(self.admin("policy", "render")[1])

    def words(self, verb: str, given: str) -> list[str]:
        return [*verb.split(), *given.format(**self.__dict__).split()]

    def log(self) -> list[Json]:
        path = self.root / "var/log/qmcp/operator/audit.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def test_every_verb_is_among_these(self) -> None:
        self.assertEqual({*ASKS, *AT_ONCE, *READS, *STREAMS}, set(verbs.TABLE["verb"]))

    def test_what_only_looks_changes_nothing_and_is_a_document_when_asked_for(self) -> None:
        for verb, given in READS.items():
            with self.subTest(verb):
                before = self.everything()
                code, printed = self.admin(*self.words(verb, given))
                self.assertTrue(printed)
                self.assertRegex(printed, r"\A[ -~\n]*\Z")
                again, document = self.admin(*self.words(verb, given), "--json")
                (self.root / "report").unlink(missing_ok=True)
                self.assertEqual(again, code)
                self.assertIsInstance(json.loads(document), (list, dict))
                self.assertEqual((self.everything(), self.log()), (before, []))

    def test_an_operator_without_qubesd_hears_that_and_one_without_a_file_hears_which(self) -> None:
        with mock.patch("worlds.open_qubesd", lambda root: Qubesd(str(root / "run/qubesd.sock"))):
            self.assertEqual(
                self.admin("status")[0],
                "qmcp-admin: qubesd does not answer: systemctl status qubesd",
            )
        with mock.patch("worlds._worlds", side_effect=TimeoutError):
            self.assertEqual(
                self.admin("status")[0],
                "qmcp-admin: qubesd does not answer: systemctl status qubesd",
            )
        self.assertRegex(
            str(self.admin("contract", "review", self.root / "none.json")[0]), "none.json"
        )

    def test_a_removed_qube_can_be_lowered_and_expelled_and_is_not_to_be_had_back_with_more(
        self,
    ) -> None:
        self.assertEqual(self.admin("tier", "gone", "read", "--yes")[0], 0)
        self.assertEqual(self.tags("gone"), {"ai-managed", "ai-tombstone"})
        self.assertEqual(self.json("tombstones")[1][0]["would get back"], "read")
        self.assertIn("no agent sees it", self.admin("manage", "gone")[1])
        self.assertEqual(self.admin("expel", "gone", "--yes")[0], 0)
        self.assertEqual(self.tags("gone"), set())
        self.assertIn("no removed qube", str(self.admin("restore", "gone", "--yes")[0]))

    def test_nothing_is_changed_that_was_not_shown_and_agreed_to(self) -> None:
        for verb, given in ASKS.items():
            with self.subTest(verb):
                self.prepare(verb)
                before = self.everything()
                code, printed = self.admin(*self.words(verb, given))
                self.assertEqual(code, 1)
                self.assertTrue(
                    printed.endswith("Not done. To do it, add --yes.\n")
                    and len(printed.splitlines()) > 1,
                    printed,
                )
                code, document = self.json(*self.words(verb, given))
                self.assertEqual((code, document["done"]), (1, None))
                self.assertTrue(document["shown"])
                with (
                    mock.patch("sys.stdin") as terminal,
                    mock.patch("builtins.input", side_effect=["no", "", "y"]),
                ):
                    terminal.isatty.return_value = True
                    for _ in range(3):
                        self.assertEqual(self.admin(*self.words(verb, given))[0], 1)
                self.assertEqual((self.everything(), self.log()), (before, []))

    def test_what_was_agreed_to_is_done_and_recorded_before_and_after(self) -> None:
        for verb, given in ASKS.items():
            with self.subTest(verb):
                self.doCleanups()
                self.setUp()
                self.prepare(verb)
                before = self.everything()
                code, document = self.json(*self.words(verb, given), "--yes")
                self.assertEqual(code, 0, document)
                self.assertTrue(document["done"])
                self.assertNotEqual(self.everything(), before)
                self.assertEqual([entry["kind"] for entry in self.log()], ["intent", "outcome"])
                self.assertEqual({entry["principal"] for entry in self.log()}, {"operator"})
                self.assertIn(f"qmcp-admin {verb}", self.log()[0]["service"])
                self.assertEqual(self.log()[1]["code"], "ok")

    def test_a_yes_on_the_terminal_is_one(self) -> None:
        with mock.patch("sys.stdin") as terminal, mock.patch("builtins.input", return_value="yes"):
            terminal.isatty.return_value = True
            self.assertEqual(self.admin("expel", "work")[0], 0)
        self.assertEqual(self.tags(), set())

    def test_what_cannot_be_recorded_is_not_done_unless_it_may_not_wait(self) -> None:
        (self.root / "var/log/qmcp/operator").write_text("in the way")
        before = self.everything()
        self.assertIn("qmcp-admin: ", str(self.admin("tier", "work", "full", "--yes")[0]))
        self.assertEqual(self.everything(), before)
        with mock.patch("sys.stderr"):
            self.assertEqual(self.admin("freeze")[0], 0)
        self.assertTrue((self.root / "var/lib/qmcp/frozen/all").exists())

    def test_what_fails_half_way_is_recorded_as_failed(self) -> None:
        with mock.patch.object(self.qubesd, "tag", side_effect=OSError("qubesd is gone")):
            self.assertEqual(
                self.admin("tier", "work", "full", "--yes")[0], "qmcp-admin: qubesd is gone"
            )
        self.assertEqual([entry.get("code") for entry in self.log()], [None, "failed"])

    def test_a_changed_log_of_the_operators_is_found_and_stops_what_is_recorded(self) -> None:
        self.admin("guard", "work", "--yes")
        path = self.root / "var/log/qmcp/operator/audit.log"
        path.write_text(path.read_text().replace("ai-guard", "ai-gnard"))
        self.assertIn(
            "operator's log: the chain breaks at line 1", self.admin("audit", "verify")[1]
        )
        self.assertIn("operator/audit.log:1", self.admin("check")[1])
        code, _ = self.admin("tier", "work", "full", "--yes")
        self.assertIn("find out who changed it", str(code))
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec", "ai-guard"})

    def test_both_logs_are_shown_together_by_time(self) -> None:
        self.admin("guard", "work", "--yes")
        _, printed = self.admin("audit", "tail", "--json")
        entries = [json.loads(line) for line in printed.splitlines()]
        self.assertEqual(
            [entry["principal"] for entry in entries], ["mcp-control", "operator", "operator"]
        )
        self.assertEqual(entries[1]["service"], "qmcp-admin guard +ai-guard")
        self.assertEqual(len(self.admin("audit", "show", "work", "--json")[1].splitlines()), 2)
        self.assertIn("qmcp-admin guard", self.admin("audit", "show", "work")[1])

    def test_freezing_waits_for_nothing_not_even_a_file_that_reads(self) -> None:
        self.admin("policy", "install", "--yes")
        (self.root / "etc/qmcp/qmcp.toml").write_text("nonsense")
        code, printed = self.admin("freeze")
        self.assertEqual(code, 0)
        self.assertIn("are stopped and undone, except one that is being committed", printed)
        self.assertTrue((self.root / "var/lib/qmcp/frozen/all").exists())
        self.assertEqual(self.admin("thaw"), (0, "thawed: all\n"))
        self.assertFalse((self.root / "var/lib/qmcp/frozen/all").exists())

    def test_a_world_that_is_thawed_and_frozen_with_all_others_is_said_to_be(self) -> None:
        self.admin("freeze")
        self.assertEqual(self.admin("thaw", "ai")[1], "thawed: ai\nstill frozen: all\n")
        self.assertRegex(self.admin("status")[1], r"(?m)^state +frozen$")

    def test_a_world_is_shown_with_all_its_ceilings_and_what_it_uses_of_each(self) -> None:
        self.qubesd.add("ai-one", "ai-managed", "ai-full", "ai-born", "created-by-mcp-control")
        _, (world,) = self.json("world", "ai")
        budget = {row["line"]: row for row in world["budget"]}
        self.assertEqual(budget["qubes"], {"line": "qubes", "used": 1, "limit": 32, "left": 31})
        self.assertEqual(
            (budget["disk"]["used"], budget["calls_per_minute"]["used"]), (2147483648, None)
        )
        self.assertEqual(
            (world["birth ceiling"], world["gateways"], world["egress ceiling"]),
            ("full", ["sys-ai-net", "sys-spare"], ["*"]),
        )
        self.assertEqual(world["plugins"][0]["principal"], "mcp-control")
        self.assertEqual(
            {row["qube"]: row["tier"] for row in world["qubes"]},
            {"ai-one": "full", "gone": "removed", "work": "exec"},
        )
        self.assertIn("qubes:1/32, disk:2.0G/128.0G", self.admin("status")[1])
        self.assertEqual(
            self.admin("world", "no")[0], "qmcp-admin: there is no world no; there are ai"
        )

    def test_several_things_at_once_and_what_an_agent_may_do_after(self) -> None:
        code, printed = self.admin(
            "manage", "work", "--tier", "net", "--guard", "on", "--egress-lock", "on", "--yes"
        )
        self.assertEqual(code, 0)
        self.assertEqual(self.tags(), {"ai-managed", "ai-net", "ai-guard", "ai-egress-lock"})
        self.assertRegex(printed, r"(?m)^switches +guard, egress-lock$")
        self.assertRegex(
            printed, r"an agent may\n  see it: [^\n]*\nswitches"
        )  # that is what a guard leaves
        self.assertIn("see it: its name", self.admin("manage", "work")[1])

    def test_a_contract_is_shown_as_what_changes_in_words_and_in_the_file(self) -> None:
        _, (change,) = self.json("contract", "review", self.file)
        self.assertIn("+ is called on a qube that has at least the tier net", change["in words"])
        self.assertIn("- is called on a qube that has at least the tier exec", change["in words"])
        self.assertIn('-    "capability": "exec"', change["file"])

    def test_the_policy_stays_as_it_was_while_another_file_breaks_it(self) -> None:
        other = self.policy.with_name("10-mine.policy")
        for line, words in (
            (
                "admin.vm.List * @tag:ai-full @adminvm allow",
                "a qube with a tag of a world reaches dom0 to boot",
            ),
            ("qmcp.* * @anyvm @anyvm deny", "qrexec can read the policy"),
        ):
            other.write_text(line + "\n")
            before = self.everything()
            code, printed = self.admin("policy", "install", "--yes")
            self.assertEqual(code, 1)
            self.assertIn("not installed; the policy stays as it was", printed)
            self.assertIn(words, printed)
            self.assertIn("10-mine.policy:1", printed)
            self.assertEqual((self.everything(), self.log()), (before, []))
            self.assertEqual(self.admin("policy", "lint", "--rendered")[0], 1)
        other.write_text("qmcp.spawn.Create * mcp-control @adminvm ask target=@adminvm\n")
        code, document = self.json("policy", "install", "--yes")
        self.assertEqual(code, 0)
        self.assertIn(
            "+qmcp.Catalog             * mcp-control              @adminvm                 allow",
            document["shown"]["changes"],
        )
        self.assertEqual(self.policy.with_name("30-qmcp.policy.old").read_text(), "# before\n")
        self.assertEqual(
            self.admin("policy", "install"), (0, "Nothing changes: this very policy is in force.\n")
        )
        self.assertEqual(self.admin("policy", "lint")[0], 0)

    def test_what_policy_decided_comes_from_this_hosts_own_journal(self) -> None:
        program = self.root / "usr/bin/journalctl"
        program.parent.mkdir(parents=True)
        message = {
            "MESSAGE": "qrexec: qmcp.exec.Run+: mcp-control -> work: allowed to work",
            "__REALTIME_TIMESTAMP": "1900000000000000",
        }
        program.write_text(
            f"#!/bin/sh\necho '{json.dumps(message)}'\necho \"$*\" > {self.root}/words\n"
        )
        program.chmod(0o755)
        _, printed = self.admin("audit", "tail", "--json")
        self.assertEqual(
            [json.loads(line)["kind"] for line in printed.splitlines()], ["refusal", "policy"]
        )
        self.assertRegex(
            (self.root / "words").read_text(),
            r"--output=json .*--unit=qubes-qrexec-policy-daemon\.service",
        )
        program.write_text("#!/bin/sh\nexit 1\n")
        with mock.patch("sys.stderr") as said:
            self.assertEqual(len(self.admin("audit", "tail", "--json")[1].splitlines()), 1)
        self.assertIn(
            "the policy's decisions are missing here",
            "".join(str(call) for call in said.write.mock_calls),
        )

    def test_the_help_names_every_verb_under_what_it_is_for(self) -> None:
        code, printed = self.admin("--help")
        self.assertEqual(code, 0)
        for group in verbs.TABLE["group"].values():
            self.assertIn(f"\n{group}:\n", printed)
        for verb in verbs.TABLE["verb"]:
            self.assertRegex(printed, rf"(?m)^  {re.escape(verb)} +\S")
            code, one = self.admin(*verb.split(), "--help")
            self.assertEqual(code, 0)
            self.assertIn("--json", one)

    def test_colours_are_for_a_terminal_only(self) -> None:
        self.assertNotIn("\x1b", self.admin("status")[1])
        with mock.patch("answer.sys") as system:
            system.stdout.isatty.return_value = True
            self.assertIn("\x1b[1mqube", self.admin("status")[1])


class Links(Dom0):
    """The link in /etc/qubes-rpc is what calls reach dom0 by."""

    def setUp(self) -> None:
        super().setUp()
        self.link, self.contract = (
            self.root / "etc/qubes-rpc" / START,
            self.root / f"etc/qmcp/contracts/{START}.json",
        )

    def each_step(self, *words: str | Path) -> list[tuple[bool, bool]]:
        """`(is the link there, is the contract)` before every step that changes a file, and at the end."""
        seen = []

        def told(wrapped: Callable[..., Any]) -> Callable[..., Any]:
            def step(path: str | Path, *given: Any, **named: Any) -> Any:
                if not {"log", "operator"} & set(getattr(path, "parts", ())):
                    seen.append((self.link.is_symlink(), self.contract.exists()))
                return wrapped(path, *given, **named)

            return step

        with (
            mock.patch("os.replace", told(os.replace)),
            mock.patch.object(Path, "unlink", told(Path.unlink)),
            mock.patch.object(Path, "symlink_to", told(Path.symlink_to)),
        ):
            self.assertEqual(self.admin("contract", *words, "--yes")[0], 0)
        return [*seen, (self.link.is_symlink(), self.contract.exists())]

    def test_the_link_goes_first_and_comes_last(self) -> None:
        shipped = DOM0 / f"contracts/{START}.json"
        self.assertEqual(
            self.each_step("remove", START), [(True, True), (False, True), (False, False)]
        )
        self.assertEqual(
            self.each_step("install", shipped),
            [(False, False), (False, False), (False, True), (True, True)],
        )
        self.assertEqual(
            self.each_step("install", shipped),
            [(True, True), (False, True), (False, True), (True, True)],
        )

    def test_a_contract_that_cannot_be_written_leaves_its_service_closed(self) -> None:
        with mock.patch("contract_admin.write", side_effect=OSError("No space left on device")):
            code, _ = self.admin("contract", "install", DOM0 / f"contracts/{START}.json", "--yes")
        self.assertIn("No space left", str(code))
        self.assertFalse(self.link.is_symlink())

    def test_what_check_says_of_a_missing_link_makes_it(self) -> None:
        def missing() -> list[Json]:
            return [row for row in self.json("check")[1] if row["what"] == "has no link to qmcpd"]

        self.assertEqual(missing(), [])
        self.link.unlink()
        (row,) = missing()
        self.assertEqual(row["where"], f"etc/qubes-rpc/{START}")
        words = row["fix"].rpartition("qmcp-admin ")[2].split()
        self.assertEqual(self.admin(*words[:-1], f"{self.root}{words[-1]}", "--yes")[0], 0)
        self.assertEqual(missing(), [])
