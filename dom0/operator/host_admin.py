"""What the operator does to the qubes of a world: see them, bring one back, stop everything."""

import asyncio
import sys
import time
from pathlib import Path

import table
from settings import config
from qmcpd.qubesd import AdminError, Qubesd
from qmcpd.births import ENTOMBED

FROZEN = "var/lib/qmcp/frozen"
EVERY_WORLD = "all"


def read_worlds(root):
    try:
        return config.load(root / "etc/qmcp/qmcp.toml").worlds
    except config.Misconfigured as problem:
        sys.exit(f"qmcp-admin: {problem}")


def open_qubesd(root):
    return Qubesd(str(root / "run/qubesd.sock"))


def run(work):
    try:
        return asyncio.run(work)
    except AdminError as refused:
        sys.exit(f"qmcp-admin: qubesd refused: {table.safe(refused)}")


# ---- what there is

def status(root):
    """Every world: whether it is frozen, who speaks for it, and its qubes with what an agent may do with each."""
    worlds = read_worlds(root)
    for world, rows in run(_members(root, worlds)):
        frozen = [name for name in (world.name, EVERY_WORLD) if (root / FROZEN / name).exists()]
        state = table.paint("frozen", "yellow") if frozen else "active"
        print(f"world {world.name}: {state}; principals {', '.join(sorted(world.principals))}")
        table.show(["qube", "class", "state", "tier", "made by"], rows)
    return 0


async def _members(root, worlds):
    qubesd, found = open_qubesd(root), {name: [] for name in worlds}
    for name, (klass, state) in sorted((await qubesd.list()).items()):
        tags = await qubesd.tags(name) or frozenset()
        for world in worlds.values():
            if not {world.umbrella, world.tombstone} & tags:
                continue
            removed = world.tombstone in tags
            tier = "removed" if removed else world.tier(tags)
            makers = sorted(tag.removeprefix("created-by-") for tag in tags if tag.startswith("created-by-"))
            found[world.name].append([
                (name, None), (klass, None), (state, None), (tier, "dim" if removed else None), (", ".join(makers), None),
            ])
    return [(worlds[name], rows) for name, rows in found.items()]


# ---- removed qubes

def tombstones(root):
    rows = []
    for world, name, when, had in run(_tombstones(root, read_worlds(root))):
        removed = time.strftime("%Y-%m-%d %H:%M", time.localtime(when)) if when else ""
        rows.append([(name, None), (world.name, None), (removed, "dim"), (" ".join(had), None)])
    table.show(["qube", "world", "removed", "would get back"], rows)
    return 0


async def _tombstones(root, worlds):
    qubesd, found = open_qubesd(root), []
    for name in sorted(await qubesd.list()):
        tags = await qubesd.tags(name) or frozenset()
        for world in worlds.values():
            if world.tombstone in tags:
                found.append((world, name, *await entombed(qubesd, name)))
    return found


async def entombed(qubesd, name):
    """When a qube was removed, as seconds since the epoch, and the tags that were taken from it."""
    words = (await qubesd.get(name, "feature", ENTOMBED) or "").split()
    when = int(words.pop(0)) if words and words[0].isdecimal() else None
    return when, words


def restore(root, name):
    """Give a removed qube back to its world, with the tier it had."""
    had = run(_restore(root, read_worlds(root), name))
    print(f"restored {table.safe(name)} with {' '.join(had)}")
    return 0


async def _restore(root, worlds, name):
    qubesd = open_qubesd(root)
    tags = await qubesd.tags(name) or frozenset()
    world = next((world for world in worlds.values() if world.tombstone in tags), None)
    if world is None:
        sys.exit(f"qmcp-admin: {table.safe(name)} is no removed qube: see qmcp-admin tombstones")
    _, had = await entombed(qubesd, name)
    # The mark that hides it goes last: until then it is nobody's, whatever it carries.
    for tag in had:
        await qubesd.tag(name, tag)
    await qubesd.untag(name, world.tombstone)
    await qubesd.call("admin.vm.feature.Remove", name, ENTOMBED)
    return had


# ---- stop everything

def freeze(root, name):
    """From now on no call of this world, or of any, has an effect."""
    _known(root, name)
    directory = root / FROZEN
    directory.mkdir(mode=0o750, exist_ok=True)
    (directory / name).touch()
    print(f"frozen: {name}. A call that was under way is seen through; the next one is refused.")
    return 0


def thaw(root, name):
    _known(root, name)
    Path(root / FROZEN / name).unlink(missing_ok=True)
    still = [other for other in (name, EVERY_WORLD) if (root / FROZEN / other).exists()]
    print(f"thawed: {name}" + (f"; still frozen: {', '.join(still)}" if still else ""))
    return 0


def _known(root, name):
    known = [*read_worlds(root), EVERY_WORLD]
    if name not in known:
        sys.exit(f"qmcp-admin: there is no world {table.safe(name)}; there are {', '.join(known)}")
