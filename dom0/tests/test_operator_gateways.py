import os
import tomllib
from typing import Any

from tests.host import Dom0, Outcome

OPEN = 'to = "*"'


class Gateways(Dom0):
    def setUp(self) -> None:
        super().setUp()
        self.toml = self.root / "etc/qmcp/qmcp.toml"
        self.qubesd.add("sys-vpn", provides_network="True", netvm="sys-ai-net")
        self.qubesd.qubes["sys-vpn"].features["qubes-firewall"] = "1"

    def declared(self) -> dict[str, Any]:
        return tomllib.loads(self.toml.read_text())["world"]["ai"]["gateway"]

    def gateway(self, *words: str) -> Outcome:
        return self.admin("gateway", *words, "--world", "ai", "--yes")

    def row(self, name: str) -> dict[str, Any]:
        return next(one for one in self.json("gateway", "list")[1] if one["gateway"] == name)

    def refused(self, *words: str) -> str:
        before = self.everything()
        code, _ = self.gateway(*words)
        self.assertEqual(self.everything(), before)
        return str(code)

    def test_a_gateway_that_is_added_changes_its_own_table_and_no_other_line(self) -> None:
        before = self.toml.read_text()
        code, printed = self.gateway("add", "sys-vpn", "--label", 'a "label"')
        self.assertEqual(code, 0, printed)
        added = '\n[world.ai.gateway.sys-vpn]\nlabel = "a \\"label\\""\n'
        self.assertEqual(self.toml.read_text(), before.rstrip("\n") + "\n" + added)
        self.assertIn("sys-vpn", self.policy.read_text())
        self.assertEqual(self.admin("check")[0], 0)
        self.assertEqual(self.gateway("remove", "sys-vpn")[0], 0)
        self.assertEqual(self.toml.read_text().rstrip("\n"), before.rstrip("\n"))
        self.assertNotIn("sys-vpn", self.policy.read_text())

    def test_a_gateway_that_is_changed_keeps_its_other_keys_and_comments(self) -> None:
        self.assertEqual(self.gateway("change", "sys-ai-net", "--filters", "off")[0], 0)
        self.assertEqual(self.declared(), {"sys-ai-net": {"filters": False}})
        self.assertIn("# It applies the outbound rules of the qubes on it.", self.toml.read_text())
        self.gateway("change", "sys-ai-net", "--label", "home")
        self.assertEqual(self.declared(), {"sys-ai-net": {"filters": False, "label": "home"}})
        code, printed = self.gateway("change", "sys-ai-net", "--label", "home")
        self.assertEqual((code, printed), (0, "Nothing changes.\n"))

    def test_the_file_keeps_its_mode(self) -> None:
        os.chmod(self.toml, 0o640)
        self.gateway("add", "sys-vpn")
        self.assertEqual(self.toml.stat().st_mode & 0o777, 0o640)

    def test_what_is_no_network_qube_of_the_host_does_not_become_a_gateway(self) -> None:
        self.qubesd.add("sys-mine", "ai-managed", provides_network="True")
        for name, why in (
            ("no-such", "there is no such qube"),
            ("sys-vpm", "did you mean sys-vpn"),
            ("vault", "it provides no network"),
            ("sys-mine", "first run qmcp-admin expel sys-mine"),
        ):
            self.assertIn(why, self.refused("add", name), name)

    def test_a_gateway_that_is_declared_is_added_again_only_as_it_is(self) -> None:
        self.assertIn("already", self.refused("add", "sys-ai-net", "--label", "other"))
        self.admin("policy", "install", "--yes")
        self.assertEqual(self.gateway("add", "sys-ai-net"), (0, "Nothing changes.\n"))
        self.assertEqual(self.gateway("remove", "vault"), (0, "Nothing changes.\n"))
        self.assertIn("did you mean sys-ai-net", self.refused("remove", "sys-ai-nat"))

    def test_a_gateway_that_does_not_filter_needs_a_ceiling_of_everything(self) -> None:
        self.toml.write_text(self.toml.read_text().replace(OPEN, 'to = "10.0.0.0/8"'))
        for words in (("add", "sys-vpn"), ("change", "sys-ai-net")):
            self.assertIn("or a ceiling of everything", self.refused(*words, "--filters", "off"))

    def test_a_gateway_in_use_is_not_removed(self) -> None:
        self.assertIn("birth_gateway", self.refused("remove", "sys-ai-net"))
        self.gateway("add", "sys-vpn")
        self.qubesd.qubes["work"].properties["netvm"] = "sys-vpn"
        self.assertIn("in use, by work", self.refused("remove", "sys-vpn"))
        self.qubesd.qubes["work"].properties["netvm"] = ""
        self.qubesd.qubes["work"].features["qmcp-network"] = "sys-vpn"
        self.assertIn("in use, by work", self.refused("remove", "sys-vpn"))
        del self.qubesd.qubes["work"].features["qmcp-network"]
        self.assertEqual(self.gateway("remove", "sys-vpn")[0], 0)

    def test_a_table_in_another_form_is_left_to_the_operator(self) -> None:
        text = self.toml.read_text()
        inline = text.replace(
            "[world.ai.gateway.sys-ai-net]", "[world.ai.gateway]\nsys-ai-net = {}"
        )
        self.toml.write_text(inline.replace("\nfilters = true\n", "\n"))
        for words in (("change", "sys-ai-net", "--label", "x"), ("add", "sys-vpn")):
            code = self.refused(*words) if words[0] == "change" else self.gateway(*words)[0]
            self.assertTrue(code == 0 or "edit it by hand" in str(code), code)

    def test_a_gateway_is_shown_with_what_it_does_where_it_leads_and_who_uses_it(self) -> None:
        self.qubesd.qubes["work"].properties["netvm"] = "sys-ai-net"
        self.assertEqual(
            self.row("sys-ai-net"),
            {
                "gateway": "sys-ai-net",
                "world": "ai",
                "label": "",
                "state": "Halted",
                "rules": "applies the rules of the qubes on it",
                "anonymity": "none that dom0 can see",
                "upstream": "the outside",
                "used by": ["work"],
            },
        )
        self.gateway("add", "sys-vpn", "--filters", "off", "--anonymising", "on")
        self.assertIn("Whonix", self.row("sys-vpn")["rules"])
        self.qubesd.qubes["sys-ai-net"].features["whonix-gw"] = "1"
        row = self.row("sys-vpn")
        self.assertEqual(row["rules"], "by qmcp.toml, does not apply the rules of the qubes on it")
        self.assertEqual(row["anonymity"], "to Tor, in sys-ai-net")
        self.assertEqual(row["upstream"], "sys-ai-net")
        self.assertIn("CANNOT BE USED: it is a Whonix gateway", self.row("sys-ai-net")["rules"])
        del self.qubesd.qubes["sys-vpn"]
        self.assertEqual(self.row("sys-vpn")["state"], "missing")

    def test_what_tells_where_an_anonymous_world_is_is_a_problem(self) -> None:
        text = self.toml.read_text().replace("filters = true\n", "anonymising = true\n")
        self.toml.write_text(
            text.replace("[world.ai]\n", '[world.ai]\nanonymous = true\nupdates = "sys-vpn"\n')
        )
        self.assertEqual(self.admin("policy", "install", "--yes")[0], 0)
        self.qubesd.qubes["sys-vpn"].properties["netvm"] = ""
        self.qubesd.add("sys-tor", provides_network="True")
        self.qubesd.qubes["sys-tor"].features["whonix-gw"] = "1"
        self.qubesd.qubes["sys-ai-net"].properties["netvm"] = "sys-tor"
        self.qubesd.add("debian", klass="TemplateVM", netvm="")
        self.qubesd.qubes["work"].properties.update(netvm="sys-ai-net", template="debian")

        def told() -> list[str]:
            return [one["where"] for one in self.json("check")[1] if "anonymous" in one["what"]]

        self.assertEqual(told(), ["sys-vpn"])
        self.qubesd.qubes["sys-vpn"].properties["netvm"] = "sys-tor"
        self.assertEqual(told(), [])
        self.qubesd.add("sys-clear", provides_network="True")
        self.qubesd.qubes["debian"].properties["netvm"] = "sys-clear"
        self.assertEqual(told(), ["sys-clear"])
        self.qubesd.qubes["debian"].properties["netvm"] = ""
        self.qubesd.qubes["sys-ai-net"].properties["netvm"] = ""
        self.assertEqual(told(), ["sys-ai-net"])

    def test_a_gateway_that_is_not_as_declared_is_a_problem_with_a_fix(self) -> None:
        self.assertEqual(self.admin("check")[0], 0)
        self.qubesd.qubes["sys-ai-net"].features.clear()
        code, (problem,) = self.json("check")
        self.assertEqual((code, problem["where"]), (1, "sys-ai-net"))
        self.assertIn("neither it nor its template has the feature", problem["what"])
        self.assertIn("qmcp-admin gateway", problem["fix"])
