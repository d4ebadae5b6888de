"""Who is of a world, and what an agent may do with each: the tags, by name. Every change is shown, in words, before it is made."""

import sys
import time

import table
from host_admin import entombed, open_qubesd, read_worlds, run
from qmcpd.invariants import DISPOSABLE
from settings.config import TIERS

GAINS = {
    "read": "see it: its name, state, settings, template and network as far as those are of the world",
    "exec": "start and stop it, run commands in it as root, read and write every file of it, and make clones of it",
    "net": "take it off its network and back, and set its outbound rules within the world's ceiling",
    "full": "change its settings, grow its disk, attach devices of the world to it, and remove it",
}


def register(areas):
    enroll = areas.add_parser("enroll", help="make a qube one of a world's")
    enroll.add_argument("qube")
    enroll.add_argument("--world", required=True)
    enroll.add_argument("--tier", choices=TIERS, default="read", help="what an agent may do with it (default: read)")
    enroll.set_defaults(run=lambda options: _change(options, lambda world, tags: _enrolled(world, tags, options)))
    tier = areas.add_parser("tier", help="say anew what an agent may do with a qube of a world")
    tier.add_argument("qube")
    tier.add_argument("tier", choices=TIERS)
    tier.set_defaults(run=lambda options: _change(options, lambda world, tags: _at(world, options.tier, options.qube, tags)))
    guard = areas.add_parser("guard", help="let agents look at a qube, and do nothing with it, whatever its tier")
    guard.add_argument("qube")
    guard.add_argument("--off", action="store_true", help="take the guard away")
    guard.set_defaults(run=lambda options: _change(options, lambda world, tags: _guarded(world, options.off)))
    expel = areas.add_parser("expel", help="take a qube out of its world; it stays as it is")
    expel.add_argument("qube")
    expel.set_defaults(run=lambda options: _change(options, lambda world, tags: (set(), _all(world))))
    reap = areas.add_parser("reap", help="remove for good what agents removed longer ago than their world keeps it")
    reap.set_defaults(run=_reap)
    for each in (enroll, tier, guard, expel, reap):
        each.add_argument("--yes", action="store_true", help="do it without asking")


def _all(world):
    marks = {world.disposable_mark(tier) for tier in TIERS}
    return {world.umbrella, world.guard, world.egress_lock, world.sink, *map(world.tier_tag, TIERS[1:]), *marks}


def _at(world, tier, name, tags):
    """`(tags to add, tags to take)` for a qube at this tier. A disposable is the world's by a mark of its own."""
    add = {world.tier_tag(tier)} - {world.tier_tag("read")}
    if DISPOSABLE.fullmatch(name) or any(tag.startswith("disp-created-by-") for tag in tags):
        add.add(world.disposable_mark(tier))
    return add, {tag for tag in _all(world) - add if tag not in (world.umbrella, world.guard, world.egress_lock, world.sink)}


def _enrolled(world, tags, options):
    add, take = _at(world, options.tier, options.qube, tags)
    if world.stamps & tags and world.born not in tags:
        add.add(world.born)  # made by a principal before, or taken out since: the operator says it is whole
    return add | {world.umbrella}, take


def _guarded(world, off):
    return (set(), {world.guard}) if off else ({world.guard}, set())


def _change(options, plan):
    worlds = read_worlds(options.root)
    named = getattr(options, "world", None)
    if named and named not in worlds:
        sys.exit(f"qmcp-admin: there is no world {table.safe(named)}; there are {', '.join(worlds)}")
    qubesd, name = open_qubesd(options.root), options.qube
    tags = run(qubesd.tags(name))
    if tags is None:
        sys.exit(f"qmcp-admin: there is no qube {table.safe(name)}")
    others = [world for world in worlds.values() if world.umbrella in tags and world.name != named]
    if named and others:
        sys.exit(f"qmcp-admin: {name} is of the world {others[0].name}: qmcp-admin expel {name}, first")
    if not named and not others:
        sys.exit(f"qmcp-admin: {table.safe(name)} is of no world: qmcp-admin enroll {table.safe(name)} --world …")
    world = worlds[named] if named else others[0]
    if name in world.excluded:
        sys.exit(f"qmcp-admin: {name} is dom0, a principal, a gateway or guarded by qmcp.toml: no call may ever have it as its object")
    add, take = plan(world, tags)
    add, take = add - tags, take & tags
    if not add | take:
        print("Nothing changes.")
        return 0
    after = (tags | add) - take
    print(f"{name}, of the world {world.name}:")
    for tag in sorted(take):
        print(f"  - {tag}")
    for tag in sorted(add):
        print(f"  + {tag}")
    may = TIERS[:TIERS.index(world.tier(after)) + 1] if world.umbrella in after else ()
    for line in [f"an agent may {GAINS[tier]}" for tier in may] or ["no agent sees it"]:
        print(f"  {line}")
    if not _agreed(options):
        return 1
    # Less comes before more, so that whatever stops this in the middle leaves less.
    for tag in sorted(take):
        run(qubesd.untag(name, tag))
    for tag in sorted(add, key=lambda tag: tag == world.umbrella):
        run(qubesd.tag(name, tag))
    return 0


def _agreed(options):
    if options.yes:
        return True
    if not sys.stdin.isatty():
        print("Not done: say --yes to do it.")
        return False
    return input("Do it? Type yes: ") == "yes"


def _reap(options):
    qubesd, rows = open_qubesd(options.root), []
    for name in sorted(run(qubesd.list())):
        tags = run(qubesd.tags(name)) or frozenset()
        for world in read_worlds(options.root).values():
            when, _ = run(entombed(qubesd, name)) if world.tombstone in tags else (None, [])
            if when is not None and time.time() > when + world.tombstone_days * 86400:
                rows.append([(name, None), (world.name, None), (time.strftime("%Y-%m-%d", time.localtime(when)), "dim")])
    table.show(["qube", "world", "removed"], rows)
    if not rows or not _agreed(options):
        return 0
    for (name, _), *_ in rows:
        run(qubesd.halt(name))
        run(qubesd.remove(name))
        print(f"gone: {name}")
    return 0
