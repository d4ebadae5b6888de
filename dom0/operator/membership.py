"""Says which qubes belong to a world, and what an agent may do with each: by tags. Every change is shown in words before it is made."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import dependents
import grants
import operator_log
import plan_admin
from answer import Answer, Incomplete, Options, near, stop
from host import clock, open_qubesd, read_worlds, run, switched_on, switches
from qmcpd.effects import perform
from qmcpd.qubesd import Qube, Qubesd
from settings.config import World
from spec import FEATURE, GAINS, TIERS

Tags = frozenset[str]
HALTED = ("Halted", "Crashed", "")
KILLED = "it runs, and an agent's programs may run in it: it is killed first; shut it down yourself to keep unsaved data"
CLOSED = "it runs and others need it: it is not killed, but stays closed until you have shut it down and run this again"


@dataclass
class Change:
    """Of the tags of a qube, from what they were when it was shown. `granted`: the temporary grants that stand; `grant`: a new one.
    `leaves`: what happens to a qube that runs and leaves the world."""

    world: World
    qube: Qube
    after: Tags
    granted: list[grants.Standing]
    grant: grants.Grant | None = None
    leaves: str = ""

    @property
    def ends_grant(self) -> bool:
        return bool(self.granted) and self.grant is None

    @property
    def tags(self) -> list[str]:
        before = self.qube.tags
        return [
            *(f"- {tag}" for tag in sorted(before - self.after)),
            *(f"+ {tag}" for tag in sorted(self.after - before)),
        ]


def change(options: Options) -> Answer:
    """enroll, tier, guard, manage and expel: each changes some of world, tier and switches, and leaves the others as they are."""
    found = _found(options)
    if found is None:
        return Answer([], text="Nothing is left to do.")
    world, qube, granted = found
    # Its tags without the grants that stand: a new command does not build on a grant, and ends it.
    given = [grant for _, grant in granted]
    base = qube.tags.difference(*(one["untag"] for one in given)).union(
        *(one["retag"] for one in given)
    )
    add, take = _wanted(options, world, qube.klass, base)
    lasting = getattr(options, "lasting", None)
    if lasting:
        take &= _narrowing(world)
        if add & _narrowing(world) or getattr(options, "sink", None):
            stop("--for only gives more: set a guard, an egress lock or a sink without it")
    wanted = Change(world, qube, frozenset((base - take) | add), granted)
    if not (add or take):
        wanted.after = qube.tags
    elif lasting and base != wanted.after:
        wanted.grant = grants.made(qube.name, lasting, base, wanted.after, _order(world))
    if qube.tags & world.own and not wanted.after & world.own and qube.state not in HALTED:
        wanted.leaves = CLOSED if run(_is_needed(open_qubesd(options.root), qube.name)) else KILLED
    concerned = _concerned(options, wanted)
    missing = dependents.not_named(concerned, getattr(options, "shared_with", ()))
    sentences = [sentence for one in concerned.values() for sentence in one]
    if missing:
        agree = f"--shared-with {' '.join(concerned)}"
        refused = {f"{qube.name} is used outside of the world": sentences, "to agree, add": agree}
        return Answer(refused, 1)
    return _answer(options, wanted, bool(add or take), sentences)


def _concerned(options: Options, wanted: Change) -> dict[str, list[str]]:
    """If agents get more of a qube: what they gain over qubes outside the world. Refuses a qube that no agent may have."""
    world, qube, worlds = wanted.world, wanted.qube, read_worlds(options.root)
    before, after = (world.reach(qube.klass, tags) for tags in (qube.tags, wanted.after))
    ranks = [-1 if tier is None else TIERS.index(tier) for tier in (before, after)]
    builds = world.source in wanted.after - qube.tags
    if builds and qube.klass != "TemplateVM":
        stop(f"{qube.name} is not a template: agents build on it at {TIERS[1]} and above")
    if ranks[0] >= ranks[1] and not builds:
        return {}
    qubesd = open_qubesd(options.root)
    why = run(dependents.refusal(qubesd, worlds, qube, after))
    if why:
        stop(f"{qube.name} cannot be given to agents: {why}")
    return run(dependents.outside(qubesd, world, qube.name, after))


def _answer(options: Options, wanted: Change, asked: bool, concerned: list[str]) -> Answer:
    world, qube = wanted.world, wanted.qube
    reach = world.reach(qube.klass, wanted.after)
    stands = grants.shown(grants.ends({"": wanted.granted}, ""))
    until = f"{clock(time.time() + options.lasting)}, or the next boot" if wanted.grant else stands
    says = {
        "qube": qube.name,
        "world": world.name,
        "changes": wanted.tags,
        "first": [*([wanted.leaves] if wanted.leaves else []), *_updates(world, wanted)],
        "outside the world": concerned,
        "until": ["this ends a temporary grant"]
        if asked and wanted.ends_grant
        else [until, grants.KEPT]
        if until
        else [],
        "an agent may": [GAINS[tier] for tier in TIERS[: TIERS.index(reach) + 1]]
        if reach
        else ["no agent sees it"],
        "switches": switched_on(world, wanted.after),
    }
    if wanted.after == qube.tags and not (wanted.grant or (asked and wanted.ends_grant)):
        return Answer(says, text=says | {"changes": "Nothing changes."})

    def do() -> list[str]:
        try:
            return run(_write(options.root, wanted))
        finally:  # no command of a plan stands for a qube that left the world
            plan_admin.refresh(options.root)

    return Answer(
        says,
        do=do,
        about=(qube.name,),
        world=world.name,
        words=tuple("".join(one.split()) for one in wanted.tags),
    )


def _updates(world: World, wanted: Change) -> list[str]:
    """What it means that a qube may fetch updates. Refuses a qube that may not."""
    if world.tag("updates") not in wanted.after - wanted.qube.tags:
        return []
    if wanted.qube.klass != "TemplateVM" or not world.updates:
        why = "it is no template" if world.updates else "qmcp.toml names no qube for updates"
        stop(f"{wanted.qube.name} cannot fetch updates: {why}")
    reached = f"it reaches any web server through {world.updates}, whatever the ceiling says"
    return [f"{reached}; an agent with tier {TIERS[1]} on it can send data there"]


def _found(options: Options) -> tuple[World, Qube, list[grants.Standing]] | None:
    """Its world, the qube, the grants that stand. A qube that is in a world in part can be taken out of it, and put into it. None
    when it is expelled already, by this command before it was interrupted."""
    name, named = options.qube, getattr(options, "world", None)
    worlds, qubesd = read_worlds(options.root), open_qubesd(options.root)
    qube = run(qubesd.look(name))
    if not qube.klass:
        stop(f"there is no qube {name}{near(name, run(qubesd.list()))}")
    read_worlds(options.root, named)
    granted = run(grants.standing(qubesd, options.root, [name])).get(name, [])
    there = qube.tags.union(*(grant["untag"] for _, grant in granted))
    whole = not named and options.command != "expel"
    others = [
        world
        for world in worlds.values()
        if world.name != named and there & ({world.umbrella} if whole else world.own)
    ]
    if named and others:
        stop(f"{name} has tags of the world {others[0].name}: first run qmcp-admin expel {name}")
    if not named and not others:
        if operator_log.is_unfinished(options):
            return None
        stop(f"{name} is in no world: qmcp-admin enroll {name} --world {'|'.join(worlds)}")
    world = worlds[named] if named else others[0]
    if name in world.excluded:
        stop(
            f"{name} cannot be enrolled: it is dom0, a principal, a gateway or guarded by qmcp.toml"
        )
    return world, qube, granted


def _narrowing(world: World) -> set[str]:
    return {world.guard, world.egress_lock}


def _wanted(options: Options, world: World, klass: str, tags: Tags) -> tuple[set[str], set[str]]:
    """The tags to add and to take. A disposable has its tier by a mark of its own."""
    tier, add, take = getattr(options, "tier", None), set[str](), set[str]()
    if options.command == "expel":
        return add, set(world.own)
    if world.umbrella not in tags:
        tier, add, take = tier or TIERS[0], {world.umbrella}, {world.tombstone}
        if world.kinds["stamp"] & tags and world.born not in tags:
            # A principal made it earlier, or it was expelled since: the operator says that it is complete.
            add.add(world.born)
        if klass == "TemplateVM":
            add.add(world.source)
    if tier:
        mine = {world.tag("disposable" if klass == "DispVM" else "tier", tier)}
        mine &= world.kinds["authority"]  # the first tier is the umbrella's
        add |= mine
        take |= (world.kinds["tier"] | world.kinds["disposable"]) - mine
    for switch, tag in switches(world).items():
        wanted = getattr(options, switch.replace("-", "_"), None)
        (add if wanted == "on" else take).update([tag] if wanted else [])
    return add, take


def _order(world: World) -> list[str]:
    """The order in which tags are written: what gives authority comes after the umbrella. They are removed in reverse."""
    first = [world.tombstone, world.umbrella, world.born]
    first += sorted(world.kinds["authority"] - {world.born})
    return [*first, *sorted(world.own.difference(first))]


async def _is_needed(qubesd: Qubesd, name: str) -> bool:
    """Whether killing it would take something from the host."""
    properties = await qubesd.properties(name)
    return properties.get("provides_network", ("",))[0] == "True"


async def _write(root: Path, wanted: Change) -> list[str]:
    """Remove before adding, so that an interruption leaves less; remove authority before the umbrella, and add it after. A grant is
    on the disk before what it gives; one that stood is forgotten when nothing of it is left."""
    qubesd, world, name = open_qubesd(root), wanted.world, wanted.qube.name
    now = await qubesd.look(name)
    # An agent that removes and restores its qube all the time must not keep anybody from expelling it.
    expels = world.umbrella not in wanted.after
    mark = {world.tombstone} if expels else set[str]()
    if now.tags - mark != wanted.qube.tags - mark:
        raise Incomplete([f"NOT DONE: {name} was changed meanwhile; run this again"])
    order, narrowing = _order(world).index, _narrowing(world)
    gone, new = now.tags - wanted.after, wanted.after - now.tags
    authority = gone & world.kinds["authority"]
    await _untag(qubesd, name, sorted(authority, key=order, reverse=True))
    if wanted.leaves and not await _leave(qubesd, wanted):
        return [f"{name}: done; it was a disposable and is gone"]
    if world.tombstone in gone:
        await qubesd.put(name, "feature", FEATURE.entombed, None)
    await _untag(qubesd, name, sorted(gone - authority - narrowing, key=order, reverse=True))
    await perform(qubesd, name, [["tag", tag] for tag in sorted(new & narrowing)])
    if wanted.grant:
        await grants.record(qubesd, root, wanted.grant)
    await _untag(qubesd, name, sorted(gone & narrowing))
    await perform(qubesd, name, [["tag", tag] for tag in sorted(new - narrowing, key=order)])
    replaced = bool(wanted.grant) or not wanted.granted
    await grants.forget(qubesd, root, name, wanted.granted, replaced=replaced)
    return [f"{name}: done"]


async def _untag(qubesd: Qubesd, name: str, tags: Iterable[str]) -> None:
    await perform(qubesd, name, [["untag", tag] for tag in tags])


async def _leave(qubesd: Qubesd, wanted: Change) -> bool:
    """While a qube runs, an agent's programs may run in it: it stays closed by its tags. Returns whether it still exists."""
    name, world = wanted.qube.name, wanted.world
    if wanted.leaves == KILLED:
        await qubesd.halt(name)
    elif await qubesd.state(name) not in HALTED:
        await qubesd.tag(name, world.tombstone)  # closes it for everybody, and no agent sees it
        await _untag(qubesd, name, sorted(wanted.qube.tags & world.own - {world.tombstone}))
        raise Incomplete([f"NOT EXPELLED: {name}: {CLOSED}"])
    return await qubesd.tags(name) is not None
