import json
from unittest import mock

from policy.approved import FILE
from policy.rules import Policy, System, concerning, decide
from qmcpd import plans
from settings.config import Json

from .host import LATER, Dom0, Outcome

APPROVED = "qmcp.plan.Approved"
SCRIPT = {"qube": "work", "command": "rm -r /tmp/old\nsh /home/user/job.sh"}
START = {"service": "qmcp.spawn.Start", "target": "work", "params": {}}


class Plans(Dom0):
    def setUp(self) -> None:
        super().setUp()
        self.qubesd.qubes["work"].properties["uuid"] = "uuid-of-work"
        self.qubesd.qubes["work"].tags.discard("ai-exec")

    def policy_lines(self) -> list[str]:
        path = self.root / FILE
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if " allow " in line]

    def marks(self) -> list[str]:
        return sorted(path.name for path in (self.root / plans.IN_FORCE).glob("*"))

    def shown(self, digest: str) -> Json:
        return self.json("plan", "show", digest[:8])[1]

    def decide(self, verb: str, digest: str, *words: str) -> Outcome:
        return self.admin("plan", verb, digest[:8], *words, "--yes")


class Shown(Plans):
    def test_every_step_is_shown_in_words_with_its_values(self) -> None:
        step = {"service": "qmcp.inspect.Set", "target": "work", "params": {"vcpus": 3}}
        shown = self.shown(self.add_plan(step, SCRIPT))
        self.assertEqual(shown["steps"][0]["in words"][0][:30], "sets properties of a qube of i")
        self.assertIn("vcpus 3", shown["steps"][0]["in words"][0])
        self.assertEqual(shown["steps"][0]["ceilings"]["budget"]["qubes"], 32)
        self.assertEqual(
            [line["text"] for line in shown["steps"][1]["script"]],
            ["rm -r /tmp/old", "sh /home/user/job.sh"],
        )
        self.assertIn("/home/user/job.sh", shown["steps"][1]["not pinned"])
        self.assertEqual(
            [step["beyond the tier"] for step in shown["steps"]],
            [
                ["work has the tier read, and this takes full"],
                ["work has the tier read, and this takes exec"],
            ],
        )

    def test_a_pinned_file_is_not_named_as_one_that_can_change(self) -> None:
        pins = [{"path": "/home/user/job.sh", "sha256": "0" * 64}]
        shown = self.shown(self.add_plan(SCRIPT | {"files": pins}))
        self.assertEqual(shown["steps"][0]["not pinned"], ["/tmp/old"])

    def test_nothing_that_an_agent_writes_moves_the_cursor_or_hides(self) -> None:
        hidden = "ls\x1b[2J\u202egnp.exe\u0430\r" + "\n" * 60_000 + "rm -rf ~"
        digest = self.add_plan(
            {"qube": "work", "command": hidden},
            title="\x1b]0;x\x07",
            reason="a\nstep 9 of 9: nothing",
        )
        for words in (("plan", "show", digest[:8]), ("plan", "list")):
            code, printed = self.admin(*words)
            self.assertEqual(code, 0)
            self.assertEqual([c for c in printed if not (" " <= c <= "~" or c == "\n")], [])
        printed = self.admin("plan", "show", digest[:8])[1]
        self.assertIn(r"\u202e", printed)
        self.assertIn("\\u0430\\r", printed)
        self.assertRegex(printed, r"(?m)^ +60001 \| rm -rf ~$")
        self.assertIn("lines 2 to 60000 are blank", printed)
        self.assertLess(printed.count("\n"), 60)
        self.assertNotRegex(printed, r"(?m)^step 9")
        self.assertIn("WARNING: the script has many blank lines", printed)

    def test_what_has_changed_since_the_proposal_is_named(self) -> None:
        digest = self.add_plan(START)
        self.assertEqual(self.shown(digest)["changed"], [])
        self.qubesd.qubes["work"].properties["netvm"] = "sys-firewall"
        self.assertEqual(self.shown(digest)["changed"], ["work: netvm was '', is 'sys-firewall'"])


class Approved(Plans):
    def test_an_approval_opens_one_line_for_each_command_and_its_end_closes_it(self) -> None:
        before = self.everything()
        digest = self.add_plan(START, SCRIPT)
        self.assertEqual(self.decide("approve", digest, "--for", "30m")[0], 0)
        self.assertEqual(self.marks(), [digest])
        (line,) = self.policy_lines()
        self.assertRegex(
            line, r"^qmcp\.plan\.Approved +\+work\+[0-9a-f]{64} mcp-control +work +allow"
        )
        self.assertEqual(self.decide("revoke", digest)[0], 0)
        self.assertEqual((self.marks(), self.policy_lines()), ([], []))
        plans.Plans(self.root).delete(self.record(digest))
        self.admin("expire")
        self.assertEqual(self.everything(), before)

    def record(self, digest: str) -> Json:
        record = plans.Plans(self.root).read("ai", digest)
        assert record is not None
        return record

    def test_a_boot_or_the_end_of_its_time_ends_an_approval(self) -> None:
        digest = self.add_plan(SCRIPT)
        self.decide("approve", digest)
        (self.root / plans.IN_FORCE / digest).unlink()  # /run is empty after a boot
        self.assertEqual(plans.Plans(self.root).state(self.record(digest)), "expired")
        self.assertIn("whose approval is over", self.admin("check")[1])
        self.assertIn("closed", self.admin("expire")[1])
        self.assertNotIn("whose approval is over", self.admin("check")[1])
        self.assertEqual(self.policy_lines(), [])
        self.assertEqual(self.decide("approve", digest)[0], 0)
        with mock.patch("time.clock_gettime", lambda _: float(LATER)):
            self.assertEqual(plans.Plans(self.root).state(self.record(digest)), "expired")
            self.admin("expire")
        self.assertEqual((self.marks(), self.policy_lines()), ([], []))

    def test_a_short_digest_an_ambiguous_one_and_a_decided_plan_are_refused(self) -> None:
        digest = self.add_plan(START)
        self.assertRegex(str(self.admin("plan", "approve", digest[:7], "--yes")[0]), "first 8")
        self.decide("reject", digest)
        self.assertRegex(str(self.decide("approve", digest)[0]), "is rejected")
        twice = [self.record(digest), self.record(digest)]
        with mock.patch("qmcpd.plans.Plans.all", lambda *_: twice):
            self.assertRegex(str(self.decide("approve", digest)[0]), "two plans begin with")
        self.assertRegex(str(self.decide("approve", "0" * 64)[0]), "there is no plan 00000000")
        self.assertEqual((self.marks(), self.policy_lines()), ([], []))

    def test_no_plan_is_approved_for_a_qube_that_is_missing_or_of_no_world(self) -> None:
        self.qubesd.qubes["vault"].properties["uuid"] = "uuid-of-vault"
        for name in ("vault", "none-such"):
            digest = self.add_plan(SCRIPT | {"qube": name})
            self.assertRegex(str(self.decide("approve", digest)[0]), "cannot be approved")
        self.assertEqual((self.marks(), self.policy_lines()), ([], []))

    def test_an_expelled_qube_has_no_line_and_neither_has_another_one_of_its_name(self) -> None:
        digest = self.add_plan(SCRIPT)
        self.decide("approve", digest)
        self.qubesd.qubes["work"].properties["uuid"] = "uuid-of-another"
        self.admin("expire")
        self.assertEqual(self.policy_lines(), [])
        self.qubesd.qubes["work"].properties["uuid"] = "uuid-of-work"
        self.admin("expire")
        self.assertEqual(len(self.policy_lines()), 1)
        self.assertEqual(self.admin("expel", "work", "--yes")[0], 0)
        self.assertEqual(self.policy_lines(), [])

    def test_no_approval_opens_a_guarded_a_removed_or_an_excluded_qube(self) -> None:
        self.decide("approve", self.add_plan(SCRIPT))
        rules = Policy(self.root).rules
        argument = self.policy_lines()[0].split()[1].removeprefix("+")

        def action(*tags: str, name: str = "work") -> str:
            system: System = {
                "mcp-control": {"type": "AppVM", "tags": {"x"}},
                name: {"type": "AppVM", "tags": {"ai-managed", *tags}},
            }
            ours = concerning(rules, system, APPROVED, argument, "mcp-control")
            return decide(ours, system, "mcp-control", name).action

        self.assertEqual(action(), "allow")
        for tag in ("ai-guard", "ai-tombstone"):
            self.assertEqual(action(tag), "deny", tag)
        toml = self.root / "etc/qmcp/qmcp.toml"
        toml.write_text(toml.read_text().replace("guarded = []", 'guarded = ["work"]'))
        self.admin("expire")
        self.assertEqual(self.policy_lines(), [])

    def test_the_request_of_a_command_has_a_key_that_nobody_can_guess(self) -> None:
        keys = set()
        for nonce in ("1", "2"):
            digest = self.add_plan(SCRIPT, nonce=nonce)
            self.decide("approve", digest)
            path = self.root / plans.DECISIONS / f"{digest}.json"
            request = json.loads(json.loads(path.read_text())["requests"]["1"])
            self.assertEqual((request["plan"], request["qube"]), (digest, "work"))
            keys.add(request["key"])
        self.assertEqual([len(key) for key in keys], [64, 64])
