from typing import Any

from tests.host import Dom0

REMOTE = "api.example.com:443"
RULES = (
    "action=accept dsthost=api.example.com proto=tcp dstports=443-443\n"
    "action=accept specialtarget=dns\naction=drop\n"
)


class Models(Dom0):
    def setUp(self) -> None:
        super().setUp()
        self.toml = self.root / "etc/qmcp/qmcp.toml"
        self.shipped = self.toml.read_text()
        (self.root / "run").mkdir()
        (self.root / "run/qubesd.sock").touch()
        self.qubesd.add("sys-firewall", provides_network="True")
        self.qubesd.qubes["sys-firewall"].features["qubes-firewall"] = "1"
        self.qubesd.add("ai-llm", template="debian")
        self.qubesd.add("debian", klass="TemplateVM")

    def model(self, model: str) -> None:
        self.toml.write_text(f"{self.shipped}model = {model}\n")
        code, printed = self.admin("policy", "install", "--yes")
        self.assertEqual(code, 0, printed)

    def desk(self, rules: str, network: str = "sys-firewall") -> None:
        self.qubesd.qubes["mcp-control"].properties["netvm"] = network
        self.qubesd.qubes["mcp-control"].features[""] = rules

    def problems(self) -> list[dict[str, Any]]:
        return self.json("check")[1]

    def test_a_principal_that_reaches_its_remote_model_and_nothing_else_is_no_problem(self) -> None:
        self.model(f'"{REMOTE}"')
        self.desk(RULES)
        self.assertEqual(self.problems(), [])

    def test_a_principal_that_reaches_more_than_its_remote_model_is_a_problem(self) -> None:
        self.model(f'"{REMOTE}"')
        for rules, words in (
            ("action=accept\n", "it reaches more: everything"),
            (RULES.replace("443-443", "1-443"), "it reaches more: api.example.com tcp 1-443"),
            (f"action=accept dst4=10.0.0.0/8\n{RULES}", "it reaches more: 10.0.0.0/8"),
            (f"action=accept comment=mine\n{RULES}", "a form that this cannot read"),
            ("action=drop\n", "cannot reach its model"),
        ):
            self.desk(rules)
            (problem,) = self.problems()
            self.assertEqual(problem["where"], "mcp-control", rules)
            self.assertIn(words, problem["what"])
        self.desk(RULES)
        self.qubesd.qubes["sys-firewall"].features.clear()
        self.assertIn("does not apply its rules", self.problems()[0]["what"])
        self.desk(RULES, "")
        self.assertIn("cannot reach its model", self.problems()[0]["what"])

    def test_a_model_on_this_host_gets_one_line_of_policy_and_the_principal_needs_no_network(
        self,
    ) -> None:
        self.model('{ qube = "ai-llm", port = 11434 }')
        lines = [
            line.split() for line in self.policy.read_text().splitlines() if "ConnectTCP" in line
        ]
        opened = ["qubes.ConnectTCP", "+11434", "mcp-control", "ai-llm", "allow", "autostart=no"]
        self.assertEqual(lines, [opened])
        self.assertEqual(self.problems(), [])
        self.desk(RULES)
        self.assertIn("its model is in ai-llm, and it reaches", self.problems()[0]["what"])

    def test_no_connection_is_opened_to_a_model_that_an_agent_can_change_or_that_has_a_network(
        self,
    ) -> None:
        self.model('{ qube = "ai-llm", port = 11434 }')
        model, template = self.qubesd.qubes["ai-llm"], self.qubesd.qubes["debian"]
        for change, undo, words in (
            (
                lambda: model.properties.update(netvm="sys-firewall"),
                lambda: model.properties.update(netvm=""),
                "has a network",
            ),
            (
                lambda: model.tags.add("ai-managed"),
                lambda: model.tags.discard("ai-managed"),
                "has tags of the world ai",
            ),
            (
                lambda: template.tags.update({"ai-managed", "ai-source"}),
                template.tags.clear,
                "agents of the world ai have its template debian",
            ),
        ):
            change()
            self.assertTrue(any(words in one["what"] for one in self.problems()), words)
            before = self.policy.read_text()
            code, printed = self.admin("policy", "install", "--yes")
            self.assertEqual((code, self.policy.read_text()), (1, before))
            self.assertIn(words, printed)
            undo()
        self.assertEqual(self.problems(), [])
        del self.qubesd.qubes["ai-llm"]
        self.assertIn("does not exist", self.problems()[0]["what"])

    def test_no_call_acts_on_a_model_or_on_the_qube_for_updates(self) -> None:
        self.model('{ qube = "ai-llm", port = 11434 }')
        self.toml.write_text(
            self.toml.read_text().replace("[world.ai]\n", '[world.ai]\nupdates = "sys-firewall"\n')
        )
        for name in ("ai-llm", "sys-firewall"):
            code, _ = self.admin("enroll", name, "--world", "ai", "--yes")
            self.assertIn("cannot be enrolled", str(code))

    def test_what_a_principal_reaches_is_shown_with_its_world(self) -> None:
        self.desk(RULES)
        (world,) = self.json("world", "ai")[1]
        self.assertEqual(world["plugins"][0]["reaches"], "api.example.com tcp 443, dns")
