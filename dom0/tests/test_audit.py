import json
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from qmcpd.audit import AuditLog
from spec import LIMITS

sys.path.append(str(Path(__file__).parent.parent / "operator"))
from audit_chain import Chain as Links


def verify(lines: list[str]) -> int:
    """The number of the first line that breaks the chain (from 1), or 0 when it is whole."""
    chain = Links()
    for number, line in enumerate(lines, 1):
        chain.add(Path(), number, line.encode() + b"\n")
    return chain.broken[1] if chain.broken else 0


class Chain(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "audit.log"

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()

    def write(self, *kinds: str) -> None:
        log = AuditLog(self.path)
        for kind in kinds:
            log.append(kind, call="c")

    def test_a_log_continues_its_chain_over_restarts(self) -> None:
        self.write("intent", "outcome")
        self.write("refusal")
        self.assertEqual([json.loads(line)["seq"] for line in self.lines()], [1, 2, 3])
        self.assertEqual(verify(self.lines()), 0)

    def test_a_line_that_could_not_be_made_durable_does_not_break_the_chain(self) -> None:
        log = AuditLog(self.path)
        with mock.patch("os.fsync", side_effect=OSError), self.assertRaises(OSError):
            log.append("intent", durable=True, call="c")
        log.append("refusal", call="c")
        self.assertEqual(verify(self.lines()), 0)

    def test_the_end_of_a_change_is_written_although_the_disk_is_full_by_then(self) -> None:
        log, write, reserve = AuditLog(self.path), os.write, self.path.with_suffix(".reserve")
        log.append("intent", durable=True, call="c")
        self.assertEqual(reserve.stat().st_size, LIMITS.audit_reserve_bytes)

        def full(descriptor: int, data: bytes) -> int:
            return write(descriptor, data[:10] if reserve.exists() else data)

        with mock.patch("os.write", full):
            with self.assertRaises(
                OSError
            ):  # a refusal, which changes nothing, is not worth the room
                log.append("refusal", call="d")
            log.append("outcome", is_owed=True, call="c")
        self.assertEqual([json.loads(line)["kind"] for line in self.lines()], ["intent", "outcome"])
        self.assertEqual(verify(self.lines()), 0)
        log.append("intent", durable=True, call="e")
        self.assertTrue(reserve.exists())

    def test_without_room_for_its_end_no_change_is_announced(self) -> None:
        log = AuditLog(self.path)
        with (
            mock.patch("os.posix_fallocate", side_effect=OSError),
            self.assertRaises(OSError),
        ):
            log.append("intent", durable=True, call="c")
        self.assertEqual(self.lines(), [])

    def test_a_changed_a_missing_and_a_swapped_line_are_found(self) -> None:
        self.write(*["intent"] * 5)
        lines = self.lines()
        self.assertEqual(verify([lines[0], lines[1].replace("intent", "outcome"), *lines[2:]]), 2)
        self.assertEqual(verify([lines[0], *lines[2:]]), 2)
        self.assertEqual(verify([lines[0], lines[2], lines[1], *lines[3:]]), 2)
        self.assertEqual(verify([lines[0], "not json"]), 2)
        self.assertEqual(verify([lines[0], "[]"]), 2)

    def test_a_line_cut_by_a_crash_goes_and_the_chain_stays_whole(self) -> None:
        self.write("intent", "outcome")
        with self.path.open("a") as file:
            file.write('{"seq":3,"cut')
        self.write("refusal")
        self.assertEqual(
            [json.loads(line)["kind"] for line in self.lines()], ["intent", "outcome", "refusal"]
        )
        self.assertEqual(verify(self.lines()), 0)

    def test_a_last_line_that_was_changed_is_not_continued(self) -> None:
        self.write("intent")
        self.path.write_text(self.path.read_text().replace('"c"', '"d"'))
        with self.assertRaisesRegex(ValueError, "does not match its hash"):
            AuditLog(self.path)

    def test_a_long_line_at_the_end_is_found_whole(self) -> None:
        AuditLog(self.path).append("intent", names=["a" * 31] * 600)
        self.write("outcome")
        self.assertEqual(verify(self.lines()), 0)

    def test_a_log_that_cannot_be_written_says_so(self) -> None:
        log = AuditLog(self.path)
        os.close(log._fd)
        with self.assertRaises(OSError):
            log.append("intent")

    def test_a_full_file_is_put_aside_and_the_chain_goes_on_in_the_next(self) -> None:
        with mock.patch.object(LIMITS, "audit_file_bytes", 1000):
            for _ in range(3):
                self.write(*["intent"] * 4)
        aside = sorted(self.path.parent.glob("audit-*.log"))
        self.assertGreater(len(aside), 1)
        self.assertTrue(all(path.stat().st_size <= 1000 for path in aside))
        lines = [line for path in [*aside, self.path] for line in path.read_text().splitlines()]
        self.assertEqual((len(lines), verify(lines)), (12, 0))

    def test_a_restart_just_after_a_file_was_put_aside_goes_on_too(self) -> None:
        self.write("intent", "outcome")
        self.path.rename(self.path.with_name("audit-000000000002.log"))
        self.write("refusal")
        self.assertEqual(json.loads(self.lines()[0])["seq"], 3)
