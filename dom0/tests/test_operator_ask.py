"""`qmcp-admin ask`: what the operator is asked about, and the policy that comes of it."""

import json
from unittest import mock

from policy.rules import Policy, Verdict, concerning, decide

from .host import Dom0, Killed

RUN, KILL, CREATE = "qmcp.exec.Run", "qmcp.spawn.Kill", "qmcp.spawn.Create"


class Asked(Dom0):
    def setUp(self) -> None:
        super().setUp()
        self.qubesd.states["work"] = "Running"
        self.qubesd.add("ai-full", "ai-managed", "ai-exec", "ai-net", "ai-full", state="Running")
        self.qubesd.add("looked", "ai-managed", state="Running")
        self.qubesd.add("guarded", "ai-managed", "ai-exec", "ai-guard", state="Running")
        self.qubesd.add("gone", "ai-managed", "ai-exec", "ai-tombstone", state="Running")
        # qmcp-admin looks for it, and the host of this test answers.
        (self.root / "run").mkdir()
        (self.root / "run/qubesd.sock").touch()

    def verdict(self, service: str, target: str, argument: str | None = None) -> Verdict:
        system = {
            name: {
                "type": self.qubesd.classes.get(name, "AppVM"),
                "tags": tags,
                "power_state": self.qubesd.states[name],
            }
            for name, (tags, _, _) in self.qubesd.qubes.items()
        }
        named = ("" if target == "@adminvm" else target) if argument is None else argument
        rules = concerning(Policy(self.root).rules, system, service, named, "mcp-control")
        return decide(rules, system, "mcp-control", target)

    def action(self, service: str, target: str, argument: str | None = None) -> str:
        return self.verdict(service, target, argument).action

    def ask(self, *words: str) -> str:
        code, printed = self.admin("ask", *words, "--yes")
        self.assertEqual(code, 0, printed)
        return printed

    def refused(self, *words: str) -> str:
        before = self.everything()
        code, printed = self.admin("ask", *words, "--yes")
        self.assertNotEqual(code, 0, printed)
        self.assertEqual(self.everything(), before)
        return f"{code}{printed}"

    def broken(self) -> list[str]:
        _, rows = self.json("policy", "lint")
        return [row["claim"] for row in rows if row["result"] == "BROKEN"]


# INVARIANT consent.opens-nothing
class Opens(Asked):
    def test_no_question_that_qmcp_admin_writes_opens_what_the_policy_closes_without_it(
        self,
    ) -> None:
        targets = [*self.qubesd.qubes, "@adminvm", "@dispvm", "@default", "no-such-qube"]
        services = sorted(path.stem for path in (self.root / "etc/qmcp/contracts").glob("*.json"))
        before = {
            (service, target): self.action(service, target)
            for service in services
            for target in targets
        }
        for words in (
            ("destroy",),
            ("exec", "--tier", "full"),
            ("spawn", "--qube", "work"),
            ("exec", "--qube", "work"),
            ("write",),
            ("read",),
        ):
            self.ask(*words)
            for (service, target), was in before.items():
                now = self.action(service, target)
                # A question about a qube that does not run offers no such qube; here all of them run.
                self.assertIn((was, now), {("allow", "allow"), ("allow", "ask"), ("deny", "deny")})
            self.assertEqual(self.broken(), [])

    def test_what_is_asked_about_is_asked_about_at_every_tier_it_is_open_at(self) -> None:
        self.ask("destroy")
        for target in ("work", "ai-full"):
            self.assertEqual(self.action(RUN, target), "ask")
            self.assertEqual(self.action(KILL, target), "ask")
        self.assertEqual(self.action("qmcp.spawn.Remove", "ai-full"), "ask")
        self.assertEqual(self.action("qmcp.exec.FileRead", "work"), "allow")

    def test_a_tier_narrows_a_question_to_qubes_at_that_tier(self) -> None:
        self.ask("exec", "--tier", "full")
        self.assertEqual(self.action(RUN, "ai-full"), "ask")
        self.assertEqual(self.action(RUN, "work"), "allow")
        self.qubesd.qubes["work"][0].add("ai-net")
        self.assertEqual(self.action(RUN, "work"), "allow")
        self.qubesd.qubes["work"][0].add("ai-full")
        self.assertEqual(self.action(RUN, "work"), "ask")

    def test_a_qube_that_is_born_later_is_covered_from_its_birth(self) -> None:
        self.ask("destroy")
        self.qubesd.add("ai-new", "ai-managed", "ai-exec", "ai-born", state="Running")
        for service in (RUN, KILL):
            self.assertEqual(self.action(service, "ai-new"), "ask")

    def test_a_guard_a_removal_or_a_lost_tier_after_the_question_closes_the_qube_at_once(
        self,
    ) -> None:
        for words in (("destroy",), ("destroy", "--qube", "work")):
            self.ask(*words)
            for add, take in (
                ({"ai-guard"}, set()),
                ({"ai-tombstone"}, set()),
                (set(), {"ai-exec"}),
            ):
                tags = self.qubesd.qubes["work"][0]
                before = {*tags}
                tags |= add
                tags -= take
                for service in (RUN, KILL):
                    self.assertEqual(self.action(service, "work"), "deny", (words, add, take))
                    # Nor does another qube's call reach it, by the name in the argument.
                    self.assertNotEqual(self.verdict(service, "ai-full", "work").to, "work")
                tags.clear()
                tags |= before

    def test_a_freeze_denies_what_would_be_asked_and_thaw_asks_again(self) -> None:
        self.ask("write")
        self.ask("destroy")
        calls = [(RUN, "work"), (KILL, "work"), (CREATE, "@adminvm")]
        self.assertEqual({self.action(*call) for call in calls}, {"ask"})
        for words in ((), ("ai",)):
            self.admin("freeze", *words)
            self.assertEqual({self.action(*call) for call in calls}, {"deny"})
            self.assertEqual(self.action("qmcp.inspect.List", "@adminvm"), "allow")
            self.admin("thaw", *words)
            self.assertEqual({self.action(*call) for call in calls}, {"ask"})

    def test_a_question_of_a_frozen_world_is_denied_until_it_is_thawed(self) -> None:
        self.admin("freeze")
        self.ask("write")
        self.assertEqual(self.action(CREATE, "@adminvm"), "deny")
        self.assertEqual(self.json("check")[1][0]["what"], "frozen")
        self.admin("thaw")
        self.assertEqual(self.action(CREATE, "@adminvm"), "ask")

    def test_a_principal_with_destructive_ask_in_qmcp_toml_is_asked_about_alone(self) -> None:
        toml = self.root / "etc/qmcp/qmcp.toml"
        before = toml.read_text()
        toml.write_text(before.replace("\nplugins = ", '\ndestructive = "ask"\nplugins = ', 1))
        self.assertNotEqual(toml.read_text(), before)
        self.assertEqual(self.admin("policy", "install", "--yes")[0], 0)
        for service in (RUN, KILL):
            self.assertEqual(self.action(service, "work"), "ask")
            self.assertEqual(self.action(service, "guarded"), "deny")
        self.assertEqual(self.action(CREATE, "@adminvm"), "allow")
        self.assertIn(f"# asks mcp-control {KILL} exec net full\n", self.policy.read_text())
        self.assertEqual(self.broken(), [])
        whats = [row["what"] for row in self.json("check")[1]]
        self.assertFalse([what for what in whats if "asks.json" in what])


# INVARIANT consent.names-the-qube
class Names(Asked):
    def test_the_dialog_of_a_call_that_is_redirected_has_dom0_selected_and_the_qube_as_argument(
        self,
    ) -> None:
        self.ask(KILL)
        rule = self.verdict(KILL, "work").rule
        assert rule is not None
        self.assertEqual(rule.given, {"target": "@adminvm", "default_target": "@adminvm"})

    def test_the_dialog_of_a_call_in_a_qube_has_that_qube_selected(self) -> None:
        self.ask(RUN)
        for name in ("work", "ai-full"):
            rule = self.verdict(RUN, name).rule
            assert rule is not None
            self.assertEqual(rule.given.get("default_target"), name)
            self.assertNotIn("target", rule.given)

    def test_a_question_about_one_qube_cannot_be_avoided_with_another_argument(self) -> None:
        self.ask("qmcp.exec.Run", "--qube", "work")
        self.assertEqual(self.action(RUN, "work"), "ask")
        self.assertEqual(self.action(RUN, "ai-full"), "allow")
        for argument in ("", "ai-full", "WORK", "work+", "no-such-qube"):
            self.assertEqual(self.action(RUN, "work", argument), "deny", argument)


class Manners(Asked):
    def test_the_list_says_what_the_operator_is_asked_about(self) -> None:
        self.assertIn("asked about nothing", self.admin("ask")[1])
        self.ask(KILL)
        self.ask("exec", "--tier", "net")
        _, rows = self.json("ask")
        self.assertEqual([row["you are asked about"] for row in rows], ["exec --tier net", KILL])
        self.assertEqual(rows[1]["services"], [KILL])

    def test_off_ends_a_question_and_a_second_off_changes_nothing(self) -> None:
        before = self.policy.read_text()
        self.ask("destroy")
        self.ask("destroy", "--off")
        self.assertEqual(self.policy.read_text(), before)
        for words in (("destroy", "--off"), ("exec", "--off")):
            self.assertIn("Nothing changes", self.ask(*words))
        self.assertEqual(self.json("ask"), (0, []))

    def test_asking_twice_changes_nothing(self) -> None:
        self.ask("destroy")
        before = self.everything()
        self.assertIn("Nothing changes", self.ask("destroy"))
        self.assertEqual(self.everything(), before)

    def test_off_says_what_else_still_asks(self) -> None:
        self.ask("destroy")
        self.ask(RUN)
        self.assertIn("destroy", self.ask(RUN, "--off"))
        self.assertEqual(self.action(RUN, "work"), "ask")

    def test_a_misspelt_word_is_refused_with_the_one_that_was_meant(self) -> None:
        for word, meant in (("destory", "destroy"), ("qmcp.exec.Rum", RUN), ("spwan", "spawn")):
            for off in ((), ("--off",)):
                self.assertIn(f"did you mean {meant}?", self.refused(word, *off))

    def test_a_question_that_could_not_be_asked_is_refused(self) -> None:
        self.assertIn("no agent has vault", self.refused("exec", "--qube", "vault"))
        self.assertIn("no agent has gone", self.refused("exec", "--qube", "gone"))
        self.assertIn("no agent has nobody", self.refused("exec", "--qube", "nobody"))
        self.assertIn("exclude", self.refused("exec", "--qube", "work", "--tier", "exec"))
        self.assertIn("leave out --qube", self.refused(CREATE, "--qube", "work"))
        self.assertIn("leave out --tier", self.refused("qmcp.inspect.State", "--tier", "full"))
        self.assertIn("leave out --tier", self.refused(RUN, "--tier", "read"))

    def test_without_yes_nothing_is_done(self) -> None:
        before = self.everything()
        code, printed = self.admin("ask", "destroy")
        self.assertEqual(code, 1)
        self.assertIn("ask target=@adminvm default_target=@adminvm", printed)
        self.assertEqual(self.everything(), before)

    def test_a_policy_that_is_not_current_is_not_put_in_force_by_a_question(self) -> None:
        (self.root / "etc/qmcp/contracts/qmcp.spawn.Kill.json").unlink()
        self.assertIn("qmcp-admin policy install", self.refused("destroy"))

    def test_policy_install_keeps_the_questions_and_check_finds_a_policy_without_them(self) -> None:
        self.ask("destroy")
        whats = [row["what"] for row in self.json("check")[1]]
        self.assertNotIn(
            "differs from what the installed contracts, qmcp.toml and asks.json make", whats
        )
        lines = self.policy.read_text().splitlines(keepends=True)
        self.policy.write_text("".join(line for line in lines if " ask " not in line))
        whats = [row["what"] for row in self.json("check")[1]]
        self.assertIn(
            "differs from what the installed contracts, qmcp.toml and asks.json make", whats
        )
        self.assertEqual(self.admin("policy", "install", "--yes")[0], 0)
        self.assertEqual(self.action(KILL, "work"), "ask")

    def test_a_file_that_cannot_be_read_stops_every_command_that_would_write_a_policy(self) -> None:
        for text in ("nonsense", '{"what":"destroy"}', '[{"what":"destroy","at":"full"}]', "[{}]"):
            (self.root / "etc/qmcp/asks.json").write_text(text)
            for words in (
                ("ask", "destroy"),
                ("policy", "install"),
                ("policy", "lint", "--rendered"),
            ):
                before = self.everything()
                code, _ = self.admin(*words, "--yes")
                self.assertIn("asks.json", str(code))
                self.assertEqual(self.everything(), before)

    def test_a_question_that_was_interrupted_is_named_by_check_and_finished_by_the_same_command(
        self,
    ) -> None:
        with mock.patch("policy_admin.write", side_effect=Killed), self.assertRaises(Killed):
            self.admin("ask", "destroy", "--yes")
        self.assertTrue(any("ask destroy" in row["fix"] for row in self.json("check")[1]))
        self.ask("destroy")
        self.assertEqual(self.action(KILL, "work"), "ask")
        self.assertEqual(
            json.loads((self.root / "etc/qmcp/asks.json").read_text()), [{"what": "destroy"}]
        )
