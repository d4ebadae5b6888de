import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Container
from pathlib import Path
from typing import IO

from policy.generate import generate
from qmcpd.audit import AuditLog
from settings import config, contracts
from spec import STEPS

DOM0 = Path(__file__).parent.parent


COMMAND = str(DOM0 / "operator/qmcp-admin")


def started(*words: str) -> subprocess.CompletedProcess[str]:
    """The command, as a shell starts it."""
    return subprocess.run([sys.executable, "-B", COMMAND, *words], capture_output=True, text=True)


def admin(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own that is forked from this one: it need not read Python's library again."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if not child:
            _run([COMMAND, *map(str, words)], out, err)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


def _run(words: list[str], out: IO[str], err: IO[str]) -> None:
    """Runs the script to its end, and this process with it."""
    code = 1
    try:
        with open(os.devnull) as nothing:
            for number, stream in enumerate((nothing, out, err)):
                os.dup2(stream.fileno(), number)
        sys.argv, sys.stdin, sys.stdout, sys.stderr = words, open(0), open(1, "w"), open(2, "w")
        sys.path.insert(0, str(Path(COMMAND).parent))
        try:
            runpy.run_path(COMMAND, run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            if isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


class Audit(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = directory.name
        (Path(self.root) / "var/log/qmcp").mkdir(parents=True)
        self.path = Path(self.root) / "var/log/qmcp/audit.log"
        log = AuditLog(self.path)
        for target in ("ai-one", "ai-two\x1b[2J\u202e"):
            log.append(
                "refusal",
                code="not-found",
                principal="mcp-control",
                service="qmcp.spawn.Start",
                target=target,
                names=[],
            )

    def test_tail_shows_what_was_asked_and_nothing_a_terminal_would_act_on(self) -> None:
        shown = admin("--root", self.root, "audit", "tail", "-n", "1")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("ai-two\\x1b[2J\\u202e", shown.stdout)
        self.assertNotIn("ai-one", shown.stdout)
        self.assertNotIn("\x1b", shown.stdout)

    def test_the_command_says_forked_what_it_says_when_it_is_started(self) -> None:
        for words in (["audit", "tail"], ["audit", "verify"], ["audit", "nonsense"], ["--help"]):
            ended = [run("--root", self.root, *words) for run in (started, admin)]
            alone, forked = ((one.returncode, one.stdout, one.stderr) for one in ended)
            self.assertEqual(alone, forked, words)

    def test_tail_as_json_is_the_entries(self) -> None:
        lines = admin("--root", self.root, "audit", "tail", "--json").stdout.splitlines()
        self.assertEqual([json.loads(line)["seq"] for line in lines], [1, 2])

    def test_verify_names_the_line_that_was_changed(self) -> None:
        self.assertEqual(admin("--root", self.root, "audit", "verify").returncode, 0)
        self.path.write_text(self.path.read_text().replace("ai-one", "ai-uno"))
        shown = admin("--root", self.root, "audit", "verify")
        self.assertEqual(shown.returncode, 1)
        self.assertIn("breaks at line 1", shown.stdout)

    def test_a_log_that_is_not_there_is_an_error_of_one_line(self) -> None:
        shown = admin("--root", self.root + "/none", "audit", "tail")
        self.assertNotEqual(shown.returncode, 0)
        self.assertRegex(shown.stderr, r"^qmcp-admin: .*No such file")


class Policy(unittest.TestCase):
    worlds = config.load(DOM0 / "qmcp.toml").worlds
    installed, _ = contracts.load(DOM0 / "contracts")

    def rules(self, **without: Container[str]) -> list[list[str]]:
        installed = {
            name: c for name, c in self.installed.items() if name not in without.get("services", ())
        }
        text = generate(self.worlds, installed)
        return [line.split() for line in text.splitlines() if line and not line.startswith("#")]

    def test_the_shipped_policy_is_what_is_generated(self) -> None:
        self.assertEqual(
            (DOM0 / "policy/30-qmcp.policy").read_text(), generate(self.worlds, self.installed)
        )

    def test_every_contract_has_its_lines_and_no_other_service_of_ours_has_any(self) -> None:
        named = {rule[0] for rule in self.rules() if rule[0].startswith("qmcp.")}
        # A command of a plan has a line of its own while a person approves it.
        standing = {*self.installed} - {"qmcp.plan.Approved"}
        self.assertEqual(named, {"qmcp.Catalog", *standing})
        self.assertNotIn(
            "qmcp.spawn.Start", {rule[0] for rule in self.rules(services=["qmcp.spawn.Start"])}
        )

    def test_the_last_word_on_every_principal_and_every_qube_of_the_world_is_deny(self) -> None:
        for source in ("mcp-control", "@tag:ai-managed", "@tag:ai-tombstone"):
            mine = [rule for rule in self.rules() if rule[2] == source]
            self.assertEqual([rule[0] for rule in mine[-2:]], ["*", "*"])
            self.assertEqual(
                [rule[3:] for rule in mine[-2:]], [["@anyvm", "deny"], ["@adminvm", "deny"]]
            )

    def test_nothing_a_guest_service_allows_starts_a_qube(self) -> None:
        allows = [
            rule for rule in self.rules() if rule[0] == "qmcp.exec.Run" and rule[4] == "allow"
        ]
        self.assertEqual(len(allows), 6)  # each tier that is enough, and the same of disposables
        for rule in allows:
            self.assertIn("autostart=no", rule)

    def test_installing_keeps_the_policy_that_was_there(self) -> None:
        with tempfile.TemporaryDirectory() as root:
            where = Path(root) / "etc/qubes/policy.d"
            where.mkdir(parents=True)
            (Path(root) / "etc/qmcp").mkdir()
            shutil.copy(DOM0 / "qmcp.toml", Path(root) / "etc/qmcp")
            shutil.copytree(DOM0 / "contracts", Path(root) / "etc/qmcp/contracts")
            (where / "30-qmcp.policy").write_text("# before\n")
            self.assertEqual(admin("--root", root, "policy", "install").returncode, 1)
            self.assertEqual((where / "30-qmcp.policy").read_text(), "# before\n")
            self.assertEqual(admin("--root", root, "policy", "install", "--yes").returncode, 0)
            self.assertEqual((where / "30-qmcp.policy.old").read_text(), "# before\n")
            self.assertEqual(
                (where / "30-qmcp.policy").read_text(), (DOM0 / "policy/30-qmcp.policy").read_text()
            )


class Contract(unittest.TestCase):
    start = DOM0 / "contracts/qmcp.spawn.Start.json"

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        self.installed = self.root / "etc/qmcp/contracts"
        self.installed.mkdir(parents=True)
        self.links = self.root / "etc/qubes-rpc"
        self.links.mkdir()

    def admin(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return admin("--root", str(self.root), "contract", *words)

    def test_a_review_says_what_an_agent_gains_and_changes_nothing(self) -> None:
        shown = self.admin("review", self.start).stdout
        self.assertIn("called on a qube that has at least the tier exec", shown)
        self.assertIn("may use admin.vm.Start", shown)
        self.assertEqual(list(self.installed.iterdir()), [])

    def test_what_is_installed_has_the_digest_of_what_was_reviewed(self) -> None:
        self.assertEqual(self.admin("install", self.start).returncode, 1)
        self.assertEqual(list(self.installed.iterdir()), [])
        self.assertEqual(self.admin("install", self.start, "--yes").returncode, 0)
        mine, _ = contracts.load(self.installed)
        shipped, _ = contracts.load(DOM0 / "contracts")
        self.assertEqual(mine["qmcp.spawn.Start"].digest, shipped["qmcp.spawn.Start"].digest)
        self.assertIn("this contract is already installed", self.admin("review", self.start).stdout)

    def test_a_review_says_exactly_what_a_word_that_the_contract_fixes_does(self) -> None:
        for service, words in {
            "qmcp.spawn.Start": "starts a qube of its world",
            "qmcp.spawn.Kill": "kills a qube of its world",
            "qmcp.networking.Disconnect": "takes a qube of its world off its network",
        }.items():
            shown = self.admin("review", DOM0 / f"contracts/{service}.json").stdout
            self.assertIn(f"+ {words}: ", shown)
        for step in STEPS.values():
            fixed = [kind for kind in step["arguments"].values() if isinstance(kind, list)]
            self.assertEqual(
                sorted(step.get("exactly", ())), sorted(word for kind in fixed for word in kind)
            )

    def test_a_review_shows_names_as_data_and_the_tier_that_the_steps_take(self) -> None:
        attach = json.loads((DOM0 / "contracts/qmcp.devices.Attach.json").read_text())
        low = self.root / "qmcp.devices.Attach.json"
        low.write_text(
            json.dumps(attach | {"target": {"capability": "read"}, "qubes": {"backend": "read"}})
        )
        shown = self.admin("review", low).stdout
        self.assertIn('names a qube, in "backend", that has at least the tier full', shown)
        self.assertIn("is called on a qube that has at least the tier full", shown)
        shown = self.admin("review", DOM0 / "contracts/qmcp.spawn.Create.json").stdout
        self.assertIn('starts a qube of its world, when "start" is true: qube="$name"', shown)

    def test_a_review_says_as_whom_a_service_runs_inside_a_qube(self) -> None:
        guest = DOM0 / "contracts/qmcp.exec.Run.json"
        self.assertIn("runs inside that qube, as root", self.admin("review", guest).stdout)
        low = self.root / "qmcp.exec.Run.json"
        low.write_text(
            json.dumps(json.loads(guest.read_text()) | {"target": {"capability": "read"}})
        )
        self.assertIn(
            "as the qube's own user, also where agents may only look",
            self.admin("review", low).stdout,
        )

    def test_a_review_shows_what_would_change(self) -> None:
        self.admin("install", self.start, "--yes")
        other = self.root / "qmcp.spawn.Start.json"
        other.write_text(self.start.read_text().replace('"exec"', '"read"'))
        shown = self.admin("review", other).stdout
        self.assertIn('-    "capability": "exec"', shown)
        self.assertIn('+    "capability": "read"', shown)

    def test_one_bad_contract_and_none_is_installed(self) -> None:
        bad = self.root / "qmcp.spawn.Kill.json"
        bad.write_text(self.start.read_text())
        refused = self.admin("install", self.start, bad, "--yes")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("as the file is named", refused.stderr)
        self.assertEqual(list(self.installed.iterdir()), [])

    def test_what_is_removed_is_gone_and_only_a_service_can_be(self) -> None:
        self.admin("install", self.start, "--yes")
        self.assertNotEqual(self.admin("remove", "../../qmcp", "--yes").returncode, 0)
        shown = self.admin("remove", "qmcp.spawn.Start")
        self.assertEqual(shown.returncode, 1)
        self.assertIn("- may use admin.vm.Start", shown.stdout)
        self.assertEqual(len(list(self.installed.iterdir())), 1)
        self.assertEqual(self.admin("remove", "qmcp.spawn.Start", "--yes").returncode, 0)
        self.assertEqual(list(self.installed.iterdir()), [])

    def test_a_service_of_dom0_has_its_link_while_it_is_installed_and_one_of_a_qube_never(
        self,
    ) -> None:
        guest = DOM0 / "contracts/qmcp.exec.Run.json"
        (self.root / "run/qmcp").mkdir(parents=True)
        (self.root / "run/qmcp/qmcpd.sock").write_text("the socket")
        asked = self.admin("install", self.start, guest)
        self.assertIn(
            "+ is answered by qmcpd, through /etc/qubes-rpc/qmcp.spawn.Start", asked.stdout
        )
        self.assertEqual(list(self.links.iterdir()), [])
        done = self.admin("install", self.start, guest, "--yes")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("qmcp-admin policy install", done.stdout)
        link = self.links / "qmcp.spawn.Start"
        self.assertEqual(list(self.links.iterdir()), [link])
        self.assertEqual(link.read_text(), "the socket")
        asked = self.admin("remove", "qmcp.spawn.Start")
        self.assertIn(
            "- is answered by qmcpd, through /etc/qubes-rpc/qmcp.spawn.Start", asked.stdout
        )
        self.assertTrue(link.is_symlink())
        self.assertEqual(self.admin("remove", "qmcp.spawn.Start", "--yes").returncode, 0)
        self.assertEqual(list(self.links.iterdir()), [])

    def test_a_link_that_leads_elsewhere_leads_to_qmcpd_once_the_contract_is_installed(
        self,
    ) -> None:
        link = self.links / "qmcp.spawn.Start"
        link.symlink_to("/usr/bin/anything")
        self.assertEqual(self.admin("install", self.start, "--yes").returncode, 0)
        self.assertEqual(str(link.readlink()), "../../run/qmcp/qmcpd.sock")

    def test_a_service_that_moves_into_the_qube_loses_its_link(self) -> None:
        guest = json.loads((DOM0 / "contracts/qmcp.exec.Run.json").read_text())
        here = guest | {"service": "qmcp.spawn.Start", "plugin": "spawn"}
        self.admin("install", self.start, "--yes")
        moved = self.root / "qmcp.spawn.Start.json"
        moved.write_text(json.dumps(here))
        done = self.admin("install", moved, "--yes")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(self.links.iterdir()), [])
