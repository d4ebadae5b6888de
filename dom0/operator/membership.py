"""Who is of a world, and what an agent may do with each: the tags, by name. Every change is shown, in words, before it is made."""

import time

import grants
from answer import Answer, stop
from host import clock, open_qubesd, read_worlds, run, switched_on, switches
from qmcpd.effects import perform
from spec import FEATURE, GAINS, TIERS
from verbs import TABLE


def change(options):
    """enroll, tier, guard, manage and expel: each says some of world, tier and switches, and leaves the others as they are."""
    world, qube, granted = _found(options)
    tags = qube.tags
    # What it has for good: a grant that stands is not built upon, and ends with the next word about the qube.
    given = [grant for _, grant in granted]
    base = tags.difference(*(grant["untag"] for grant in given)).union(
        *(grant["retag"] for grant in given)
    )
    add, take = _wanted(options, world, qube.klass, base)
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
    reach = world.reach(qube.klass, after)
    says = {
        "qube": options.qube,
        "world": world.name,
        "changes": changes,
        "until": ["what was given for a while ends with this"]
        if ends
        else [until, TABLE["kept"]]
        if until
        else [],
        "an agent may": [GAINS[tier] for tier in TIERS[: TIERS.index(reach) + 1]]
        if reach
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
    """`(its world, the qube, the grants that stand)`. What is only half a world's can be taken out of it, and put into it."""
    name, named, worlds, qubesd = (
        options.qube,
        getattr(options, "world", None),
        read_worlds(options.root),
        open_qubesd(options.root),
    )
    qube = run(qubesd.look(name))
    if not qube.klass:
        stop(f"there is no qube {name}")
    read_worlds(options.root, named)
    whole = not named and options.command != "expel"
    others = [
        world
        for world in worlds.values()
        if world.name != named and qube.tags & ({world.umbrella} if whole else world.own)
    ]
    if named and others:
        stop(f"{name} has tags of the world {others[0].name}: qmcp-admin expel {name}, first")
    if not named and not others:
        stop(f"{name} is of no world: qmcp-admin enroll {name} --world {'|'.join(worlds)}")
    world = worlds[named] if named else others[0]
    if name in world.excluded:
        stop(
            f"{name} is dom0, a principal, a gateway or guarded by qmcp.toml: no call may ever have it as its object"
        )
    return world, qube, run(grants.standing(qubesd, options.root, [name])).get(name, [])


def _narrowing(world):
    return {world.guard, world.egress_lock}


def _wanted(options, world, klass, tags):
    """`(tags to add, tags to take)`. A disposable has its tier by a mark of its own."""
    tier, add, take = getattr(options, "tier", None), set(), set()
    if options.command == "expel":
        return add, set(world.own)
    if world.umbrella not in tags:
        tier, add = tier or TIERS[0], {world.umbrella}
        if world.kinds["stamp"] & tags and world.born not in tags:
            add.add(
                world.born
            )  # made by a principal before, or taken out since: the operator says it is whole
    if tier:
        mine = {world.tag("disposable" if klass == "DispVM" else "tier", tier)}
        mine &= world.kinds["authority"]  # the first tier is the umbrella's
        add |= mine
        take |= (world.kinds["tier"] | world.kinds["disposable"]) - mine
    for switch, tag in switches(world).items():
        wanted = getattr(options, switch.replace("-", "_"), None)
        (add if wanted == "on" else take).update([tag] if wanted else [])
    return add, take


async def _written(root, name, world, tags, grant, granted):
    """Less comes before more, so that whatever stops this in the middle leaves less; and tags that give authority come after the
    umbrella, and go before it. A grant is on the disk before what it gives; one that stood goes when there is nothing of it to
    take back."""
    qubesd, narrowing, (before, after) = open_qubesd(root), _narrowing(world), tags
    gone, new = before - after, after - before
    order = [world.umbrella, world.born, *sorted(world.kinds["authority"] - {world.born})]
    order = [world.tombstone, *order, *sorted(world.own.difference(order))]
    less = sorted(gone - narrowing, key=order.index, reverse=True)
    await perform(
        qubesd,
        name,
        [*(["untag", tag] for tag in less), *(["tag", tag] for tag in sorted(new & narrowing))],
    )
    if grant:
        await grants.record(qubesd, root, grant)
    if world.tombstone in gone:
        await qubesd.put(name, "feature", FEATURE.entombed, None)
    more = sorted(new - narrowing, key=order.index)
    await perform(
        qubesd,
        name,
        [*(["untag", tag] for tag in sorted(gone & narrowing)), *(["tag", tag] for tag in more)],
    )
    await grants.forget(qubesd, root, name, granted, replaced=bool(grant) or not granted)
