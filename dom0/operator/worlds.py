"""Shows the worlds and what they use, restores and deletes removed qubes, and freezes worlds."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import grants
from answer import Answer, stop
from host import (
    CONFIG,
    EVERY_WORLD,
    FROZEN,
    clock,
    is_frozen,
    members,
    open_qubesd,
    read_worlds,
    run,
    switched_on,
    write,
)
from qmcpd.births import UNDO
from qmcpd.budget import RATES, Budget
from qmcpd.effects import perform
from settings import config
from spec import FEATURE

FROZEN_POLICY = "etc/qubes/policy.d/00-qmcp-frozen.policy"
# Only qmcpd knows how much of these is used.
COUNTED_BY_QMCPD = (*RATES, "concurrent_calls", "private_size")


def status(options):
    return Answer(
        [
            {key: one[key] for key in ("world", "state", "principals", "uses", "qubes")}
            for one in run(_worlds(options.root))
        ]
    )


def world(options):
    return Answer(run(_worlds(options.root, options.world)))


async def _worlds(root, name=None):
    qubesd, worlds = open_qubesd(root), read_worlds(root, name)
    there = await members(qubesd, worlds)
    granted = await grants.standing(qubesd, root, [one.name for one in there])
    return [
        await _world(qubesd, root, world, [one for one in there if one.world is world], granted)
        for world in worlds.values()
    ]


async def _world(qubesd, root, world, own, granted):
    counted = Budget(qubesd, SimpleNamespace(world=world, names=partial(_names, own)))
    budget = [{"line": line, **row} for line, row in (await counted.status()).items()]
    for row in budget:
        row |= dict.fromkeys(("used", "left")) if row["line"] in COUNTED_BY_QMCPD else {}
    return {
        "world": world.name,
        "state": "frozen" if is_frozen(root, world) else "active",
        "principals": sorted(world.principals),
        "uses": [
            f"{row['line']}:{_short(row, 'used')}/{_short(row, 'limit')}"
            for row in budget
            if row["used"] is not None
        ],
        "plugins": [
            {"principal": name, "may use": sorted(plugins)}
            for name, plugins in world.principals.items()
        ],
        "prefix": world.prefix,
        "birth ceiling": world.birth_ceiling,
        "gateways": world.gateways,
        "birth gateway": world.birth_gateway,
        "egress ceiling": [" ".join(rule.values()) for rule in world.egress],
        "properties": world.properties,
        "features": world.features,
        "guarded": world.guarded,
        "tombstone days": world.tombstone_days,
        "budget": budget,
        "qubes": [
            {
                "qube": one.name,
                "class": one.klass,
                "state": one.state,
                "tier": "removed" if one.removed() else one.tier(),
                "until": grants.until(granted, one.name),
                "switches": switched_on(world, one.tags),
                "made by": sorted(
                    tag.removeprefix(world.tag("stamp"))
                    for tag in one.tags
                    if tag.startswith(world.tag("stamp"))
                ),
            }
            for one in own
        ],
    }


def _short(row, key):
    return f"{row[key] / 2**30:.1f}G" if row["line"] == "disk" else row[key]


async def _names(own):
    return [one.name for one in own]


# ---- removed qubes


def _removed(options):
    return [
        one
        for one in run(members(open_qubesd(options.root), read_worlds(options.root)))
        if one.removed()
    ]


def _rows(found):
    return [
        {
            "qube": one.name,
            "world": one.world.name,
            "removed": clock(one.when),
            "would get back": one.tier(),
        }
        for one in found
    ]


def tombstones(options):
    found = _removed(options)
    return Answer(_rows(found), text=_rows(found) or "There are no removed qubes.")


def restore(options):
    one = next((one for one in _removed(options) if one.name == options.qube), None)
    if one is None:
        stop(f"no removed qube is called {options.qube}: qmcp-admin tombstones")

    def do():
        run(
            perform(
                open_qubesd(options.root),
                one.name,
                [["put", "feature", FEATURE.entombed, None], ["untag", one.world.tombstone]],
            )
        )
        return [f"restored {one.name}, at {one.tier()}"]

    return Answer(_rows([one]), do=do, about=(one.name,), world=one.world.name)


def reap(options):
    """Delete removed qubes, except one whose time of removal cannot be read: `check` reports that one."""
    found = [one for one in _removed(options) if one.when is not None and one.kept_too_long()]

    def do():
        for one in found:
            run(perform(open_qubesd(options.root), one.name, UNDO))
        return [f"deleted: {one.name}" for one in found]

    return Answer(
        _rows(found),
        text=_rows(found) or "No removed qube is past its retention.",
        do=do if found else None,
        about=tuple(one.name for one in found),
    )


# ---- stop everything


def _frozen(options, words, flag):
    """Freeze or thaw at once, whatever state anything else is in."""
    names = (
        [EVERY_WORLD]
        if options.world == EVERY_WORLD
        else [*read_worlds(options.root, options.world), EVERY_WORLD]
    )

    def do():
        (options.root / FROZEN).mkdir(mode=0o750, exist_ok=True)
        flag(options.root / FROZEN / options.world)
        still = [name for name in names if (options.root / FROZEN / name).exists()]
        return [
            words.format(options.world),
            *(f"frozen: {name}" for name in still),
            *_close_qubes(options.root),
        ]

    return Answer(
        [], do=do, at_once=True, world=None if options.world == EVERY_WORLD else options.world
    )


def _close_qubes(root):
    """Deny calls between qubes while their world is frozen: they do not pass through qmcpd. Returns what went wrong."""
    try:
        worlds = config.load(root / CONFIG).worlds.values()
        frozen = sorted(
            name for world in worlds if is_frozen(root, world) for name in world.principals
        )
        write(root / FROZEN_POLICY, "".join(f"* * {name} @anyvm deny\n" for name in frozen))
    except (config.Misconfigured, OSError) as problem:
        return [f"WARNING: commands can still be run in qubes, because {problem}"]
    return []


def freeze(options):
    return _frozen(
        options,
        "Calls in progress in {} are stopped and undone, except one that is being committed at this moment;"
        " commands already running in qubes continue.",
        Path.touch,
    )


def thaw(options):
    return _frozen(options, "thawed: {}", partial(Path.unlink, missing_ok=True))
