"""What dom0 itself says of every set of a world's tags on a qube of every class, and the policy it makes: as JSON.

    cd dom0; python3 -B ../test/security/membership.py QMCP.TOML

For each world the tags in an order, those of the other worlds, and for each class and for whether there is a tag of another
world: bytes of base64, four for each set of tags, whose bits are the tags. The row of membership.toml by its number, the tier at
which an agent has it by its number or 255, and the tags that qmcpd takes off, as two bytes.
"""

import base64
import json
import sys
from pathlib import Path

sys.path.insert(0, ".")

from policy.generate import generate
from settings import config, contracts
from spec import MEMBERSHIP, NAMES, TIERS

worlds = config.load(Path(sys.argv[1])).worlds
installed, unusable = contracts.load("contracts")


def answers(world: config.World, klass: str, tags: list[str], also: frozenset[str]) -> str:
    found = bytearray()
    for number in range(1 << len(tags)):
        here = frozenset(tag for bit, tag in enumerate(tags) if number >> bit & 1) | also
        row, reach = world.membership(klass, here), world.reach(klass, here)
        losing = frozenset().union(*(world.kinds[kind] for kind in row.get("loses", ())))
        lost = sum(1 << bit for bit, tag in enumerate(tags) if tag in losing & here)
        found += bytes(
            (
                MEMBERSHIP.index(row),
                255 if reach is None else TIERS.index(reach),
                lost & 255,
                lost >> 8,
            )
        )
    return base64.b64encode(found).decode()


def told(world: config.World) -> dict[str, object]:
    tags = [*sorted(world.own), *sorted(world.kinds["stamp"])]
    other = sorted(world.kinds["elsewhere"])
    return {
        "tags": tags,
        "other": other,
        "sink": world.sink,
        "principals": sorted(world.principals),
        "answers": {
            klass: [answers(world, klass, tags, frozenset(also)) for also in ((), other[:1])]
            for klass in NAMES.classes
        },
        # One tag of another world is as good as all of them: told of every such tag, with every tag of its own alone.
        "elsewhere": [
            [world.membership("AppVM", frozenset({one, each}))["is"] for each in ("", *tags)]
            for one in other
        ],
    }


print(
    json.dumps(
        {
            "policy": generate(worlds, installed),
            "rows": [row["is"] for row in MEMBERSHIP],
            "contracts": {
                name: {
                    "plugin": one.plugin,
                    "tier": one.target and TIERS.index(one.target["capability"]),
                }
                for name, one in installed.items()
            },
            "worlds": {name: told(world) for name, world in worlds.items()},
        }
    )
)
