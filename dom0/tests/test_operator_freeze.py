import json
from unittest import mock

from policy.rules import Policy, concerning, decide

from .host import Dom0, Killed

RUN, COPY = "qmcp.exec.Run", "qubes.Filecopy"
MINE = "qmcp.exec.Run * mcp-control work allow\n"


class Freeze(Dom0):
    def setUp(self) -> None:
        super().setUp()
        self.qubesd.add("ai-one", "ai-managed", "ai-full", state="Running", netvm="sys-ai-net")
        self.qubesd.add("ai-two", "ai-managed", "ai-full", state="Paused", netvm="sys-ai-net")
        self.qubesd.add("half", "ai-exec", state="Running")
        self.qubesd.states["work"] = "Running"
        self.toml = self.root / "etc/qmcp/qmcp.toml"
        self.home = self.root / "etc/qubes/policy.d"

    def allowed(
        self, service: str = RUN, source: str = "mcp-control", target: str = "work"
    ) -> bool:
        system = {
            name: {"type": "AppVM", "tags": tags, "power_state": "Running"}
            for name, (tags, _, _) in self.qubesd.qubes.items()
        }
        found = concerning(Policy(self.root).rules, system, service, "", source)
        return decide(found, system, source, target).action == "allow"

    def principal(self, name: str) -> None:
        """A second principal of the world, as an operator adds one."""
        text = self.toml.read_text()
        self.toml.write_text(f'{text}\n[world.ai.principal.{name}]\nplugins = ["exec"]\n')
        self.qubesd.add(name)
        self.qubesd.qubes[name][1]["tag-created-vm-with"] = "ai-managed"

    def freeze(self, *words: str) -> str:
        code, printed = self.admin("freeze", *words)
        self.assertEqual(code, 0, printed)
        return printed

    def thaw(self, *words: str) -> str:
        code, printed = self.admin("thaw", *words)
        self.assertEqual(code, 0, printed)
        return printed

    def found(self) -> set[tuple[str, str]]:
        return {(row["what"], row["where"]) for row in self.json("check")[1]}


class Closes(Freeze):
    def test_a_frozen_world_has_no_call_between_qubes_whatever_qmcp_toml_says(self) -> None:
        for text in (
            "nonsense",
            "",
            self.toml.read_text().replace("birth_gateway", "birth_gatewai"),
        ):
            for words in ((), ("ai",)):
                with self.subTest(text=text[:9], words=words):
                    self.assertTrue(self.allowed())
                    self.assertTrue(self.allowed(COPY, "work", "ai-one"))
                    self.toml.write_text(text)
                    self.freeze(*words)
                    self.assertFalse(self.allowed())
                    self.assertFalse(self.allowed(COPY, "work", "ai-one"))
                    self.thaw(*words)
                    self.assertTrue(self.allowed())

    def test_a_missing_qmcp_toml_freezes_no_less(self) -> None:
        self.toml.unlink()
        self.freeze()
        self.assertFalse(self.allowed())

    def test_a_principal_that_is_added_while_its_world_is_frozen_is_frozen(self) -> None:
        for words in ((), ("ai",)):
            with self.subTest(words):
                self.doCleanups()
                self.setUp()
                self.freeze(*words)
                self.principal("mcp-second")
                code, printed = self.admin("policy", "install", "--yes")
                self.assertEqual(code, 0, printed)
                self.assertFalse(self.allowed(source="mcp-second"))
                self.thaw(*words)
                self.assertTrue(self.allowed(source="mcp-second"))

    def test_a_world_that_qmcp_toml_lost_is_frozen_by_the_policy_that_is_installed(self) -> None:
        self.toml.write_text(self.toml.read_text().replace("world.ai", "world.lab"))
        self.freeze("ai")
        self.assertFalse(self.allowed())
        self.assertFalse(self.allowed(COPY, "work", "ai-one"))
        self.assertIn("thawed: ai", self.thaw("ai"))

    def test_a_world_stays_frozen_when_the_policy_is_installed_anew(self) -> None:
        self.freeze("ai")
        self.policy.write_text("# before\n")
        self.assertEqual(self.admin("policy", "install", "--yes")[0], 0)
        self.assertFalse(self.allowed())

    def test_thawing_one_world_leaves_the_others_frozen(self) -> None:
        text = self.toml.read_text()
        self.toml.write_text(
            text
            + '\n[world.lab]\nprefix = "lab-"\n[world.lab.principal.mcp-lab]\nplugins = ["exec"]\n'
        )
        self.qubesd.add("mcp-lab")
        self.qubesd.add("lab-one", "lab-managed", "lab-exec")
        self.admin("policy", "install", "--yes")
        lab = (RUN, "mcp-lab", "lab-one")
        self.assertTrue(self.allowed(*lab))
        self.freeze("ai")
        self.assertEqual((self.allowed(), self.allowed(*lab)), (False, True))
        self.freeze("lab")
        self.thaw("ai")
        self.assertEqual((self.allowed(), self.allowed(*lab)), (True, False))
        self.freeze()
        self.assertIn("still frozen: all\nstill frozen: lab\n", self.thaw("ai"))
        self.assertEqual((self.allowed(), self.allowed(*lab)), (False, False))

    def test_a_name_that_no_file_knows_is_not_frozen_and_that_is_said_in_capitals(self) -> None:
        for text in (self.toml.read_text(), "nonsense"):
            self.toml.write_text(text)
            before = self.everything()
            self.assertEqual(
                self.admin("freeze", "nowhere")[0],
                "qmcp-admin: NOT FROZEN: there is no world nowhere; there are ai",
            )
            self.assertEqual(self.everything(), before)


class SaysThatItDoesNot(Freeze):
    def unfrozen(self, *words: str) -> str:
        code, printed = self.admin("freeze", *words)
        self.assertEqual(code, 1, printed)
        self.assertRegex(printed, r"(?m)^NOT FROZEN: ")
        self.assertNotRegex(printed, r"(?m)^frozen: ")
        return printed

    def test_a_line_that_decides_before_the_freeze_is_named(self) -> None:
        for line in (MINE, "qmcp.exec.Run * @anyvm @tag:ai-exec ask\n", "* * * @anyvm allow\n"):
            for text in (self.toml.read_text(), "nonsense"):
                with self.subTest(line=line):
                    (self.home / "00-mine.policy").write_text(line)
                    self.toml.write_text(text)
                    self.assertIn("00-mine.policy:1", self.unfrozen())
                    self.assertTrue(any("FROZEN ONLY IN PART" in what for what, _ in self.found()))

    def test_a_line_about_a_qube_of_the_world_is_named_and_one_about_another_is_not(self) -> None:
        (self.home / "00-mine.policy").write_text("qubes.Filecopy * work ai-one allow\n")
        self.assertIn("00-mine.policy:1", self.unfrozen())
        (self.home / "00-mine.policy").write_text("qubes.Filecopy * vault ai-one allow\n")
        self.freeze()
        with mock.patch("freezing.open_qubesd", side_effect=OSError("qubesd is gone")):
            self.assertIn("00-mine.policy:1 decides first", self.unfrozen())

    def test_a_file_that_stands_for_that_of_the_freeze_is_found(self) -> None:
        over = self.root / "run/qubes/policy.d/00-qmcp-frozen.policy"
        over.parent.mkdir(parents=True)
        over.write_text("# nothing\n")
        self.assertIn(
            "qrexec reads no line of etc/qubes/policy.d/00-qmcp-frozen.policy about",
            self.unfrozen(),
        )

    def test_each_file_that_cannot_be_written_is_named_and_keeps_no_other_from_being_written(
        self,
    ) -> None:
        with mock.patch("freezing.write", side_effect=OSError("disk full")):
            printed = self.unfrozen()
        self.assertIn("commands can still be run in qubes, because disk full", printed)
        self.assertTrue((self.root / "var/lib/qmcp/frozen/all").exists())
        self.admin("thaw")
        (self.root / "var/lib/qmcp/frozen").rmdir()
        (self.root / "var/lib/qmcp/frozen").write_text("in the way")
        with mock.patch("freezing._flags", return_value={"all"}):
            self.assertIn("qmcpd still answers calls", self.unfrozen())
        self.assertFalse(self.allowed())

    def test_a_policy_that_cannot_be_read_is_named_and_qmcpd_is_frozen_all_the_same(self) -> None:
        self.policy.unlink()
        self.policy.mkdir()
        self.assertIn("30-qmcp.policy", self.unfrozen())
        self.assertTrue((self.root / "var/lib/qmcp/frozen/all").exists())

    def test_a_host_on_which_nothing_names_a_principal_is_not_said_to_be_frozen(self) -> None:
        self.toml.write_text("nonsense")
        self.policy.unlink()
        self.assertIn("no installed policy names a principal", self.unfrozen())

    def test_policy_install_says_so_when_it_could_not_keep_the_freeze(self) -> None:
        self.freeze("ai")
        self.policy.write_text("# before\n")
        with mock.patch("freezing.allowed", return_value=["it is so"]):
            code, printed = self.admin("policy", "install", "--yes")
        self.assertEqual(code, 1)
        self.assertIn("NOT FROZEN any more: it is so", printed)

    def test_check_names_a_freeze_that_its_policy_does_not_carry(self) -> None:
        self.freeze()
        self.assertIn(("frozen", "world ai"), self.found())
        (self.home / "00-qmcp-frozen.policy").unlink()
        self.toml.write_text("nonsense")
        found = self.found()
        self.assertIn(("frozen", "world ai"), found)
        self.assertTrue(any("FROZEN ONLY IN PART" in what for what, _ in found))


class Stops(Freeze):
    def states(self) -> dict[str, str]:
        return {name: self.qubesd.states[name] for name in ("ai-one", "ai-two", "half", "work")}

    def network(self, name: str) -> str | None:
        return self.qubesd.qubes[name][2].get("netvm")

    def test_a_freeze_says_what_still_runs(self) -> None:
        self.assertIn("still running: ai-one, ai-two, half, work;", self.freeze())
        self.assertEqual(
            self.states(),
            {"ai-one": "Running", "ai-two": "Paused", "half": "Running", "work": "Running"},
        )

    def test_pause_pauses_all_that_runs_with_a_tag_of_the_world_and_thaw_resumes_just_that(
        self,
    ) -> None:
        for text in (self.toml.read_text(), "nonsense"):
            self.toml.write_text(text)
            before = self.qubesd.truth()
            self.freeze("--pause")
            self.assertEqual(set(self.states().values()), {"Paused"})
            self.assertEqual(self.qubesd.states["vault"], "Halted")
            self.assertIn("resumed: ai-one", self.thaw())
            self.assertEqual(self.qubesd.truth(), before)

    def test_cut_takes_each_off_its_network_and_thaw_puts_each_back_on_its_own(self) -> None:
        before = self.qubesd.truth()
        self.freeze("ai", "--cut", "--pause")
        self.assertEqual((self.network("ai-one"), self.network("ai-two")), ("", ""))
        self.assertEqual(self.network("vault"), "")
        self.freeze("--cut")
        self.assertEqual(self.thaw("ai").splitlines(), ["thawed: ai", "still frozen: all"])
        self.assertEqual(self.network("ai-one"), "")
        self.assertIn("back on its network: ai-one", self.thaw())
        self.assertEqual(self.qubesd.truth(), before)
        self.assertFalse(list((self.root / "var/lib/qmcp/stopped").iterdir()))

    def test_kill_halts_all_of_them_and_they_stay_halted(self) -> None:
        self.freeze("--kill")
        self.assertEqual(set(self.states().values()), {"Halted"})
        self.thaw()
        self.assertEqual(set(self.states().values()), {"Halted"})

    def test_the_principal_and_every_other_qube_run_on(self) -> None:
        for name in ("mcp-control", "vault"):
            self.qubesd.states[name] = "Running"
        self.qubesd.qubes["mcp-control"][0].add("ai-managed")
        self.freeze("--pause", "--cut", "--kill")
        self.assertEqual(self.qubesd.states["mcp-control"], "Running")
        self.assertEqual(self.qubesd.states["vault"], "Running")

    def test_one_that_cannot_be_stopped_is_named_in_a_line_with_capitals_and_keeps_no_other(
        self,
    ) -> None:
        self.qubesd.states["ai-one"] = "Transient"
        code, printed = self.admin("freeze", "--pause")
        self.assertEqual(code, 1)
        self.assertIn("NOT STOPPED: some qubes may still run, because ai-one is Transient", printed)
        self.assertEqual(self.qubesd.states["work"], "Paused")
        self.assertFalse(self.allowed())

    def test_a_freeze_without_qubesd_is_a_freeze_and_says_that_it_stopped_nothing(self) -> None:
        with mock.patch("freezing.open_qubesd", side_effect=OSError("qubesd is gone")):
            code, printed = self.admin("freeze", "--kill")
        self.assertEqual(code, 1)
        self.assertIn("NOT STOPPED: some qubes may still run, because qubesd is gone", printed)
        self.assertFalse(self.allowed())

    def test_what_a_person_changed_meanwhile_stays_as_they_left_it(self) -> None:
        self.freeze("--pause", "--cut")
        self.qubesd.states["work"] = "Halted"
        self.qubesd.qubes["ai-one"][2]["netvm"] = "sys-other"
        self.qubesd.qubes["ai-two"][0].clear()
        self.assertIn("changed since the freeze, and left as it is: work", self.thaw())
        self.assertEqual(self.qubesd.states["work"], "Halted")
        self.assertEqual(self.network("ai-one"), "sys-other")
        self.assertEqual(self.network("ai-two"), "")

    def test_another_qube_of_that_name_is_not_the_one_that_was_stopped(self) -> None:
        self.qubesd.qubes["ai-one"][2]["uuid"] = "1"
        self.freeze("--pause", "--cut")
        self.qubesd.qubes["ai-one"][2]["uuid"] = "2"
        self.thaw()
        self.assertEqual((self.qubesd.states["ai-one"], self.network("ai-one")), ("Paused", ""))

    def test_what_cannot_be_resumed_stays_on_record_until_it_can(self) -> None:
        self.freeze("--pause")
        with mock.patch.object(self.qubesd, "change_power", side_effect=OSError("not now")):
            code, printed = self.admin("thaw")
        self.assertEqual(code, 1)
        self.assertIn("NOT RESUMED: some qubes are still as the freeze left them, because", printed)
        self.assertIn(("still paused by a freeze that is over", "ai-one, half, work"), self.found())
        self.thaw()
        self.assertEqual(self.qubesd.states["ai-one"], "Running")
        self.assertNotIn("by a freeze", str(self.found()))

    def test_what_was_stopped_is_on_the_disk_before_it_is_stopped(self) -> None:
        directory, before = self.root / "var/lib/qmcp/stopped", self.qubesd.truth()
        for left in range(100):
            self.qubesd.left = left
            try:
                self.admin("freeze", "--pause", "--cut")
            except Killed:
                self.qubesd.left = None
                stopped = {
                    json.loads(path.read_text())["qube"] for path in directory.glob("*.intent")
                }
                now = self.qubesd.truth()
                self.assertLessEqual({name for name in now if now[name] != before[name]}, stopped)
                self.assertFalse(self.allowed())
                self.freeze("--pause", "--cut")
                self.assertEqual(set(self.states().values()), {"Paused"})
                self.thaw()
                self.assertEqual(self.qubesd.truth(), before)
                continue
            self.assertGreater(left, 20)
            return
        raise AssertionError("it does not end")
