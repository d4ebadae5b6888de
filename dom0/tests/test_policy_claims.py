import shutil
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path

from policy import claims
from policy.asking import Ask
from policy.generate import generate
from policy.rules import Policy
from qmcpd.qubesd import Qube
from settings import config, contracts
from spec import SERVICE

DOM0 = Path(__file__).parent.parent
DEFAULT = DOM0.parent / "sim/policy/90-default.policy"
LAB = """
[world.lab]
prefix = "lab-"
[world.lab.principal.mcp-lab]
plugins = ["inspect"]
"""

DESK = """
[world.lab]
prefix = "lab-"
updates = "sys-net"
[world.lab.principal.mcp-lab]
plugins = ["inspect"]
model = { qube = "ai-llm", port = 11434 }
"""


def start(claim: str) -> str:
    """A claim by its first words."""
    return next(
        words
        for words in [*(words for _, words, _ in claims.JUDGED), claims.CONSISTENT]
        if words.startswith(claim)
    )


@unittest.skipUnless(DEFAULT.exists(), "an installed copy has its host's own default policy")
class Claims(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        self.home = self.root / "etc/qubes/policy.d"
        self.home.mkdir(parents=True)
        shutil.copy(DEFAULT, self.home)
        installed, _ = contracts.load(DOM0 / "contracts")
        self.installed = {
            name: one for name, one in installed.items() if name != SERVICE.copy_contract
        }
        self.copy = installed[SERVICE.copy_contract]
        self.use("")

    def use(self, more: str) -> None:
        """A host with the shipped world, and with these."""
        toml = self.root / "qmcp.toml"
        toml.write_text((DOM0 / "qmcp.toml").read_text() + more)
        self.worlds = config.load(toml).worlds
        self.ours = generate(self.worlds, self.installed)

    def lint(
        self,
        line: str = "",
        file: str = "10-mine.policy",
        look: Callable[[str], Qube] | None = None,
    ) -> dict[str, tuple[str, str]]:
        """`{claim: (result, place)}` of all that does not hold, with this line in a file of the operator's."""
        (self.home / file).write_text(line + "\n")
        policy = Policy(self.root, {"30-qmcp.policy": self.ours})
        rows = claims.findings(
            policy,
            self.worlds,
            self.installed,
            self.ours,
            look or (lambda name: Qube(name, "", "", frozenset())),
        )
        return {
            row["claim"]: (row["result"], row["where"]) for row in rows if row["result"] != "holds"
        }

    def test_all_claims_hold_of_what_is_generated_before_the_platforms_default_policy(self) -> None:
        self.assertEqual(self.lint(), {})
        self.installed[SERVICE.copy_contract] = self.copy
        for worlds in ("", LAB):
            self.use(worlds)
            self.assertEqual(self.lint(), {})

    def test_the_claims_hold_of_updates_and_models_and_no_line_widens_either(self) -> None:
        self.use(DESK)
        self.assertEqual(self.lint(), {})
        connection, update = "no connection is forwarded", "nothing is fetched as an update"
        outside = "no qube with a tag of a world, and no principal, reaches a qube outside"
        for claim, line in (
            (connection, "qubes.ConnectTCP +11435 mcp-lab ai-llm allow"),
            (connection, "qubes.ConnectTCP * mcp-lab ai-llm allow"),
            (connection, "qubes.ConnectTCP +11434 mcp-lab work allow"),
            (connection, "qubes.ConnectTCP +11434 mcp-control ai-llm allow"),
            (connection, "qubes.ConnectTCP +11434 @tag:lab-managed ai-llm allow"),
            (outside, "qubes.ConnectTCP +11434 mcp-control ai-llm allow"),
            (update, "qubes.UpdatesProxy * @tag:lab-managed @default allow target=sys-net"),
            (update, "qubes.UpdatesProxy * @type:TemplateVM @default allow target=sys-net"),
            (update, "qubes.UpdatesProxy * @tag:lab-updates @default allow target=sys-other"),
            (update, "qubes.UpdatesProxy * @tag:ai-updates @default allow target=sys-net"),
            (update, "qubes.UpdatesProxy * mcp-lab @default allow target=sys-net"),
            (outside, "qubes.UpdatesProxy * @tag:lab-managed sys-net allow"),
        ):
            with self.subTest(line=line):
                self.assertEqual(
                    self.lint(line)[start(claim)], ("BROKEN", "etc/qubes/policy.d/10-mine.policy:1")
                )

    def test_every_claim_of_the_list_is_broken_by_a_line_that_breaks_it(self) -> None:
        for claim, line in (
            (
                "no qube with a tag of a world, and no principal, reaches any form of @dispvm",
                "qubes.VMShell * @tag:ai-managed @dispvm allow",
            ),
            (
                "no qube with a tag of a world, and no principal, reaches any form of @dispvm",
                "qubes.OpenURL * mcp-control @dispvm:dvm allow",
            ),
            (
                "no qube with a tag of a world, and no principal, reaches a principal",
                "qubes.Filecopy * @tag:ai-exec mcp-control allow",
            ),
            (
                "no qube with a tag of a world, and no principal, reaches a principal",
                "a.Service * mcp-control mcp-lab allow",
            ),
            (
                "no qube with a tag of a world, and no principal, reaches a qube of another",
                "qubes.Filecopy * @tag:ai-full @tag:lab-managed allow",
            ),
            (
                "no qube with a tag of a world, and no principal, reaches a qube outside",
                "a.Service +x @tag:ai-tombstone vault allow",
            ),
            (
                "no qube with a tag of a world, and no principal, reaches a qube outside",
                "a.Service * @tag:ai-managed @tag:work allow",
            ),
            (
                "no qube with a tag of a world, and no principal, reaches a qube outside",
                "a.Service * @tag:work @default allow target=vault",
            ),
            (
                "no qube with a tag of a world, and no principal, reaches a qube outside",
                "qubes.GetDate * @type:DispVM @anyvm allow target=sys-net",
            ),
            (
                "a qube with a tag of a world reaches dom0 to boot",
                "admin.vm.List * @tag:ai-full @adminvm allow",
            ),
            ("a qube with a tag of a world reaches dom0 to boot", "* * * @adminvm allow"),
            ("a principal reaches dom0 to boot", "policy.Replace +30-qmcp mcp-control dom0 allow"),
            ("a principal reaches dom0 to boot", "qmcp.spawn.Create * mcp-lab @adminvm allow"),
            (
                "a principal reaches a qube of its world",
                "qubes.VMShell * mcp-control @tag:ai-full allow",
            ),
            (
                "a principal reaches a qube of its world",
                "qmcp.exec.Run * mcp-lab @tag:lab-managed allow user=root autostart=no",
            ),
            (
                "qubes of a world reach each other with files",
                "qubes.Filecopy * @tag:ai-full @tag:ai-full allow",
            ),
            (
                "qubes of a world reach each other with files",
                "qmcp.exec.Run * @tag:ai-full @tag:ai-full allow",
            ),
            (
                "a principal reaches no qube that was removed",
                "qmcp.exec.Run * mcp-control @tag:ai-tombstone allow user=root",
            ),
            (
                "a principal reaches no qube that was removed",
                "qmcp.exec.Run * mcp-control @type:DispVM allow user=root",
            ),
            (
                "nobody but a principal calls a service of ours",
                "qmcp.spawn.Create * work @adminvm allow",
            ),
            (
                "nobody but a principal calls a service of ours",
                "qmcp.exec.Run * @tag:trusted @tag:ai-full allow",
            ),
            (
                "no connection is forwarded",
                "qubes.ConnectTCP +22 @anyvm @default allow target=sys-net",
            ),
            (
                "a principal reaches a qube as its tier",
                "qmcp.exec.Run * mcp-control @tag:ai-managed allow user=root autostart=no",
            ),
            (
                "a principal reaches a qube as its tier",
                "qmcp.exec.Run * mcp-control @tag:ai-guard allow user=root autostart=no",
            ),
            (
                "a principal reaches a qube as its tier",
                "qmcp.exec.Run * mcp-control @tag:ai-full allow user=root",
            ),
            (
                "files go between qubes at tier exec",
                "qubes.Filecopy * @tag:ai-dump @tag:ai-full allow",
            ),
            (
                "files go between qubes at tier exec",
                "qubes.Filecopy * @tag:ai-managed @tag:ai-full allow",
            ),
            (
                "files go between qubes at tier exec",
                "qubes.Filecopy * @tag:ai-full @tag:ai-guard allow",
            ),
            (
                "a qube outside of a world is answered as",
                "qubes.GetDate * @tag:ai-managed vault deny",
            ),
            (
                "a qube outside of a world is answered as",
                "qubes.GetDate * mcp-control @tag:work deny",
            ),
        ):
            with self.subTest(line):
                self.use(LAB if "lab" in line else "")
                self.assertEqual(self.lint(line).get(start(claim), "holds")[0], "BROKEN")

    def test_the_line_that_breaks_a_claim_is_named(self) -> None:
        found = self.lint("# mine\nadmin.vm.List * @tag:ai-full @adminvm allow")
        self.assertEqual(
            found[start("a qube with a tag of a world reaches dom0")],
            ("BROKEN", "etc/qubes/policy.d/10-mine.policy:2"),
        )

    def test_what_sorts_after_ours_breaks_nothing_for_whom_ours_has_the_last_word(self) -> None:
        for line in (
            "* * * @anyvm allow",
            "* * * @adminvm allow",
            "qubes.ConnectTCP * @anyvm @default allow target=sys-net",
        ):
            found = self.lint(line, "40-later.policy")
            self.assertLessEqual(set(found), {start("nobody but a principal")}, line)

    # INVARIANT consent.opens-nothing
    def test_a_question_that_sorts_before_the_lines_that_deny_is_broken(self) -> None:
        for line in (
            "qmcp.exec.Run * mcp-control @tag:ai-exec ask user=root autostart=no",
            "qmcp.exec.Run +work mcp-control @tag:ai-net ask user=root autostart=no",
            "qmcp.exec.Run * mcp-control @tag:ai-guard ask user=root autostart=no",
            "qmcp.spawn.Kill * mcp-control @tag:ai-full ask target=@adminvm default_target=@adminvm",
            "qmcp.spawn.Kill * mcp-control @tag:ai-tombstone ask target=@adminvm",
            "qmcp.spawn.Kill * mcp-control @type:DispVM ask target=@adminvm",
            "qmcp.spawn.Kill * mcp-control @anyvm ask target=@adminvm",
            "qmcp.exec.Run * mcp-control sys-ai-net ask",
            "qmcp.exec.Run * mcp-control @dispvm ask",
            "qubes.VMShell * mcp-control @tag:ai-full ask",
            "qubes.Filecopy * @tag:ai-dump @tag:ai-full ask",
            "admin.vm.List * @tag:ai-full @adminvm ask",
        ):
            with self.subTest(line):
                self.assertEqual(
                    self.lint(line).get(claims.OPENS_NOTHING),
                    ("BROKEN", "etc/qubes/policy.d/10-mine.policy:1"),
                )

    def test_a_question_in_place_of_what_is_open_is_shown_and_breaks_nothing(self) -> None:
        line = "qmcp.spawn.Create * mcp-control @adminvm ask target=@adminvm"
        self.assertEqual(
            self.lint(line), {claims.OPENS_NOTHING: ("asks", "etc/qubes/policy.d/10-mine.policy:1")}
        )

    # INVARIANT consent.names-the-qube
    def test_a_line_that_sends_a_call_to_another_qube_than_its_dialog_names_is_broken(self) -> None:
        for line in (
            "qmcp.exec.Run * mcp-control @tag:ai-exec ask target=work autostart=no",
            "qmcp.exec.Run * mcp-control @tag:ai-exec allow target=work autostart=no",
            "qmcp.spawn.Kill * mcp-control @tag:ai-exec ask target=work",
        ):
            with self.subTest(line):
                found = self.lint(
                    line,
                    look=lambda name: Qube(
                        name, "AppVM", "Running", frozenset({"ai-managed", "ai-exec"})
                    ),
                )
                self.assertEqual(found[start("every dialog names the qube")][0], "BROKEN")

    # INVARIANT consent.opens-nothing
    def test_all_claims_hold_of_every_question_that_is_generated(self) -> None:
        asks = [
            *(Ask(effect) for effect in ("read", "write", "destroy")),
            *(Ask("exec", tier) for tier in ("exec", "net", "full")),
            *(Ask(what, qube="work") for what in ("qmcp.exec.Run", "spawn", "destroy")),
        ]
        for some in [*([one] for one in asks), asks]:
            with self.subTest(some):
                self.ours = generate(self.worlds, self.installed, some, ["work", "other"])
                found = self.lint()
                self.assertEqual({*found}, {claims.OPENS_NOTHING})
                self.assertEqual(found[claims.OPENS_NOTHING][0], "asks")

    def test_a_contract_without_its_line_and_a_line_without_its_contract(self) -> None:
        whole = self.ours
        self.ours = (
            "\n".join(line for line in whole.splitlines() if not line.startswith("qmcp.spawn.Kill"))
            + "\n"
        )
        self.assertEqual(self.lint()[claims.CONSISTENT][0], "BROKEN")
        self.ours = whole.replace(self.installed["qmcp.spawn.Kill"].digest, "sha256:" + "8" * 64)
        self.assertNotEqual(self.ours, whole)
        self.assertEqual(self.lint()[claims.CONSISTENT][0], "BROKEN")
        self.ours = whole
        self.assertEqual(
            self.lint("qmcp.other.Thing * mcp-control @adminvm allow")[claims.CONSISTENT],
            ("BROKEN", "etc/qubes/policy.d/10-mine.policy:1"),
        )
        del self.installed["qmcp.spawn.Kill"]
        self.assertEqual(self.lint()[claims.CONSISTENT][0], "BROKEN")

    def test_what_only_denies_needs_no_contract_and_is_no_line_of_one(self) -> None:
        line = "qmcp.inspect.State * mcp-control @anyvm"
        self.assertEqual(self.lint(f"{line} deny"), {})
        self.installed.pop("qmcp.inspect.State")
        self.ours = generate(self.worlds, self.installed)
        self.assertEqual(self.lint(f"{line} deny"), {})
        for action in ("ask", "allow"):
            self.assertEqual(
                self.lint(f"{line} {action}")[claims.CONSISTENT],
                ("BROKEN", "etc/qubes/policy.d/10-mine.policy:1"),
            )

    def test_each_closing_line_of_ours_taken_out_breaks_a_claim(self) -> None:
        lines = self.ours.splitlines()
        closing = [n for n, line in enumerate(lines) if line.startswith("*")]
        self.assertEqual(len(closing), 49)
        for number in closing:
            self.ours = "\n".join(lines[:number] + lines[number + 1 :]) + "\n"
            broken = self.lint(
                "* * @anyvm @anyvm allow\n* * @anyvm @adminvm allow", "95-wide.policy"
            )
            results = [result for result, _ in broken.values()]
            self.assertTrue({"BROKEN", "opened"}.intersection(results), lines[number])

    def test_a_name_in_a_rule_is_what_the_host_says_it_is(self) -> None:
        line = "qubes.VMShell * work @dispvm allow"
        self.assertEqual(self.lint(line), {})
        found = self.lint(
            line,
            look=lambda name: Qube(
                name, "AppVM", "Halted", frozenset({"ai-managed"} if name == "work" else ())
            ),
        )
        self.assertIn(
            start("no qube with a tag of a world, and no principal, reaches any form"), found
        )

    def test_what_does_not_read_is_a_row_of_its_own(self) -> None:
        self.assertEqual(
            [result for result, _ in self.lint("qmcp.* * @anyvm @anyvm deny").values()], ["BROKEN"]
        )
