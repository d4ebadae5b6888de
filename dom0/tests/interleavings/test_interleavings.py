"""Two calls, a person, and the end of qmcpd, in every order that can matter.

QMCP_INTERLEAVINGS=all    every placement there is, which takes hours; or the name of one part, as it is printed
QMCP_SEED=…               the share that a run took by the seed it printed
"""

import os
import sys
import time
import unittest
from typing import Any, NamedTuple

from .explore import PARTS, Case, asked, every, play, some
from .loop import said
from .machine import one_process
from .scenes import ACTS, VERBS, NotNow

WANTED = os.environ.get("QMCP_INTERLEAVINGS", "")
SEED = int(os.environ.get("QMCP_SEED") or time.time_ns() % 2**31)
SHARE = 25  # placements of each part


class Meeting(NamedTuple):
    """A person does `act` to `subject` when `verb` has asked qubesd for this `request`, and has no answer yet. `kept`: what qmcpd
    then says in its log of what it left as it is."""

    verb: str
    request: str
    act: str = ""
    subject: str = "ai-one"
    death: str = ""
    other: str = ""
    kept: str = ""

    def case(self) -> Case:
        steps = [said(one) for one in asked(self.verb)]
        at = next(at for at, one in enumerate(steps) if self.request in one)
        other: dict[str, Any] = (
            {"other": self.other, "same": False, "budget": True} if self.other else {}
        )
        who: dict[str, Any] = {"act": self.act, "subject": self.subject} if self.act else {}
        return Case(self.verb, at=at, death=self.death, **who, **other)


# Each of these went wrong once.
MEETINGS = {
    "a clone of a qube that a person guards meanwhile is not made": Meeting(
        "clone", "CloneTo", "guard"
    ),
    "a change of a qube that a person guards meanwhile is not committed": Meeting(
        "set rules", "firewall.Set", "guard"
    ),
    "a qube that a person takes out while its start is admitted is not started": Meeting(
        "start", "volume.Info", "expel"
    ),
    "a half-made qube that a person takes out stays, and gets no tier": Meeting(
        "create",
        "property.Set+memory",
        "expel",
        "ai-new",
        kept="it is not of the world any more",
    ),
    "a birth goes on in no other qube that a person gives its name": Meeting(
        "create", "vm.List on ai-new", "make anew", "ai-new", kept="another qube has its name"
    ),
    "a half-done removal does not mark a qube that a person took out": Meeting(
        "remove",
        "Set+ai-tombstone",
        "expel",
        death="before",
        kept="it is not of the world any more",
    ),
    "the mark of a removal comes off a qube that a person took out at that moment": Meeting(
        "remove", "Set+ai-tombstone", "take the umbrella", kept="it is not of the world any more"
    ),
    "a half-done restore does not mark a qube that a person took out": Meeting(
        "restore",
        "feature.Remove",
        "take the umbrella",
        death="after",
        kept="it is not of the world any more",
    ),
    "a change of a qube is made to no other of its name": Meeting(
        "set rules", "firewall.Set", "make anew", kept="another qube has its name"
    ),
    "an undo does not put rules back over a person's": Meeting(
        "set rules",
        "firewall.Set",
        "drop everything",
        death="after",
        kept="somebody has changed its firewall since",
    ),
    "an undo does not put properties back over a person's": Meeting(
        "set properties",
        "property.Set+vcpus",
        "set memory",
        kept="somebody has changed its property memory since",
    ),
    "an undo does not put a feature back over a person's": Meeting(
        "set a feature",
        "feature.Set",
        "set a feature",
        death="after",
        kept="somebody has changed its feature x-note since",
    ),
    "an undo does not take a qube off the network that a person put it on": Meeting(
        "reconnect",
        "property.Set+netvm",
        "move",
        death="after",
        kept="somebody has changed its property netvm since",
    ),
    "an undo does not detach a device that a person attached": Meeting(
        "detach", "block.Detach", "attach", death="after"
    ),
    "a start that qubesd finishes after qmcpd died is counted": Meeting(
        "start", "vm.Start", other="start", death="late"
    ),
}


# INVARIANT birth.tagged-before-named
# INVARIANT budget.hard
# INVARIANT tiers.no-escalation
class Interleavings(unittest.TestCase):
    def setUp(self) -> None:
        held = one_process()
        held.__enter__()
        self.addCleanup(held.__exit__, None, None, None)

    def test_a_call_that_meets_what_a_person_did_leaves_it_as_it_is_and_says_so(self) -> None:
        for words, meeting in MEETINGS.items():
            with self.subTest(words):
                played = play(meeting.case())
                self.assertEqual(played.found, [], str(played))
                self.assertEqual(set(played.kept), {meeting.kept} - {""}, str(played))

    def test_in_every_order_the_invariants_hold_and_what_a_person_does_stands(self) -> None:
        played: dict[str, dict[str, int]] = {}
        wrong: list[str] = []
        for part in PARTS:
            whole = WANTED in ("all", part)
            placements = every(part) if whole else some(part, 0 if WANTED else SHARE, SEED)
            played[part] = {"played": 0, "impossible": 0}
            for case in placements:
                try:
                    one = play(case)
                except NotNow:
                    played[part]["impossible"] += 1
                    continue
                played[part]["played"] += 1
                if one.found:
                    wrong.append(str(one))
        self._report(played)
        self.assertEqual(len(wrong), 0, "\n\n".join(wrong[:5]))

    def _report(self, played: dict[str, dict[str, int]]) -> None:
        counts = "; ".join(f"{part}: {each['played']}" for part, each in played.items())
        print(
            f"interleavings: seed {SEED}; {len(VERBS)} calls, {len(VERBS) ** 2 * 2} pairs of them,"
            f" {len(ACTS)} things a person does; placements played: {counts}",
            file=sys.stderr,
        )
