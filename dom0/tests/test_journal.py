import tempfile
import unittest
from pathlib import Path

from qmcpd.journal import Journal


class Intents(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "journal"
        self.journal = Journal(self.path)

    def test_what_was_opened_and_not_closed_is_unfinished_in_order(self) -> None:
        first = self.journal.open({"qube": "ai-one"})
        second = self.journal.open({"qube": "ai-two"})
        third = self.journal.open({"qube": "ai-three"})
        self.journal.close(second)
        unfinished = [(first, {"qube": "ai-one"}), (third, {"qube": "ai-three"})]
        self.assertEqual(Journal(self.path).unfinished(), unfinished)

    def test_what_a_call_still_holds_is_nobody_else_s_to_settle(self) -> None:
        first = self.journal.open({"qube": "ai-one"})
        self.assertEqual(self.journal.unfinished(), [])
        self.journal.release([first])
        self.assertEqual(self.journal.unfinished(), [(first, {"qube": "ai-one"})])

    def test_a_draft_cut_by_a_crash_was_never_an_intent(self) -> None:
        (self.path / "0123.draft").write_text('{"verb":"cre')
        self.assertEqual(Journal(self.path).unfinished(), [])
        self.assertEqual(list(self.path.iterdir()), [])

    def test_an_intent_that_cannot_be_written_says_so(self) -> None:
        self.path.rmdir()
        with self.assertRaises(OSError):
            self.journal.open({"qube": "ai-one"})
