"""Who is of a world, and what an agent may do with each: the tags, by name. Every change is shown, in words, before it is made."""

import time

import grants
from answer import Answer, stop
from host import clock, open_qubesd, read_worlds, run, switched_on, switches
from qmcpd.effects import perform
from qmcpd.invariants import DISPOSABLE
from spec import FEATURE, GAINS, TIERS
from verbs import TABLE


def change(options):
    """enroll, tier, guard, manage and expel: each says some of world, tier and switches, and leaves the others as they are."""
    world, tags, granted = _found(options)
    # What it has for good: a grant that stands is not built upon, and ends with the next word about the qube.
    given = [grant for _, grant in granted]
    base = tags.difference(*(grant["untag"] for grant in given)).union(
        *(grant["retag"] for grant in given)
    )
    add, take = _wanted(options, world, base)
    lasting = getattr(options, "lasting", None)
    if lasting:
        take &= _narrowing(world)
        if add & _narrowing(world) or getattr(options, "sink", None):
            stop(
                "--for is for giving more: a guard, an egress lock or a sink is set for good, without it"
            )
    after = frozenset((base - take) | add) if add or take else tags
    grant = (
        lasting
        and (base != after)
        and {
            "qube": options.qube,
            "boot": grants.boot(),
            "over": grants.now() + lasting,
            "untag": sorted(after - base),
            "retag": sorted(base - after),
        }
    )
    ends = granted and (add or take) and not grant
    until = (
        f"{clock(time.time() + lasting)}, or the next boot"
        if grant
        else grants.until({"": granted}, "")
    )
    changes = [f"- {tag}" for tag in sorted(tags - after)] + [
        f"+ {tag}" for tag in sorted(after - tags)
    ]
    says = {
        "qube": options.qube,
        "world": world.name,
        "changes": changes,
        "until": ["what was given for a while ends with this"]
        if ends
        else [until, TABLE["kept"]]
        if until
        else [],
        "an agent may": [GAINS[tier] for tier in TIERS[: TIERS.index(world.tier(after)) + 1]]
        if after & world.marks == {world.umbrella}
        else ["no agent sees it"],
        "switches": switched_on(world, after),
    }

    def do():
        run(_written(options.root, options.qube, world, (tags, after), grant, granted))
        return [f"{options.qube}: done"]

    if after == tags and not (grant or ends):
        return Answer(says, text=says | {"changes": "Nothing changes."})
    return Answer(
        says,
        do=do,
        about=(options.qube,),
        world=world.name,
        words=tuple("".join(one.split()) for one in changes),
    )


def _found(options):
    """`(its world, its tags, the grants that stand)`."""
    name, named, worlds, qubesd = (
        options.qube,
        getattr(options, "world", None),
        read_worlds(options.root),
        open_qubesd(options.root),
    )
    tags = run(qubesd.tags(name))
    if tags is None:
        stop(f"there is no qube {name}")
    read_worlds(options.root, named)
    others = [world for world in worlds.values() if world.umbrella in tags and world.name != named]
    if named and others:
        stop(f"{name} is of the world {others[0].name}: qmcp-admin expel {name}, first")
    if not named and not others:
        stop(f"{name} is of no world: qmcp-admin enroll {name} --world {'|'.join(worlds)}")
    world = worlds[named] if named else others[0]
    if name in world.excluded:
        stop(
            f"{name} is dom0, a principal, a gateway or guarded by qmcp.toml: no call may ever have it as its object"
        )
    return world, tags, run(grants.standing(qubesd, options.root, [name])).get(name, [])


def _narrowing(world):
    return {world.guard, world.egress_lock}


def _tiers(world):
    return {*map(world.tier_tag, TIERS[1:]), *map(world.disposable_mark, TIERS)}


def _wanted(options, world, tags):
    """`(tags to add, tags to take)`. A disposable is the world's by a mark of its own."""
    tier, add, take = getattr(options, "tier", None), set(), set()
    if options.command == "expel":
        return add, {*world.marks, *switches(world).values(), *_tiers(world)}
    if world.umbrella not in tags:
        tier, add = tier or TIERS[0], {world.umbrella}
        if world.stamps & tags and world.born not in tags:
            add.add(
                world.born
            )  # made by a principal before, or taken out since: the operator says it is whole
    if tier:
        mine = {world.tier_tag(tier)} - {world.tier_tag(TIERS[0])}
        if DISPOSABLE.fullmatch(options.qube) or any(
            tag.startswith(world.tag("disposable_stamp")) for tag in tags
        ):
            mine.add(world.disposable_mark(tier))
        add, take = add | mine, _tiers(world) - mine
    for switch, tag in switches(world).items():
        wanted = getattr(options, switch.replace("-", "_"), None)
        (add if wanted == "on" else take).update([tag] if wanted else [])
    return add, take


async def _written(root, name, world, tags, grant, granted):
    """Less comes before more, so that whatever stops this in the middle leaves less. A grant is on the disk before what it
    gives; one that stood goes when there is nothing of it to take back."""
    qubesd, narrowing, (before, after) = open_qubesd(root), _narrowing(world), tags
    gone, new = before - after, after - before
    await perform(
        qubesd,
        name,
        [*(["untag", tag] for tag in gone - narrowing), *(["tag", tag] for tag in new & narrowing)],
    )
    if grant:
        await grants.record(qubesd, root, grant)
    if world.tombstone in gone:
        await qubesd.put(name, "feature", FEATURE.entombed, None)
    more = sorted(new - narrowing, key=lambda tag: tag == world.umbrella)
    await perform(
        qubesd,
        name,
        [*(["untag", tag] for tag in gone & narrowing), *(["tag", tag] for tag in more)],
    )
    await grants.forget(qubesd, root, name, granted, replaced=bool(grant) or not granted)
