"""The worlds: what there is of each and what it uses, what agents removed of it, and how to stop it."""

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
COUNTED_BY_QMCPD = (
    *RATES,
    "concurrent_calls",
    "private_size",
)  # of these it alone knows what is used


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
    counted = Budget(qubesd)
    counted.world, counted.roster = (
        world,
        SimpleNamespace(names=partial(_names, own), marks=world.marks),
    )
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
                "tier": "removed" if one.removed() else world.tier(one.tags),
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
            "would get back": one.world.tier(one.tags),
        }
        for one in found
    ]


def tombstones(options):
    found = _removed(options)
    return Answer(_rows(found), text=_rows(found) or "Nothing was removed.")


def restore(options):
    one = next((one for one in _removed(options) if one.name == options.qube), None)
    if one is None:
        stop(f"{options.qube} is no removed qube: see qmcp-admin tombstones")

    def do():
        run(
            perform(
                open_qubesd(options.root),
                one.name,
                [["put", "feature", FEATURE.entombed, None], ["untag", one.world.tombstone]],
            )
        )
        return [f"restored {one.name}, at {one.world.tier(one.tags)}"]

    return Answer(_rows([one]), do=do, about=(one.name,), world=one.world.name)


def reap(options):
    """One whose time of removal cannot be read is not among them: `check` tells of it."""
    found = [one for one in _removed(options) if one.when is not None and one.kept_too_long()]

    def do():
        for one in found:
            run(perform(open_qubesd(options.root), one.name, UNDO))
        return [f"gone: {one.name}" for one in found]

    return Answer(
        _rows(found),
        text=_rows(found) or "Nothing was kept too long.",
        do=do if found else None,
        about=tuple(one.name for one in found),
    )


# ---- stop everything


def _frozen(options, words, flag):
    """At once, whatever state anything else is in."""
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
    """What an agent asks of a qube does not meet the kernel: while its world is frozen, the policy denies it. What went wrong."""
    try:
        worlds = config.load(root / CONFIG).worlds.values()
        frozen = sorted(
            name for world in worlds if is_frozen(root, world) for name in world.principals
        )
        write(root / FROZEN_POLICY, "".join(f"* * {name} @anyvm deny\n" for name in frozen))
    except (config.Misconfigured, OSError) as problem:
        return [f"Calls of commands in qubes are as they were: {problem}"]
    return []


def freeze(options):
    return _frozen(
        options,
        "A call under way in {} is stopped before its next step, or before it is committed, and what it did"
        " is undone; only one that is being committed this very moment is finished. A command that runs in a qube goes on.",
        Path.touch,
    )


def thaw(options):
    return _frozen(options, "thawed: {}", partial(Path.unlink, missing_ok=True))
