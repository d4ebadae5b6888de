import json
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from .host import Dom0, Killed, Outcome

AUTHORITY = {"ai-managed", "ai-exec", "ai-net", "ai-full"}
FEATURE, ENTOMBED = "qmcp-grant", "qmcp-entombed"
BOOTTIME, NOW = 7, 1_000_000  # CLOCK_BOOTTIME of <time.h>, and what it shows


class Grants(Dom0):
    def setUp(self) -> None:
        super().setUp()
        clock = mock.patch("time.clock_gettime", lambda clock: {BOOTTIME: float(NOW)}[clock])
        clock.start()
        self.addCleanup(clock.stop)

    def files(self) -> list[Path]:
        return sorted((self.root / "var/lib/qmcp/grants").glob("*.intent"))

    def feature(self, name: str = "work") -> dict[str, str]:
        return self.qubesd.qubes[name][1]

    def give(self, *words: str) -> str:
        code, printed = self.admin(*(words or ("tier", "work", "full", "--for", "30m")), "--yes")
        self.assertEqual(code, 0, printed)
        return printed

    def change(self, **facts: object) -> None:
        """What is recorded of the grants, everywhere, as if it had been otherwise."""
        for path in self.files():
            path.write_text(json.dumps(json.loads(path.read_text()) | facts))
        for _, features, _ in self.qubesd.qubes.values():
            if FEATURE in features:
                features[FEATURE] = json.dumps(json.loads(features[FEATURE]) | facts)

    def over(self, ago: int = 1) -> None:
        self.change(over=NOW - ago)

    def expire(self, *words: str) -> Outcome:
        return self.admin("expire", *words)


class WhileItStands(Grants):
    def test_a_tier_for_a_while_is_added_and_the_one_it_has_stays(self) -> None:
        printed = self.give()
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec", "ai-full"})
        self.assertRegex(printed, r"until\n +\d{4}-\d\d-\d\d \d\d:\d\d, or the next boot\n")
        self.assertIn("keeps the clones and copies", printed)
        self.assertEqual(self.expire(), (0, "No grant has ended.\n"))
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec", "ai-full"})
        _, worlds = self.json("status")
        self.assertRegex(
            {qube["qube"]: qube for qube in worlds[0]["qubes"]}["work"]["until"], r"^\d{4}-.*Z$"
        )

    def test_it_is_shown_first_and_not_given_unasked(self) -> None:
        before = self.everything()
        code, printed = self.admin("tier", "work", "full", "--for", "2h")
        self.assertEqual(code, 1)
        self.assertIn("+ ai-full", printed)
        self.assertIn("Not done. To do it, add --yes", printed)
        self.assertEqual(self.everything(), before)

    def test_only_more_can_be_given_for_a_while(self) -> None:
        before = self.everything()
        for words in (
            ("guard", "work"),
            ("manage", "work", "--egress-lock", "on"),
            ("manage", "work", "--sink", "on"),
        ):
            code, _ = self.admin(*words, "--for", "1h", "--yes")
            self.assertRegex(str(code), "^qmcp-admin: --for only gives more")
        for time in ("30", "m", "0m", "-5m", "1w", "30m ", "99999d"):
            with mock.patch("sys.stderr"):
                self.assertEqual(self.admin("tier", "work", "full", f"--for={time}", "--yes")[0], 2)
        self.assertEqual(self.everything(), before)

    def test_longer_is_one_grant_and_not_two(self) -> None:
        self.give()
        self.give("tier", "work", "full", "--for", "2h")
        self.assertEqual(len(self.files()), 1)
        self.assertEqual(json.loads(self.files()[0].read_text())["over"], NOW + 7200)

    def test_the_next_word_for_good_ends_it(self) -> None:
        self.give()
        self.assertIn("ends a temporary grant", self.admin("tier", "work", "net", "--yes")[1])
        self.assertEqual(self.tags(), {"ai-managed", "ai-net"})
        self.assertEqual((self.files(), self.feature()), ([], {}))
        self.give()
        self.give("tier", "work", "full")
        self.assertEqual(self.expire("--all"), (0, "No grant has ended.\n"))
        self.assertEqual(self.tags(), {"ai-managed", "ai-full"})

    def test_to_look_at_a_qube_ends_nothing(self) -> None:
        self.give()
        before = self.everything()
        self.assertEqual(self.admin("manage", "work")[0], 0)
        self.assertEqual(self.everything(), before)


class WhenItIsOver(Grants):
    def test_it_is_taken_back_and_what_was_there_before_stays(self) -> None:
        self.give()
        self.over()
        self.assertIn("has what a grant gave", self.admin("check")[1])
        self.assertEqual(self.expire(), (0, "revoked: work\n"))
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})
        self.assertNotIn("has what a grant gave", self.admin("check")[1])
        self.assertEqual(self.expire(), (0, "No grant has ended.\n"))

    def test_a_whole_membership_and_a_lifted_guard_are_taken_back_too(self) -> None:
        self.give("enroll", "vault", "--world", "ai", "--tier", "net", "--for", "1h")
        self.assertEqual(self.tags("vault"), {"ai-managed", "ai-net"})
        self.admin("guard", "work", "--yes")
        self.give("guard", "work", "--off", "--for", "1h")
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})
        self.over()
        self.assertRegex(self.expire()[1], "^revoked: (vault, work|work, vault)\n$")
        self.assertEqual(
            (self.tags("vault"), self.tags()), (set(), {"ai-managed", "ai-exec", "ai-guard"})
        )

    def test_another_boot_ends_all_of_them(self) -> None:
        self.give()
        self.change(boot="another")
        self.assertEqual(self.expire(), (0, "revoked: work\n"))
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})

    def test_all_ends_all_of_them_and_so_does_a_kernel_that_does_not_say_which_boot_this_is(
        self,
    ) -> None:
        self.give()
        self.assertEqual(self.expire("--all"), (0, "revoked: work\n"))
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})
        self.give()
        with mock.patch("grants.boot", return_value=""):
            self.assertEqual(self.expire()[0], 0)
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})

    def test_no_clock_that_somebody_sets_has_a_say(self) -> None:
        self.give()
        with mock.patch("time.time", return_value=0.0):
            self.assertEqual(self.expire(), (0, "No grant has ended.\n"))
            self.over()
            self.assertEqual(self.expire(), (0, "revoked: work\n"))
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})

    def test_whatever_the_operator_changed_since_there_is_never_more_than_before(self) -> None:
        tags = self.qubesd.qubes["work"].tags
        for change in (set(), {"ai-managed"}, {"ai-exec"}, {"ai-full"}, AUTHORITY):
            tags.clear()
            tags.update(("ai-managed", "ai-exec"))
            self.give()
            tags ^= change
            before = self.tags()
            self.expire("--all")
            self.assertLessEqual(self.tags() & AUTHORITY, before & AUTHORITY, change)
            self.assertNotIn("ai-full", self.tags())

    def test_a_qube_that_is_gone_is_forgotten_and_keeps_no_other(self) -> None:
        self.give("enroll", "vault", "--world", "ai", "--for", "1h")
        self.give()
        del self.qubesd.qubes["vault"]
        self.over()
        self.assertEqual(self.expire()[0], 0)
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})
        self.assertEqual(self.files(), [])

    def test_a_qube_that_was_renamed_is_found(self) -> None:
        self.give()
        self.qubesd.qubes["work2"] = self.qubesd.qubes.pop("work")
        self.over()
        self.assertEqual(self.expire()[0], 0)
        self.assertEqual(self.tags("work2"), {"ai-managed", "ai-exec"})

    def test_a_removed_qube_has_it_taken_back_as_any_other_has_and_is_restored_without(
        self,
    ) -> None:
        self.give()
        self.feature()[ENTOMBED] = "1795000000"
        self.qubesd.qubes["work"].tags.add("ai-tombstone")
        self.over()
        self.assertEqual(self.expire(), (0, "revoked: work\n"))
        self.assertEqual((self.files(), self.feature()), ([], {ENTOMBED: "1795000000"}))
        self.admin("restore", "work", "--yes")
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})

    def test_a_file_that_is_no_grant_is_told_of_and_the_qube_itself_knows(self) -> None:
        self.give()
        self.over()
        self.files()[0].write_text("{")
        self.assertIn("is not a grant that can be read", self.admin("check")[1])
        self.assertEqual(self.expire(), (0, "revoked: work\n"))
        self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})


class Unreadable(Grants):
    def test_a_file_that_is_not_a_grant_keeps_no_other_grant_from_being_given_or_revoked(
        self,
    ) -> None:
        self.give("enroll", "vault", "--world", "ai", "--for", "1h")
        self.files()[0].write_text("{")
        self.give()
        self.over()
        self.assertEqual(self.expire()[0], 0)
        self.assertEqual((self.tags("vault"), self.tags()), (set(), {"ai-managed", "ai-exec"}))
        self.assertIn("is not a grant that can be read", self.admin("check")[1])


class KilledInTheMiddle(Grants):
    def killed_everywhere(
        self, words: tuple[str, ...], prepare: Callable[[], object], judge: Callable[[], None]
    ) -> int:
        """Kill it before each of its calls to qubesd, on a host of its own; then what is left is to be right. Returns how many."""
        for left in range(100):
            with self.subTest(left):
                self.doCleanups()
                self.setUp()
                prepare()
                self.qubesd.left = left
                try:
                    self.admin(*words)
                except Killed:
                    self.qubesd.left = None
                    judge()
                    continue
                return left
        raise AssertionError("it does not end")

    def test_giving_leaves_nothing_that_is_not_taken_back(self) -> None:
        def judge() -> None:
            if "ai-full" in self.tags() or "ai-guard" not in self.tags():
                self.assertEqual(len(self.files()), 1)  # it was on the disk before the first tag
            self.assertEqual(self.expire("--all")[0], 0)
            self.assertEqual(self.tags(), {"ai-managed", "ai-exec", "ai-guard"})

        words = ("manage", "work", "--guard", "off", "--tier", "full", "--for", "30m", "--yes")
        count = self.killed_everywhere(
            words, lambda: self.qubesd.qubes["work"][0].add("ai-guard"), judge
        )
        self.assertGreater(count, 4)

    def test_taking_back_is_finished_by_the_next_one(self) -> None:
        def prepare() -> None:
            self.give("manage", "work", "--tier", "full", "--for", "30m")
            self.change(boot="another")

        def judge() -> None:
            self.assertEqual(self.expire()[0], 0)
            self.assertEqual(self.tags(), {"ai-managed", "ai-exec"})

        self.assertGreater(self.killed_everywhere(("expire",), prepare, judge), 6)

    def test_a_change_for_good_leaves_less_than_either_or_something_that_is_taken_back(
        self,
    ) -> None:
        def judge() -> None:
            self.assertEqual(self.expire("--all")[0], 0)
            self.assertLessEqual(self.tags() & AUTHORITY, {"ai-managed", "ai-exec", "ai-net"})

        count = self.killed_everywhere(("tier", "work", "net", "--yes"), self.give, judge)
        self.assertGreater(count, 4)
