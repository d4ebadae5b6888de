import re

from .host import Dom0

FAR = "is used outside of the world"


class Enroll(Dom0):
    def setUp(self) -> None:
        super().setUp()
        host = self.qubesd
        host.add("debian", klass="TemplateVM")
        host.add("ai-base", klass="TemplateVM")
        host.add("sys-net", state="Running", provides_network="True")
        host.add("personal", template="debian", netvm="sys-net")
        host.qubes["vault"][2]["template"] = "debian"
        host.qubes["mcp-control"][2]["template"] = "debian"
        host.qubes["work"][2]["template"] = "ai-base"

    def refused(self, *words: str) -> str:
        """The message of a command that changes nothing."""
        before = self.everything()
        code, printed = self.admin(*words, "--yes")
        self.assertNotEqual(code, 0, printed)
        self.assertEqual(self.everything(), before)
        return printed if code == 1 else str(code)

    def enroll(self, name: str, *words: str) -> tuple[str, ...]:
        return ("enroll", name, "--world", "ai", *words)


class Refused(Enroll):
    def test_no_command_gives_agents_a_qube_that_the_host_or_its_network_depends_on(self) -> None:
        for name in ("dom0", "mcp-control", "sys-ai-net"):
            self.qubesd.add(name) if name == "dom0" else None
            self.assertIn(f"{name} cannot be enrolled", self.refused(*self.enroll(name)))
        self.assertIn("it provides network to other", self.refused(*self.enroll("sys-net")))
        for key in (
            "default_template",
            "default_netvm",
            "clockvm",
            "updatevm",
            "default_dispvm",
            "management_dispvm",
        ):
            with self.subTest(key):
                self.qubesd.defaults = {key: "vault"}
                self.assertIn(f"it is the host's {key}", self.refused(*self.enroll("vault")))

    def test_agreeing_to_qubes_outside_does_not_lift_what_is_never_given(self) -> None:
        self.qubesd.defaults = {"default_template": "debian"}
        agreed = ("--shared-with", "personal", "vault", "mcp-control")
        self.assertIn("default_template", self.refused(*self.enroll("debian", *agreed)))

    def test_what_is_never_given_is_not_given_by_a_higher_tier_or_a_lifted_guard_either(
        self,
    ) -> None:
        self.qubesd.qubes["work"][2]["provides_network"] = "True"
        self.qubesd.qubes["work"][0].add("ai-guard")
        for words in (("tier", "work", "full"), ("guard", "work", "--off")):
            if words[0] == "tier":
                self.qubesd.qubes["work"][0].discard("ai-guard")
            self.assertIn("it provides network to other", self.refused(*words))
            self.qubesd.qubes["work"][0].add("ai-guard")
        self.qubesd.qubes["work"][0].discard("ai-guard")
        self.assertEqual(self.admin("tier", "work", "read", "--yes")[0], 0)
        self.assertEqual(self.admin("expel", "work", "--yes")[0], 0)

    def test_a_template_is_given_at_read_only(self) -> None:
        for tier in ("exec", "net", "full"):
            words = self.enroll("ai-base", "--tier", tier)
            self.assertIn("it is a template: agents build on it at read", self.refused(*words))
        self.assertEqual(self.admin(*self.enroll("ai-base"), "--yes")[0], 0)
        self.assertEqual(self.tags("ai-base"), {"ai-managed", "ai-source"})
        for words in (("tier", "ai-base", "full"), ("manage", "ai-base", "--tier", "exec")):
            self.assertIn("it is a template", self.refused(*words))

    def test_only_a_template_is_given_to_build_on_at_read(self) -> None:
        self.assertIn("work is not a template", self.refused("manage", "work", "--source", "on"))


class Explained(Enroll):
    def test_each_qube_outside_that_uses_it_is_named_with_what_an_agent_gains_over_it(self) -> None:
        self.qubesd.add("browser", guivm="personal", audiovm="personal", default_dispvm="personal")
        self.qubesd.add("managed", management_dispvm="personal")
        self.qubesd.add("ai-one", "ai-managed", netvm="personal")
        said = self.refused(*self.enroll("personal", "--tier", "exec"))
        self.assertIn(f"personal {FAR}", said)
        for sentence in (
            "browser has its screen there: an agent could see its windows and type into them",
            "browser has its sound there: an agent could hear what it plays and records",
            "browser makes its disposables of it: an agent could run code in each of them",
            "managed is managed from disposables of it: an agent could run code in it as root",
        ):
            self.assertIn(sentence, said)
        self.assertNotIn("ai-one", said)
        self.assertIn("--shared-with browser managed", said)

    def test_it_is_given_once_each_of_them_is_named_and_not_before(self) -> None:
        said = self.refused(*self.enroll("debian"))
        self.assertEqual(
            re.findall(r"(\S+) is built on it", said), ["mcp-control", "personal", "vault"]
        )
        self.assertIn("at read, an agent changes nothing", said)
        self.refused(*self.enroll("debian", "--shared-with", "personal", "vault"))
        words = self.enroll("debian", "--shared-with", "personal", "vault", "mcp-control")
        shown = self.admin(*words)[1]
        self.assertIn("personal is built on it", shown)
        self.assertEqual(self.admin(*words, "--yes")[0], 0)
        self.assertEqual(self.tags("debian"), {"ai-managed", "ai-source"})

    def test_a_qube_that_nothing_outside_uses_needs_no_more_than_a_yes(self) -> None:
        self.assertNotIn("outside", self.admin(*self.enroll("personal", "--tier", "exec"))[1])
        self.assertEqual(self.admin(*self.enroll("personal", "--tier", "exec"), "--yes")[0], 0)

    def test_what_gives_agents_less_is_never_refused(self) -> None:
        self.qubesd.qubes["work"].tags.add("ai-full")
        self.qubesd.add("other", guivm="work")
        for words in (("guard", "work"), ("tier", "work", "read"), ("expel", "work")):
            self.assertEqual(self.admin(*words, "--yes")[0], 0, words)
