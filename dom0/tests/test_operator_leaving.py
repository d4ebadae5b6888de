import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest import mock

from .host import Dom0


class Leaving(Dom0):
    """A qube that leaves a world while an agent's programs may run in it."""

    def setUp(self) -> None:
        super().setUp()
        self.qubesd.states["work"] = "Running"
        self.happened: list[str] = []
        for method in ("halt", "tag", "untag"):
            original = getattr(self.qubesd, method)

            async def recorded(
                name: str,
                *arguments: str,
                of: Callable[..., Awaitable[None]] = original,
                what: str = method,
            ) -> None:
                self.happened.append(" ".join([what, *arguments]))
                await of(name, *arguments)

            setattr(self.qubesd, method, recorded)

    def test_expel_takes_authority_then_kills_and_only_then_takes_the_tags_that_close_it(
        self,
    ) -> None:
        shown = self.admin("expel", "work")[1]
        self.assertIn("it runs, and an agent's programs may run in it: it is killed first", shown)
        self.assertEqual(self.happened, [])
        self.assertEqual(self.admin("expel", "work", "--yes")[0], 0)
        self.assertEqual(self.happened, ["untag ai-exec", "halt", "untag ai-managed"])

    def test_a_halted_qube_is_not_killed(self) -> None:
        self.qubesd.states["work"] = "Halted"
        self.assertNotIn("killed", self.admin("expel", "work")[1])
        self.admin("expel", "work", "--yes")
        self.assertNotIn("halt", self.happened)

    def test_one_that_does_not_halt_stays_closed(self) -> None:
        with mock.patch.object(self.qubesd, "halt", side_effect=TimeoutError("work does not halt")):
            code, _ = self.admin("expel", "work", "--yes")
        self.assertEqual(code, "qmcp-admin: work does not halt")
        self.assertEqual(self.tags(), {"ai-managed"})
        self.assertIn("qmcp-admin expel work", self.admin("check")[1])
        self.assertEqual(self.admin("expel", "work", "--yes")[0], 0)
        self.assertEqual(self.tags(), set())

    def test_one_that_gives_others_their_network_is_not_killed_but_stays_closed_and_unseen(
        self,
    ) -> None:
        self.qubesd.qubes["work"][2]["provides_network"] = "True"
        code, printed = self.admin("expel", "work", "--yes")
        self.assertEqual(code, 1)
        self.assertIn("NOT EXPELLED: work: it runs and others need it: it is not killed", printed)
        self.assertEqual((self.tags(), self.qubesd.states["work"]), ({"ai-tombstone"}, "Running"))
        self.assertIn("was expelled from ai and ran then", self.admin("check")[1])
        self.qubesd.states["work"] = "Halted"
        self.assertEqual(self.admin("expel", "work", "--yes")[0], 0)
        self.assertEqual(self.tags(), set())

    def test_a_tag_that_changed_while_the_operator_was_asked_is_not_written_over(self) -> None:
        def answered(_: str) -> str:
            self.qubesd.qubes["work"][0].add("ai-guard")
            return "yes"

        with (
            mock.patch("sys.stdin.isatty", return_value=True),
            mock.patch("builtins.input", side_effect=answered),
        ):
            code, printed = self.admin("expel", "work")
        self.assertEqual(code, 1)
        self.assertIn("NOT DONE: work was changed meanwhile; run this again", printed)
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec", "ai-guard"})
        self.assertEqual(self.happened, [])

    def test_an_agent_that_removes_a_qube_does_not_keep_the_operator_from_expelling_it(
        self,
    ) -> None:
        def answered(_: str) -> str:
            self.qubesd.qubes["work"][0].add("ai-tombstone")
            return "yes"

        with (
            mock.patch("sys.stdin.isatty", return_value=True),
            mock.patch("builtins.input", side_effect=answered),
        ):
            code, _ = self.admin("expel", "work")
        self.assertEqual(code, 0)
        self.assertEqual(self.tags(), set())

    def test_a_membership_that_ends_while_the_qube_runs_keeps_it_closed_until_it_has_halted(
        self,
    ) -> None:
        self.qubesd.states["vault"] = "Running"
        self.admin("enroll", "vault", "--world", "ai", "--tier", "net", "--for", "1h", "--yes")
        code, printed = self.admin("expire", "--all")
        self.assertEqual(code, 0)
        self.assertIn("revoked but for its membership, at read, while it runs: vault", printed)
        self.assertEqual(self.tags("vault"), {"ai-managed"})
        self.assertEqual(self.admin("expire", "--all"), (0, "No grant has ended.\n"))
        self.qubesd.states["vault"] = "Halted"
        self.assertEqual(self.admin("expire", "--all"), (0, "revoked: vault\n"))
        self.assertEqual(self.tags("vault"), set())

    def test_a_tier_that_ends_while_the_qube_runs_ends_at_once(self) -> None:
        self.admin("tier", "work", "full", "--for", "1h", "--yes")
        self.assertEqual(self.admin("expire", "--all"), (0, "revoked: work\n"))
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})


class Reaping(Dom0):
    def test_a_qube_that_was_restored_while_the_operator_was_asked_is_not_deleted(self) -> None:
        for name in ("one", "two"):
            self.qubesd.add(name, "ai-managed", "ai-exec", "ai-tombstone")
            self.qubesd.qubes[name][1]["qmcp-entombed"] = "1000000000"

        def answered(_: str) -> str:
            self.qubesd.qubes["one"][0].discard("ai-tombstone")
            return "yes"

        with (
            mock.patch("sys.stdin.isatty", return_value=True),
            mock.patch("builtins.input", side_effect=answered),
        ):
            self.assertEqual(self.admin("reap")[0], 0)
        self.assertEqual({"one", "two"} & set(self.qubesd.qubes), {"one"})


class Checking(Dom0):
    def rows(self) -> list[dict[str, str]]:
        return self.json("check")[1]

    def test_no_fix_takes_the_network_from_what_gives_it_to_others(self) -> None:
        self.qubesd.add(
            "sys-firewall", "ai-managed", provides_network="True", netvm="sys-net", state="Running"
        )
        self.qubesd.add("sys-net", "ai-managed", "ai-full", provides_network="True")
        fixes = {row["fix"] for row in self.rows()}
        self.assertEqual(fixes, {"qmcp-admin expel sys-firewall", "qmcp-admin expel sys-net"})

    def test_what_has_one_cause_is_one_row(self) -> None:
        for name in ("qmcp.spawn.Start", "qmcp.spawn.Kill", "qmcp.Catalog"):
            (self.root / "etc/qubes-rpc" / name).unlink()
        (row,) = self.rows()
        for name in ("qmcp.spawn.Start", "qmcp.spawn.Kill", "qmcp.Catalog"):
            self.assertIn(f"etc/qubes-rpc/{name}", row["where"])
        (self.root / "etc/qubes-rpc/qmcp.Catalog").symlink_to("../../run/qmcp/qmcpd.sock")
        (row,) = self.rows()
        files = "/etc/qmcp/contracts/qmcp.spawn.Kill.json /etc/qmcp/contracts/qmcp.spawn.Start.json"
        self.assertEqual(row["fix"], f"qmcp-dom0 recover; qmcp-admin contract install {files}")

    def test_one_line_that_breaks_several_claims_is_one_row(self) -> None:
        (self.root / "etc/qubes/policy.d/10-mine.policy").write_text("* * @anyvm @adminvm allow\n")
        rows = [row for row in self.rows() if row["where"].endswith("10-mine.policy:1")]
        self.assertEqual(len(rows), 1)
        self.assertGreater(rows[0]["what"].count("does not hold"), 2)


class LosingAWorld(Dom0):
    def test_a_world_is_not_dropped_from_the_policy_while_a_qube_has_its_tags(self) -> None:
        toml = self.root / "etc/qmcp/qmcp.toml"
        toml.write_text(toml.read_text().replace("world.ai", "world.lab"))
        (self.root / "run").mkdir()
        (self.root / "run/qubesd.sock").touch()
        self.qubesd.qubes["mcp-control"][1]["tag-created-vm-with"] = "lab-managed"
        before = self.policy.read_text()
        code, printed = self.admin("policy", "install", "--yes")
        self.assertEqual((code, self.policy.read_text()), (1, before))
        self.assertIn("a qube with a tag of the world ai stays closed", printed)
        self.assertIn("qmcp-admin expel work", printed)
        self.qubesd.qubes["work"][0].clear()
        self.assertEqual(self.admin("policy", "install", "--yes")[0], 0)


class CommonOptions(Dom0):
    def test_root_yes_and_json_may_stand_before_and_after_every_command(self) -> None:
        import verbs

        root = ["--root", str(self.root)]
        for words in (["status"], ["contract", "list"], ["audit", "tail"], ["expel", "work"]):
            for before in (root, ["--json", "--yes", *root], [f"--root={self.root}", "--json"]):
                for after in ([], ["--json"], ["--yes"]):
                    with self.subTest(words=words, before=before, after=after):
                        self.assertIsInstance(verbs._parsed([*before, *words, *after]).root, Path)
                        parsed = verbs._parsed([*words, *after, *before])
                        self.assertEqual(parsed.root, self.root)
                        self.assertEqual(parsed.json, "--json" in [*before, *after])
                        self.assertEqual(parsed.yes, "--yes" in [*before, *after])
                        self.assertEqual(parsed.command_line, " ".join(["qmcp-admin", *words]))

    def test_every_command_takes_them(self) -> None:
        import verbs

        for verb in verbs.TABLE["verb"]:
            with self.subTest(verb), mock.patch("sys.stdout") as out, self.assertRaises(SystemExit):
                verbs.main([*verb.split(), "--help"])
            printed = "".join(call.args[0] for call in out.write.call_args_list)
            for option in ("--root", "--yes", "--json"):
                self.assertIn(option, printed)

    def test_a_command_that_was_interrupted_is_named_as_it_was_typed(self) -> None:
        with mock.patch.object(self.qubesd, "tag", side_effect=OSError("qubesd is gone")):
            self.admin("tier", "work", "full", "--yes", "--json")
        rows = self.json("check")[1]
        self.assertIn(("work", "qmcp-admin tier work full"), [(r["where"], r["fix"]) for r in rows])
        self.assertEqual(self.admin("tier", "work", "full", "--yes")[0], 0)
        self.assertNotIn("interrupted", json.dumps(self.json("check")[1]))
