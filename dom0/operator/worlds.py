"""Shows the worlds and what they use, and restores and deletes removed qubes."""

from pathlib import Path
from typing import Any

import grants
import models
import operator_log
from answer import Answer, Options, stop
from freezing import is_frozen
from host import (
    Member,
    clock,
    instant,
    members,
    open_qubesd,
    read_worlds,
    run,
    switched_on,
)
from qmcpd.births import UNDO
from qmcpd.budget import RATES, Budget
from qmcpd.effects import perform
from qmcpd.qubesd import Qubesd
from settings.config import World
from spec import FEATURE, TIERS

Row = dict[str, Any]
# Only qmcpd knows how much of these is used.
COUNTED_BY_QMCPD = (*RATES, "concurrent_calls", "private_size")


def status(options: Options) -> Answer:
    rows = [
        {key: one[key] for key in ("world", "state", "principals", "uses", "qubes")}
        for one in run(_worlds(options.root))
    ]
    return _answer(rows)


def world(options: Options) -> Answer:
    return _answer(run(_worlds(options.root, options.world)))


def _answer(rows: list[Row]) -> Answer:
    """--json has numbers, and times as instants; a person gets them short."""
    text = [
        {key: value for key, value in row.items() if key != "tiers"}
        | {
            "uses": [
                f"{use['line']}:{_short(use, 'used')}/{_short(use, 'limit')}" for use in row["uses"]
            ]
        }
        | {"qubes": [_narrow(one) for one in row["qubes"]]}
        for row in rows
    ]
    data = [
        row | {"qubes": [one | {"until": instant(one["until"])} for one in row["qubes"]]}
        for row in rows
    ]
    return Answer(data, text=text)


def _narrow(row: Row) -> Row:
    """Without the columns for which a table has no room."""
    left = {key: value for key, value in row.items() if key not in ("network", "disk")}
    return left | {"until": grants.shown(row["until"])}


async def _worlds(root: Path, name: str | None = None) -> list[Row]:
    qubesd, worlds = open_qubesd(root), read_worlds(root, name)
    there = await members(qubesd, worlds)
    granted = await grants.standing(qubesd, root, [one.name for one in there])
    return [
        await _world(qubesd, root, world, [one for one in there if one.world is world], granted)
        for world in worlds.values()
    ]


async def _world(
    qubesd: Qubesd, root: Path, world: World, own: list[Member], granted: grants.Granted
) -> Row:
    all_qubes = await qubesd.list()
    counted = Budget(qubesd, _Known(world, own))
    budget = [{"line": line, **row} for line, row in (await counted.status()).items()]
    for row in budget:
        row |= dict.fromkeys(("used", "left")) if row["line"] in COUNTED_BY_QMCPD else {}
    return {
        "world": world.name,
        "state": "frozen" if is_frozen(root, world.name) else "active",
        "principals": sorted(world.principals),
        "uses": [
            {key: row[key] for key in ("line", "used", "limit")}
            for row in budget
            if row["used"] is not None
        ],
        "tiers": list(TIERS),
        "plugins": [
            {
                "principal": name,
                "may use": sorted(plugins),
                "reaches": (await models.network(qubesd, name)).words if name in all_qubes else "",
            }
            for name, plugins in world.principals.items()
        ],
        "updates through": world.updates,
        "prefix": world.prefix,
        "birth ceiling": world.birth_ceiling,
        "gateways": sorted(world.gateways),
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
                "until": grants.ends(granted, one.name),
                "switches": switched_on(world, one.tags),
                "network": (await qubesd.properties(one.name))["netvm"][0],
                "disk": int((await qubesd.volume(one.name))["size"]),
                "made by": sorted(
                    tag.removeprefix(world.tag("stamp"))
                    for tag in one.tags
                    if tag.startswith(world.tag("stamp"))
                ),
            }
            for one in own
        ],
    }


def _short(row: Row, key: str) -> object:
    return f"{row[key] / 2**30:.1f}G" if row["line"] == "disk" else row[key]


class _Known:
    """What a budget asks a roster."""

    def __init__(self, world: World, own: list[Member]) -> None:
        self.world, self._own = world, own

    async def names(self) -> list[str]:
        return [one.name for one in self._own]


# ---- removed qubes


def _removed(options: Options) -> list[Member]:
    return [
        one
        for one in run(members(open_qubesd(options.root), read_worlds(options.root)))
        if one.removed()
    ]


def _rows(found: list[Member]) -> list[Row]:
    return [
        {
            "qube": one.name,
            "world": one.world.name,
            "removed": instant(one.when),
            "would get back": one.tier(),
        }
        for one in found
    ]


def _shown(found: list[Member]) -> list[Row]:
    rows = zip(_rows(found), found, strict=True)
    return [row | {"removed": clock(one.when)} for row, one in rows]


def tombstones(options: Options) -> Answer:
    found = _removed(options)
    return Answer(_rows(found), text=_shown(found) or "There are no removed qubes.")


def restore(options: Options) -> Answer:
    one = next((one for one in _removed(options) if one.name == options.qube), None)
    if one is None and operator_log.is_unfinished(options):
        return Answer([], text="Nothing is left to do.")
    if one is None:
        stop(f"no removed qube is called {options.qube}: qmcp-admin tombstones")

    def do() -> list[str]:
        undo = [["put", "feature", FEATURE.entombed, None], ["untag", one.world.tombstone]]
        run(perform(open_qubesd(options.root), one.name, undo))
        return [f"restored {one.name}, at {one.tier()}"]

    about, world = (one.name,), one.world.name
    return Answer(_rows([one]), text=_shown([one]), do=do, about=about, world=world)


def reap(options: Options) -> Answer:
    """Delete removed qubes, except one whose time of removal cannot be read: `check` reports that one."""
    found = _past_retention(options)

    def do() -> list[str]:
        done = []
        for one in found:
            # It may have been restored while the operator was asked.
            if one.name in [still.name for still in _past_retention(options)]:
                run(perform(open_qubesd(options.root), one.name, UNDO))
                done.append(f"deleted: {one.name}")
        return done

    return Answer(
        _rows(found),
        text=_shown(found) or "No removed qube is past its retention.",
        do=do if found else None,
        about=tuple(one.name for one in found),
    )


def _past_retention(options: Options) -> list[Member]:
    return [one for one in _removed(options) if one.when is not None and one.kept_too_long()]
