import json
import tempfile
import unittest
from pathlib import Path

from policy.rules import Policy, concerning, decide

RECORDED = Path(__file__).parents[2] / "test/recordings/qrexec-verdicts.jsonl"


class Rules(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)

    def write(self, files: dict[str, str], under: str = "etc/qubes/policy.d") -> None:
        for name, text in files.items():
            path = self.root / under / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def problems(self, line: str) -> list[str]:
        self.write({"10-a.policy": line + "\n"})
        return [what for _, what in Policy(self.root).problems]

    @unittest.skipUnless(RECORDED.exists(), "an installed copy has no recordings")
    def test_every_recorded_verdict_of_the_real_engine_is_ours(self) -> None:
        differ, count = [], 0
        for number, line in enumerate(RECORDED.read_text().splitlines(), 1):
            case = json.loads(line)
            policy = Policy(self.root / str(number), case["files"])
            self.assertEqual(
                bool(policy.problems), case["load_error"] is not None, (number, policy.problems)
            )
            for asked in case["requests"]:
                count += 1
                rules = [] if policy.problems else policy.rules
                about = concerning(
                    rules, case["system"], asked["service"], asked["argument"], asked["source"]
                )
                verdict = decide(about, case["system"], asked["source"], asked["target"])
                if (verdict.action, verdict.to if verdict.action == "allow" else None) != (
                    asked["verdict"],
                    asked.get("resolved"),
                ):
                    differ.append((number, verdict.action, asked["verdict"]))
        self.assertGreater(count, 2900)
        # The one thing it does not know, and says so: a question with nothing to choose from is a denial.
        self.assertEqual(differ, [(85, "ask", "deny")])

    def test_a_line_that_qrexec_cannot_read_is_named_with_what_is_wrong(self) -> None:
        for line, wrong in (
            ("qmcp.* * @anyvm @adminvm allow", "qmcp.* is no name of a service"),
            ("a x @anyvm b deny", "x is no argument"),
            ("a * @nobody b deny", "@nobody is no source"),
            ("a * @default b deny", "@default is no source"),
            ("a * b @dispvm:@type:x deny", "@dispvm:@type:x is no target"),
            ("a * b c DENY", "DENY is no action: there are allow, ask and deny"),
            ("a * b c deny target=d", "deny takes no target=d"),
            ("a * b c allow autostart=maybe", "allow takes no autostart=maybe"),
            ("a * b c allow target=*", "allow takes no target=*"),
            ("a * b c allow user=x user=y", "a parameter is given twice"),
            ("* +x b c deny", "the service * takes the argument * only"),
            ("a * b @default allow", "allow on @default needs target="),
            ("a * b c", "a rule has at least five words: SERVICE ARGUMENT SOURCE TARGET ACTION"),
            ("a * b c deny # why", "deny takes no #"),
            ("!include-everything", "!include-everything: no such directive here"),
        ):
            self.assertEqual(self.problems(line)[:1], [wrong])
        self.assertEqual(
            self.problems(
                "# all\n\n  # is well\na +b @tag:c @dispvm ask default_target=@dispvm notify=yes"
            ),
            [],
        )

    def test_a_bad_file_name_is_a_problem_and_other_files_are_none_of_qrexecs_business(
        self,
    ) -> None:
        self.write(
            {"99-Mine.policy": "", ".hidden.policy": "nonsense", "30-qmcp.policy.old": "nonsense"}
        )
        self.assertEqual(
            [where for where, _ in Policy(self.root).problems],
            ["etc/qubes/policy.d/99-Mine.policy"],
        )

    def test_files_are_read_in_the_order_of_their_names_and_a_name_in_run_stands_for_the_same_in_etc(
        self,
    ) -> None:
        self.write({"20-b.policy": "b * * * deny\n", "10-a.policy": "a * * * deny\n"})
        self.write({"20-b.policy": "c * * * deny\n"}, "run/qubes/policy.d")
        self.assertEqual(
            [(rule.service, rule.where) for rule in Policy(self.root).rules],
            [
                ("a", "etc/qubes/policy.d/10-a.policy:1"),
                ("c", "run/qubes/policy.d/20-b.policy:1"),
            ],
        )

    def test_includes_are_followed_in_their_place_and_one_that_is_not_there_is_a_problem(
        self,
    ) -> None:
        self.write(
            {
                "10-a.policy": "!include include/one\n!include-dir more\n!include-service x + include/old\nz * * * deny\n",
                "include/one": "a * * * deny\n",
                "more/b.policy": "b * * * deny\n",
                "include/old": "$anyvm $adminvm allow,user=root\n",
            }
        )
        policy = Policy(self.root)
        self.assertEqual(
            (policy.problems, [rule[:5] for rule in policy.rules]),
            (
                [],
                [
                    ("a", "*", "*", "*", "deny"),
                    ("b", "*", "*", "*", "deny"),
                    ("x", "+", "@anyvm", "@adminvm", "allow"),
                    ("z", "*", "*", "*", "deny"),
                ],
            ),
        )
        self.write(
            {"20-b.policy": "!include include/none\n", "30-c.policy": "!include 30-c.policy\n"}
        )
        places = [where for where, _ in Policy(self.root).problems]
        self.assertIn("etc/qubes/policy.d/include/none", places)
        self.assertEqual(
            {place.partition(":")[0] for place in places[1:]}, {"etc/qubes/policy.d/30-c.policy"}
        )

    def test_what_is_not_followed_is_told(self) -> None:
        self.write({"35-compat.policy": "!compat-4.0\n"})
        self.assertEqual(Policy(self.root).unread, [])
        self.write({"qubes.Old": "$anyvm $anyvm deny\n"}, "etc/qubes-rpc/policy")
        policy = Policy(self.root)
        self.assertEqual(policy.problems, [])
        self.assertEqual(
            policy.unread,
            [
                (
                    "etc/qubes/policy.d/35-compat.policy:1",
                    str(self.root / "etc/qubes-rpc/policy/qubes.Old"),
                )
            ],
        )
