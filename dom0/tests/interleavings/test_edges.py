"""What an agent and a person are told at the edges: of a qubesd that hangs, of a disk that is full, of half a change, and after a
crash."""

import errno
import unittest
from typing import Any
from unittest import mock

from .checks import Watch, picture
from .explore import COMMIT, asked, in_turn, take
from .machine import CLOCK, Machine, one_process
from .model import Exchange
from .scenes import CONFIG, ONE, VERBS, host_before

LONGEST = 30  # seconds
# These may be done although the agent was told that they are not: they give an agent nothing.
NO_UNDO = {verb for verb, one in VERBS.items() if not (one.can_be_undone or one.source)}


def machine_for(case: unittest.TestCase, verb: str) -> Machine:
    machine = Machine(host_before((verb, ONE)).copy(), CONFIG)
    case.addCleanup(machine.close)
    return machine


class Hanging(unittest.TestCase):
    """A qubesd that hangs, as after a SIGSTOP, takes every request and answers none until it goes on."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.enterClassContext(one_process())

    def hang(self, verb: str, at: int) -> Machine | None:
        """The machine after qubesd hung at that request and went on, and after everything was settled."""
        machine = machine_for(self, verb)
        watch = Watch(machine)
        machine.look = watch.look
        VERBS[verb].call(machine, "A", ONE)
        take(machine, "A", at)
        if machine.is_over("A"):
            return None
        machine.hangs, begun = True, CLOCK.seconds
        while not machine.is_over("A"):
            self.assertTrue(machine.wait(), "the call waits for ever")
        self.assertEqual(machine.replies["A"], "busy")
        self.assertLessEqual(CLOCK.seconds - begun, LONGEST)
        VERBS[verb].call(machine, "B", ONE)
        self.assertTrue(machine.is_over("B"), "the next call waits for the qubesd that hangs")
        self.assertEqual(machine.replies["B"], "busy")
        machine.hangs = False
        while machine.step_any():
            pass
        machine.rest()
        watch.at_the_end()
        self.assertEqual(watch.found, [])
        return machine

    def test_every_verb_is_busy_within_half_a_minute_and_what_qubesd_finishes_later_is_settled(
        self,
    ) -> None:
        for verb in VERBS:
            before = ((verb, ONE),)
            neither = in_turn(before, CONFIG)
            only = in_turn(before, CONFIG, ("A", verb, ONE))
            assert neither and only
            for at in range(len(asked(verb))):
                with self.subTest(verb=verb, at=at):
                    machine = self.hang(verb, at)
                    if machine is None:
                        continue
                    self.assertEqual(list(machine.unfinished()), [])
                    # The last tag of a birth commits it, also when nobody hears that it is written.
                    committed = any(COMMIT.match(one) for one in asked(verb)[: at + 1])
                    allowed = [neither[0]] + ([only[0]] if verb in NO_UNDO or committed else [])
                    self.assertIn(picture(machine.host), allowed)

    def test_after_a_hang_calls_are_answered_again(self) -> None:
        machine = self.hang("start", 2)
        assert machine
        VERBS["start"].call(machine, "C", ONE)
        machine.finish("C")
        self.assertEqual(machine.replies["C"], "ok")


class FullDisk(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.enterClassContext(one_process())

    def test_a_change_that_was_committed_is_ok_although_its_end_cannot_be_logged_and_the_operator_hears_of_it(
        self,
    ) -> None:
        machine = machine_for(self, "create")
        append = machine.log.append

        def full(kind: str, **facts: Any) -> None:
            if kind == "outcome":
                raise OSError(errno.EIO, "no disk")
            append(kind, **facts)

        with mock.patch.object(machine.log, "append", full):
            VERBS["create"].call(machine, "A", ONE)
            machine.finish("A")
        self.assertEqual(machine.replies["A"], "ok")
        self.assertIn("ai-new", machine.host.qubes)
        self.assertRegex(
            machine.said.getvalue(),
            r"NOT IN THE AUDIT LOG: call [0-9a-f]{16} of mcp-control, qmcp.spawn.Create, ended with ok",
        )

    def test_without_room_for_the_end_of_a_change_nothing_is_changed(self) -> None:
        machine = machine_for(self, "create")
        before = picture(machine.host)
        with mock.patch("os.posix_fallocate", side_effect=OSError(errno.ENOSPC, "full")):
            VERBS["create"].call(machine, "A", ONE)
            machine.finish("A")
        self.assertEqual(machine.replies["A"], "failed")
        self.assertEqual(picture(machine.host), before)


class HalfAChange(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.enterClassContext(one_process())

    def test_a_disk_that_grew_although_qubesd_reports_an_error_is_told_and_logged(self) -> None:
        machine = machine_for(self, "grow")
        exchange = machine.host.exchange

        def refusing(request: bytes) -> Exchange:
            reply = yield from exchange(request)
            refused = b"2\0QubesException\0\0the qube does not resize its file system\0"
            return refused if request.startswith(b"admin.vm.volume.Resize+") else reply

        with mock.patch.object(machine.host, "exchange", refusing):
            VERBS["grow"].call(machine, "A", ONE)
            machine.finish("A")
        self.assertEqual(machine.errors["A"], {"code": "failed", "data": {"unfinished": True}})
        self.assertIn("the disk has grown", machine.audit()[-1]["why"])

    def test_a_disk_that_did_not_grow_is_an_ordinary_failure(self) -> None:
        machine = machine_for(self, "grow")
        exchange = machine.host.exchange

        def refusing(request: bytes) -> Exchange:
            if request.startswith(b"admin.vm.volume.Resize+"):
                return b"2\0QubesException\0\0the pool is full\0"
            return (yield from exchange(request))

        with mock.patch.object(machine.host, "exchange", refusing):
            VERBS["grow"].call(machine, "A", ONE)
            machine.finish("A")
        self.assertEqual(machine.errors["A"], {"code": "failed"})

    def test_after_a_crash_the_journal_and_the_audit_log_say_what_was_undone(self) -> None:
        machine = machine_for(self, "set properties")
        VERBS["set properties"].call(machine, "A", ONE)
        at = next(
            at for at, one in enumerate(asked("set properties")) if b"property.Set+label" in one
        )
        take(machine, "A", at)
        machine.kill("A", "after")
        machine.boot()
        machine.rest()
        intent = next(line for line in machine.audit() if line["kind"] == "intent")
        settled = machine.audit()[-1]
        self.assertEqual(
            {key: settled[key] for key in ("kind", "call", "world", "target", "words")},
            {
                "kind": "settled",
                "call": intent["call"],
                "world": "ai",
                "target": "ai-one",
                "words": "undone after an interruption",
            },
        )
        self.assertIn(f"call {intent['call']}: undone on ai-one", machine.said.getvalue())


if __name__ == "__main__":
    unittest.main()
