"""Two calls, a person, and the end of qmcpd, in every order that can matter.

QMCP_INTERLEAVINGS=all    every placement there is, which takes hours; or the name of one part, as it is printed
QMCP_SEED=…               the share that a run took by the seed it printed
"""

import os
import re
import sys
import time
import unittest
from typing import NamedTuple

from .explore import PARTS, Case, every, play, some
from .machine import one_process
from .scenes import ACTS, VERBS, NotNow

WANTED = os.environ.get("QMCP_INTERLEAVINGS", "")
SEED = int(os.environ.get("QMCP_SEED") or time.time_ns() % 2**31)
SHARE = 25  # placements of each part


class Open(NamedTuple):
    """What is known to go wrong. `case` is the smallest example; `kinds` are all that go wrong like it: `kind | invariant`."""

    why: str
    case: Case
    kinds: str


BIRTH = r"^(room for one: )?(create|create and start|clone|disposable)"
OPEN = {
    "a child ignores what is taken from its source while it is made": Open(
        "reach, restrictions and tier are judged once, before the first effect",
        Case("clone", act="guard", subject="ai-one", at=24),
        BIRTH + r", (expel|guard|lock|lower|take the umbrella) ai-\w+ \| (in-time|order)",
    ),
    "a change is committed to a qube that was closed meanwhile": Open(
        "reach is judged once, before the first effect",
        Case("set rules", act="guard", subject="ai-one", at=2),
        r"^(start|set \w+( \w+)?|reconnect|attach), (guard|lock|lower) ai-\w+ \| in-time",
    ),
    "a half-made qube that a person takes out is removed, or given its tier": Open(
        "a birth is undone by its stamp alone, and finished without a look",
        Case("create", act="expel", subject="ai-new", at=30),
        BIRTH + r"(, died)?, (expel|take the umbrella) ai-new \| (order|person.wins)",
    ),
    "a half-done removal marks a qube that a person took out": Open(
        "settling looks for a name, and not for a qube of the world",
        Case("remove", act="expel", subject="ai-one", at=5, death="before"),
        r"^remove(, died)?, (expel|take the umbrella) ai-one \| ",
    ),
    "a restore that is undone marks a qube that a person took out": Open(
        "settling looks for a name, and not for a qube of the world",
        Case("restore", act="take the umbrella", subject="ai-one", at=5, death="before"),
        r"^restore(, died)?, (expel|take the umbrella) ai-one \| ",
    ),
    "what was meant for a qube is done to another of its name": Open(
        "a qube is known by its name, which another may have by then",
        Case("set rules", act="make anew", subject="ai-one", at=3),
        r", make anew( in the world)? ai-\w+ \| ",
    ),
    "rules that were set are put back over a person's": Open(
        "an undo puts back what was there without a look at what is there now",
        Case("set rules", act="drop everything", subject="ai-one", at=3, death="after"),
        r"^set rules(, died)?, (set rules|drop everything) ai-one \| ",
    ),
    "properties that were set are put back over a person's": Open(
        "an undo puts back what was there without a look at what is there now",
        Case("set properties", act="set memory", subject="ai-one", at=7),
        r"^set properties(, died)?, set (memory|label) ai-one \| ",
    ),
    "a feature that was set is put back over a person's": Open(
        "an undo puts back what was there without a look at what is there now",
        Case("set a feature", act="set a feature", subject="ai-one", at=5, death="before"),
        r"^set a feature(, died)?, set a feature ai-one \| ",
    ),
    "a qube that a person has put elsewhere is taken off its network": Open(
        "an undo writes what is least without a look at what is there now",
        Case("reconnect", act="move", subject="ai-one", at=7, death="before"),
        r"^(reconnect|disconnect)(, died)?, (move|reroute|cut) ai-one \| ",
    ),
    "a device that a person attached is detached": Open(
        "a detach that was cut off is done again",
        Case("detach", act="attach", subject="ai-one", at=10, death="before"),
        r"^(attach|detach)(, died)?, (attach|detach) ai-one \| ",
    ),
    "what qubesd finishes after qmcpd died is not counted": Open(
        "what a call was admitted with is forgotten with qmcpd",
        Case("start", "start", False, at=22, death="late", budget=True),
        r"^room for one: [\w ]+, died, [\w ]+ on another \| (budget.hard|order)",
    ),
}


class Interleavings(unittest.TestCase):
    def setUp(self):
        held = one_process()
        held.__enter__()
        self.addCleanup(held.__exit__, None, None, None)

    def test_what_is_known_to_go_wrong_still_does(self):
        for name, one in OPEN.items():
            with self.subTest(name):
                played = play(one.case)
                wrong = [f"{one.case.kind()} | {invariant}" for invariant, _ in played.found]
                self.assertTrue(
                    any(re.search(one.kinds, each) for each in wrong),
                    f"it goes well now, and is to be taken from the list:\n{played}",
                )

    def test_in_every_order_the_invariants_hold_and_what_a_person_does_stands(self):
        known, played, wrong = (
            re.compile("|".join(one.kinds for one in OPEN.values()) or "$^"),
            {},
            [],
        )
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
                kinds = [f"{case.kind()} | {invariant}" for invariant, _ in one.found]
                if not all(map(known.search, kinds)):
                    wrong.append(str(one))
        self._report(played)
        self.assertEqual(len(wrong), 0, "\n\n".join(wrong[:5]))

    def _report(self, played):
        counts = "; ".join(f"{part}: {each['played']}" for part, each in played.items())
        print(
            f"interleavings: seed {SEED}; {len(VERBS)} calls, {len(VERBS) ** 2 * 2} pairs of them,"
            f" {len(ACTS)} things a person does; placements played: {counts}",
            file=sys.stderr,
        )
