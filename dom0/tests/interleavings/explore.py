"""Plays calls of agents, of a person, and the end of qmcpd in every order there is, and says what went wrong in which."""

import functools
import random
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .checks import TIER_TAGS, Finding, Picture, Watch, picture, usage
from .loop import said
from .machine import Machine, Stuck, Trace
from .model import Qube
from .scenes import ACTS, CONFIG, ONE, OTHER, VERBS, Cast, NotNow, Verb, acts_on, host_before

READS = ("Get", "GetAll", "List", "Info", "Available", "Attached", "CloneFrom")
# A birth's last words: from then on there is a child in the world.
COMMIT = re.compile(rb"admin\.vm\.tag\.Set\+ai-(exec|net|full|born|disp-\w+) ")
TAKES_OUT = ("expel", "take the umbrella")
# What a picture of a qube has.
PARTS_SEEN = ("class", "tags", "features", "properties", "rules", "power", "disk", "devices")
PROPERTIES, POWER = map(PARTS_SEEN.index, ("properties", "power"))
# What qubesd may be busy with for long enough to outlive who asked for it.
LASTS = re.compile(rb"admin\.vm\.(Create|Start|Shutdown|Kill|Remove|volume\.CloneTo)")

# A call, its verb and its cast; or a person, what they do, and to what.
Move = tuple[str, str, Cast | str]
# The host afterwards, the replies, and how it came to that.
Turn = tuple[Picture, dict[str, str], Trace]


class Case(NamedTuple):
    """One placement. `at`: how many steps the first call has taken when the other thing happens; `then`: how many the second
    call takes before the first goes on; `death`: how qmcpd ends there, if it does."""

    verb: str
    other: str = ""  # another call
    same: bool = True  # on the same qube
    act: str = ""  # of a person
    subject: str = ""
    at: int = 0
    then: int = 10**6
    death: str = ""
    budget: bool = False  # there is room for either call, not for both

    def kind(self) -> str:
        """All placements of these two are one kind."""
        what = self.act and f"{self.act} {self.subject}".strip()
        other = self.other and f"{self.other} on {'it too' if self.same else 'another'}"
        tight = "room for one: " if self.budget else ""
        return f"{tight}{self.verb}" + "".join(
            f", {one}" for one in (self.death and "died", other, what) if one
        )


class Played(NamedTuple):
    case: Case
    found: list[Finding]
    trace: Trace
    replies: dict[str, str]
    kept: list[str]  # what qmcpd says in its log of what it left as it is

    def __str__(self) -> str:
        lines = [
            f"  {who:8} {one if isinstance(one, str) else said(one)}" for who, one in self.trace
        ]
        wrong = [f"  {invariant}: {what}" for invariant, what in self.found]
        return "\n".join([str(self.case), *lines, f"  replies: {self.replies}", *wrong])


def config_for(case: Case) -> str:
    if not case.budget:
        return CONFIG
    config = room_for_one(case.verb, case.other, case.same)
    assert config
    return config


def play(case: Case) -> Played:
    """What came of it. NotNow when there is no such moment."""
    machine = Machine(host_before(*casts(case)).copy(), config_for(case))
    try:
        watch = Watch(machine)
        machine.look = watch.look
        VERBS[case.verb].call(machine, "A", ONE)
        take(machine, "A", case.at)
        if case.death:
            pending = machine.pending("A")
            if pending is None or (case.death == "late" and not LASTS.match(pending.request)):
                raise NotNow
            machine.kill("A", case.death)
        if case.act:
            ACTS[case.act].do(machine, case.subject)
            watch.look()
        if case.death:
            machine.boot()
        if case.other:
            VERBS[case.other].call(machine, "B", ONE if case.same else OTHER)
            take(machine, "B", case.then)
        machine.complete()
        for name in machine.calls():
            take(machine, name)
        machine.rest()
        watch.at_the_end(killed=["A"] if case.death else [])
        found = [*watch.found, *judge(case, machine)]
        kept = [line["words"] for line in machine.audit() if line["kind"] == "kept"]
        return Played(case, list(dict.fromkeys(found)), machine.trace, machine.replies, kept)
    finally:
        machine.close()


def take(machine: Machine, name: str, steps: int | None = None) -> None:
    """So many steps, or fewer when it then waits for the other call; None is to its end."""
    while steps != 0 and not machine.is_over(name):
        if machine.step(name):
            steps = steps and steps - 1
        elif steps and machine.loop.pending:
            return
        elif not (machine.step_any() or machine.wait()):
            raise Stuck(name)


def casts(case: Case) -> list[tuple[str, Cast]]:
    more = [(case.other, OTHER)] if case.other and not case.same and not case.death else []
    return [(case.verb, ONE), *more]


# ---- one after the other: what any order of these may come to


@functools.cache
def in_turn(before: tuple[tuple[str, Cast], ...], config: str, *moves: Move) -> Turn | None:
    """When each of these is over before the next begins; None where that cannot be."""
    machine = Machine(host_before(*before).copy(), config)
    try:
        for name, what, about in moves:
            if isinstance(about, str):
                ACTS[what].do(machine, about)
            else:
                VERBS[what].call(machine, name, about)
                machine.finish(name)
        machine.rest()
        return picture(machine.host), machine.replies, machine.trace
    except NotNow:
        return None
    finally:
        machine.close()


def orders(case: Case) -> dict[str, Turn]:
    """All that may come of it: `{in words: one turn}`."""
    a = ("A", case.verb, ONE)
    b = ("B", case.other, ONE if case.same else OTHER) if case.other else None
    o = ("person", case.act, case.subject) if case.act else None
    every: dict[str, list[Move | None]] = {
        "the call, then it": [a, b or o],
        "it, then the call": [b or o, a],
        "only it": [b or o],
    }
    before = tuple(casts(case))
    # What could only be done because of the call is undone with it.
    if b or (o and in_turn(before, config_for(case), o) is None):
        every["neither"] = []
    overwritten = case.subject == ONE.new and not ACTS[case.act].narrows
    # Who made a qube run, or halt, cannot be told.
    if (b and not case.death) or overwritten or case.act in ("start", "kill", "pause"):
        every["only the call"] = [a]
    found = {
        words: in_turn(before, config_for(case), *filter(None, moves))
        for words, moves in every.items()
    }
    return {words: one for words, one in found.items() if one}


def judge(case: Case, machine: Machine) -> Iterator[Finding]:
    if case.act in TAKES_OUT and case.subject == ONE.new:
        yield from left_alone(machine.host.qubes.get(ONE.new))
        return
    now, allowed = picture(machine.host), orders(case)
    codes = machine.replies
    if codes.get("A") == "ok":  # it was told so, and so it is
        allowed = {words: one for words, one in allowed.items() if one[1].get("A") == "ok"}
    if codes.get("B") == "ok":
        allowed = {words: one for words, one in allowed.items() if one[1].get("B") == "ok"}
    fits = {words for words, one in allowed.items() if one[0] == now}
    if case.act in TAKES_OUT and not fits:
        fits = set(cut_off(case, now, allowed))
    if not fits:
        yield "order", nearest(now, allowed)
    elif case.act and in_time(case) and fits <= {"the call, then it"}:
        yield "in-time", "the call did not heed what a person had done before it was over"


def cut_off(case: Case, now: Picture, allowed: dict[str, Turn]) -> Iterator[str]:
    """Nothing is put right any more in a qube that a person took out. Until then it may have been halted, and some of its properties
    set: each of these is as in one order or another, and all else as in one of them. A start that was the call's next request may
    still have happened."""
    subject = case.subject
    if subject not in now:
        return
    seen = [one[0][subject] for one in allowed.values() if subject in one[0]]
    power, properties = ({one[at] for one in seen} for at in (POWER, PROPERTIES))
    mixed = set().union(*properties)
    if not case.other and b"admin.vm.Start" in asked(case.verb)[case.at]:
        power.add("Running")
    for words, (there, _, _) in allowed.items():
        parts = list(now[subject])
        if parts[POWER] in power and mixed.issuperset(parts[PROPERTIES]):
            parts[POWER], parts[PROPERTIES] = (there[subject][at] for at in (POWER, PROPERTIES))
        if now | {subject: tuple(parts)} == there:
            yield words


def left_alone(qube: Qube | None) -> Iterator[Finding]:
    """A qube whose birth was not over when a person took it out: half made, theirs, and nothing to the world."""
    if qube is None:
        yield "order", "it is gone, and was a person's by then"
    elif {"ai-managed", "ai-born", *TIER_TAGS} & qube.tags:
        yield "order", f"it is the world's again: {sorted(qube.tags)}"


def nearest(now: Picture, allowed: dict[str, Turn]) -> str:
    """The smallest difference to anything allowed."""
    texts = []
    for words, (there, _, _) in allowed.items():
        text = []
        for qube in sorted({*now, *there}):
            if qube not in now or qube not in there:
                text.append(f"{qube} is {'there' if qube in now else 'not there'}")
                continue
            for name, mine, theirs in zip(PARTS_SEEN, now[qube], there[qube], strict=True):
                if mine != theirs:
                    text.append(f"{qube}: {name} {mine!r}, not {theirs!r}")
        texts.append((len("".join(text)), f"unlike {words!r}: " + "; ".join(text)))
    return min(texts, default=(0, "no order of them is possible"))[1]


@functools.cache
def room_for_one(verb: str, other: str, same: bool) -> str | None:
    """A budget in which there is room for what either of them uses, and no more; None where both fit into that."""
    before = casts(Case(verb, other, same))
    host = host_before(*before)

    def after(*moves: tuple[str, str, Cast]) -> dict[str, int]:
        machine = Machine(host.copy(), CONFIG)
        try:
            for name, each, cast in moves:
                VERBS[each].call(machine, name, cast)
                machine.finish(name)
            return usage(machine.host)
        finally:
            machine.close()

    a, b = ("A", verb, ONE), ("B", other, ONE if same else OTHER)
    alone = [after(a), after(b)]
    limits = {line: max(one[line] for one in alone) for line in alone[0]}
    both = after(a, b)
    if all(both[line] <= limits[line] for line in limits):
        return None
    text = CONFIG
    for line, limit in limits.items():
        text = re.sub(rf"(?m)^{line} = \S+$", f"{line} = {limit}", text)
    return text


# ---- what a person did before the call was over


@functools.cache
def asked(verb: str) -> list[bytes]:
    """What the call asks qubesd when nobody disturbs it, step by step."""
    machine, steps = Machine(host_before((verb, ONE)).copy(), CONFIG), []
    try:
        VERBS[verb].call(machine, "A", ONE)
        while not machine.is_over("A"):
            pending = machine.pending("A")
            steps.append(pending.request if pending else b"")
            if not (machine.step("A") or machine.step_any() or machine.wait()):
                raise Stuck(verb)
        if machine.replies["A"] != "ok":
            raise AssertionError(f"{verb}: {machine.replies['A']}: {machine.said.getvalue()}")
        return [one for one in steps if one]
    finally:
        machine.close()


def is_read(request: bytes) -> bool:
    return request.partition(b"+")[0].decode().rsplit(".", 1)[1] in READS


def in_time(case: Case) -> bool:
    """Whether a person was done with something that narrows before the call could last have looked: it has to heed that. A child
    is born when it gets its tags; anything else is committed after its last change was read back."""
    act, verb, steps = ACTS[case.act], VERBS[case.verb], asked(case.verb)
    if not act.narrows or case.death or not (verb.source or verb.can_be_undone):
        return False
    writes = [at for at, one in enumerate(steps) if not is_read(one)]
    if not verb.source:
        return case.at <= writes[-1] and matters(case, verb)
    commit = next(at for at, one in enumerate(steps) if COMMIT.match(one))
    about = f" {case.subject or verb.source.format(**ONE._asdict())}\0".encode()
    looks = [
        at
        for at in range(commit)
        if steps[at].startswith(b"admin.vm.tag.List") and about in steps[at]
    ]
    last = max([at for at in writes if at < commit] + looks)
    return case.at <= last and matters(case, verb)


def matters(case: Case, verb: Verb) -> bool:
    """Some of what a person takes away is nothing to this call: of the two orders, both come to the same then anyway."""
    if case.subject == ONE.new or (case.act in TAKES_OUT and not verb.source):
        return False
    both = orders(case)
    first, last = both.get("it, then the call"), both.get("the call, then it")
    return first is not None and last is not None and first[0] != last[0]


# ---- every placement there is


def calls() -> list[Case]:
    """Every call, at every step: what else happens there is for others to say."""
    return [Case(verb, at=at) for verb in VERBS for at in range(len(asked(verb)))]


def another(case: Case) -> Iterator[Case]:
    """Another call, whole: or as far as it gets without what the first one holds."""
    for other in VERBS:
        for same in (True, False):
            yield case._replace(other=other, same=same)


def another_in_turns(case: Case) -> Iterator[Case]:
    """The same, but the first goes on in the middle of the other."""
    for one in another(case):
        for then in range(1, len(asked(one.other))):
            yield one._replace(then=then)


def another_with_room_for_one(case: Case) -> Iterator[Case]:
    """There is room in the budget for what either call uses, and not for both."""
    for other in VERBS:
        if room_for_one(case.verb, other, False):
            yield case._replace(other=other, same=False, budget=True)


def person(case: Case) -> Iterator[Case]:
    for act, subject in acts_on(case.verb, ONE):
        yield case._replace(act=act, subject=subject)


def death(case: Case) -> Iterator[Case]:
    for how in ("before", "after", "late"):
        if how != "late" or LASTS.match(asked(case.verb)[case.at]):
            yield case._replace(death=how)


def death_and_person(case: Case) -> Iterator[Case]:
    for one in death(case):
        yield from person(one)


def death_and_another(case: Case) -> Iterator[Case]:
    """When qmcpd is back an agent makes another call, for which there is room only if the first came to nothing."""
    for one in death(case):
        for other in ("start", "create and start", "clone", "disposable"):
            if one.death == "late" and room_for_one(case.verb, other, False):
                yield one._replace(other=other, same=False, budget=True)


PARTS: dict[str, Callable[[Case], Iterator[Case]]] = {
    "two calls": another,
    "two calls, in turns": another_in_turns,
    "two calls, room for one": another_with_room_for_one,
    "a call and a person": person,
    "a call and the end of qmcpd": death,
    "the end of qmcpd and a person": death_and_person,
    "the end of qmcpd and another call": death_and_another,
}


def every(part: str) -> Iterator[Case]:
    for case in calls():
        yield from PARTS[part](case)


def some(part: str, count: int, seed: int) -> Iterator[Case]:
    """So many of them, each call and each step as likely as any other."""
    draw, everywhere = random.Random(f"{seed} {part}"), calls()
    while count:
        found = list(PARTS[part](draw.choice(everywhere)))
        if found:
            yield draw.choice(found)
            count -= 1
