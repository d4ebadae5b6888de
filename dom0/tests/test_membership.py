import unittest

from settings.config import World
from tests.host import Dom0

TABLE = {"prefix": "ai-", "principal": {"mcp-control": {}}, "guarded": ["ai-sealed"]}
WORLD = World("ai", TABLE, others=["lab"])


def is_to_the_world(klass: str, *tags: str) -> tuple[str, str | None]:
    return WORLD.membership(klass, frozenset(tags))["is"], WORLD.reach(klass, frozenset(tags))


class Table(unittest.TestCase):
    """Tags as they are on a host: a typing error in the spec must not be in both."""

    def test_a_qube_is_what_its_tags_and_its_class_say(self) -> None:
        for klass, tags, what, tier in (
            ("AppVM", "", "outside", None),
            ("AppVM", "ai-managed", "member", "read"),
            ("TemplateVM", "ai-managed ai-full", "member", "full"),
            ("AppVM", "ai-managed ai-exec ai-net", "member", "net"),
            ("AppVM", "ai-managed ai-dump", "member", "read"),
            ("AppVM", "ai-managed ai-full ai-guard", "guarded", "read"),
            ("AppVM", "ai-managed ai-full ai-tombstone", "tombstone", None),
            ("AppVM", "ai-tombstone", "outside", None),
            ("AppVM", "ai-managed created-by-mcp-control", "half-born", None),
            ("AppVM", "ai-managed created-by-mcp-control ai-full", "half-born", None),
            ("AppVM", "ai-managed created-by-mcp-control ai-full ai-born", "member", "full"),
            ("AppVM", "ai-managed created-by-somebody ai-full", "member", "full"),
            ("AppVM", "created-by-mcp-control", "outside", None),
            ("DispVM", "ai-managed ai-full", "half-born", None),
            ("DispVM", "ai-managed ai-full ai-disp-exec", "disposable", "exec"),
            ("DispVM", "ai-managed ai-disp-read", "disposable", "read"),
            ("DispVM", "ai-disp-full", "half-enrolled", None),
            ("AppVM", "ai-exec", "half-enrolled", None),
            ("AppVM", "ai-born ai-dump", "half-enrolled", None),
            ("AppVM", "ai-dump", "sink", None),
            ("AppVM", "ai-dump ai-guard", "outside", None),
            ("DispVM", "ai-dump", "outside", None),
            ("AppVM", "ai-guard ai-egress-lock anon-vm", "outside", None),
            ("AppVM", "ai-managed ai-full lab-dump", "elsewhere", None),
            ("AppVM", "ai-managed lab-managed", "elsewhere", None),
            ("AppVM", "lab-managed lab-full", "elsewhere", None),
            ("AppVM", "ai-managed lab-unheard-of", "member", "read"),
        ):
            with self.subTest(klass=klass, tags=tags):
                self.assertEqual(is_to_the_world(klass, *tags.split()), (what, tier))

    def test_a_world_that_is_alone_goes_by_its_own_tags(self) -> None:
        alone = World("ai", TABLE)
        tags = frozenset({"ai-managed", "lab-managed"})
        self.assertEqual(alone.membership("AppVM", tags)["is"], "member")


class Told(Dom0):
    def strays(self) -> None:
        self.qubesd.add("stray", "ai-exec", "note")
        self.qubesd.add("half", "ai-managed", "ai-full", "created-by-mcp-control")

    def test_check_names_every_qube_that_has_tags_of_a_world_and_is_not_the_world_s(self) -> None:
        self.assertEqual(self.admin("check"), (0, "No problem was found.\n"))
        self.strays()
        code, found = self.json("check")
        said = {(row["where"], row["what"]) for row in found}
        self.assertEqual(code, 1)
        self.assertEqual(
            said,
            {
                ("stray", "is half-enrolled: it has ai-exec, and belongs to nobody"),
                ("half", "is half-born: it has ai-full, and belongs to nobody"),
            },
        )

    def test_lint_names_them_too_and_the_policy_can_be_installed_all_the_same(self) -> None:
        (self.root / "run").mkdir()
        (self.root / "run/qubesd.sock").touch()
        self.assertEqual(self.admin("policy", "lint")[0], 0)
        self.strays()
        code, rows = self.json("policy", "lint")
        self.assertEqual(code, 1)
        self.assertEqual(
            {(row["result"], row["for example"]) for row in rows if row["result"] != "holds"},
            {("half-enrolled", "stray: ai-exec"), ("half-born", "half: ai-full")},
        )
        self.policy.unlink()
        self.assertEqual(self.admin("policy", "install", "--yes")[0], 0)


class Order(Dom0):
    """Authority comes last and goes first: qmcpd takes it off what has it without the umbrella."""

    def changes(self, *words: str) -> list[str]:
        """The tags that a verb writes on `work`, in their order."""
        given, taken = self.qubesd.tag, self.qubesd.untag
        written: list[str] = []

        async def tagged(name: str, tag: str) -> None:
            written.append(f"+{tag}")
            await given(name, tag)

        async def untagged(name: str, tag: str) -> None:
            written.append(f"-{tag}")
            await taken(name, tag)

        self.qubesd.tag, self.qubesd.untag = tagged, untagged
        self.assertEqual(self.admin(*words, "--yes")[0], 0)
        self.qubesd.tag, self.qubesd.untag = given, taken
        return written

    def test_the_umbrella_comes_before_what_gives_authority_and_goes_after_it(self) -> None:
        self.qubesd.add("made", "created-by-mcp-control")
        self.assertEqual(
            self.changes("enroll", "made", "--world", "ai", "--tier", "full"),
            ["+ai-managed", "+ai-born", "+ai-full"],
        )
        self.assertEqual(self.changes("expel", "made"), ["-ai-full", "-ai-born", "-ai-managed"])
        self.assertEqual(self.tags("made"), {"created-by-mcp-control"})

    def test_the_tombstone_of_a_removed_qube_goes_last_and_a_guard_comes_first(self) -> None:
        self.qubesd.add("gone", "ai-managed", "ai-full", "ai-tombstone", "ai-guard")
        self.assertEqual(
            self.changes("expel", "gone"), ["-ai-full", "-ai-managed", "-ai-tombstone", "-ai-guard"]
        )
        words = ("manage", "vault", "--world", "ai", "--tier", "net", "--guard", "on")
        self.assertEqual(self.changes(*words), ["+ai-guard", "+ai-managed", "+ai-net"])

    def test_what_is_half_a_world_s_can_be_taken_out_of_it(self) -> None:
        self.qubesd.add("stray", "ai-exec", "note")
        self.assertEqual(self.changes("expel", "stray"), ["-ai-exec"])
        self.qubesd.add("stray", "ai-exec", "note")
        code, _ = self.admin("tier", "stray", "full")
        self.assertIn("is in no world", str(code))
