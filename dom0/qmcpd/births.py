"""How a qube of a world comes into being, ends, and comes back.

Every birth has the same shape: made by qubesd in the principal's name, so that it is stamped from the start; narrowed; read
back; and only when the call is committed given its tier and its mark, which make it one of the world's.
"""

import time
from typing import NamedTuple

from spec import FEATURE, LIMITS, NAMES, REFUSAL, TIERS

from . import invariants
from .budget import Charge, running
from .effects import act
from .errors import Refused
from .qubesd import Qube

UNDO = [["halt"], ["remove"]]


class Birth(NamedTuple):
    name: str
    source: Qube
    kind: str
    netvm: str
    disk: int  # bytes that outlive it
    firewall: str | None = None

    def narrowing(self, world, settings):
        properties = {
            "netvm": self.netvm,
            **dict.fromkeys(NAMES.escape_hatches, ""),
            **settings,
        }
        return [
            *(["put", "property", key, value] for key, value in properties.items()),
            ["put", "feature", FEATURE.birth_network, self.netvm],
            [
                "put",
                "firewall",
                "",
                invariants.birth_firewall(world, self.source.tags, self.firewall),
            ],
            *(["tag", tag] for tag in invariants.birth_restrictions(world, self.source.tags)),
        ]

    def finish(self, world):
        """The tags that end the birth: the last one makes it one of the world's. A disposable's says its tier, too."""
        tier = invariants.birth_tier(world, self.source)
        if self.kind == "DispVM":
            return [["tag", world.tag("disposable", tier)]]
        raised = [["tag", world.tag("tier", tier)]] if tier != TIERS[0] else []
        return [*raised, ["tag", world.born]]

    async def read_back(self, call, stamp):
        tags, properties = await call.host.tags(self.name), await call.host.properties(self.name)
        declared = [
            kind
            for one in call.contract.invariants
            if one["id"] == "birth.class"
            for kind in one["with"]["classes"]
        ]
        invariants.require_birth(
            call.world, declared, self.kind, stamp, self.netvm, tags, properties
        )
        if self.disk and int((await call.host.volume(self.name))["size"]) != self.disk:
            raise Refused(REFUSAL.failed)
        # in reach of the steps that follow as it will be
        call.qubes[self.name] = Qube(
            self.name,
            properties["klass"][0],
            "",
            tags | {tag for _, tag in self.finish(call.world)},
        )
        call.roster.expect(self.name)


async def create(
    call,
    name,
    template,
    label=NAMES.labels[0],
    network="inherit",
    kind="AppVM",
    memory=None,
    vcpus=None,
    private_size=None,
):
    wanted = {
        "memory": memory,
        "maxmem": memory,
        "vcpus": vcpus,
        "template_for_dispvms": kind == "DispVMTemplate" or None,
    }
    settings = {key: str(value) for key, value in wanted.items() if value is not None}
    netvm = "" if network == "none" else invariants.birth_network(call.world, None)
    if private_size is not None and private_size < LIMITS.new_disk_bytes:
        raise Refused(REFUSAL.not_permitted)
    grow = [["resize", private_size]] if private_size else []
    await _birth(
        call,
        Birth(name, template, kind, netvm, private_size or LIMITS.new_disk_bytes),
        template.name,
        label,
        settings,
        grow,
    )


async def clone(call, name, source):
    host, properties = call.host, await call.host.properties(source.name)
    settings = {
        key: properties[key][0]
        for key in NAMES.cloned
        if key in properties and not properties[key][1]
    }
    kind = (
        "DispVMTemplate"
        if settings.get("template_for_dispvms") == "True"
        else properties["klass"][0]
    )
    if kind not in ("AppVM", "DispVMTemplate"):
        raise Refused(REFUSAL.not_permitted)  # INVARIANT birth.class
    netvm = invariants.birth_network(call.world, properties["netvm"][0])
    disk = int((await host.volume(source.name))["size"])
    birth = Birth(name, source, kind, netvm, disk, await host.get(source.name, "firewall"))
    copy = [["copy_volume", source.name]]
    await _birth(call, birth, properties["template"][0], properties["label"][0], settings, copy)


async def _birth(call, birth, template, label, settings, volume):
    stamp = call.world.tag("stamp", principal=call.principal)
    # Asked first, so that undoing this birth can never take a qube that was there before.
    if await call.host.tags(birth.name) is not None:
        raise Refused(REFUSAL.name_taken)
    await call.admit(birth.name, Charge(qubes=1, disk=birth.disk), birth=True)
    do = [
        ["create", template, label, call.principal],
        *birth.narrowing(call.world, settings),
        *volume,
    ]
    await act(call, birth.name, do, UNDO, birth.finish(call.world), (stamp, call.world.born))
    await birth.read_back(call, stamp)


async def disposable(call, template):
    """Made and started: what does not run is of no use, and may be gone at any time."""
    host, world = call.host, call.world
    properties = await host.properties(template.name)
    if properties.get("template_for_dispvms", ("",))[0] != "True":
        raise Refused(REFUSAL.conflict)
    netvm = invariants.birth_network(world, properties["netvm"][0])
    firewall = await host.get(template.name, "firewall")
    stamp = world.tag("disposable_stamp", principal=call.principal)
    await call.admit(call.identity, running(properties)._replace(qubes=1), birth=True)
    async with call.alone(
        [f"?{stamp}"]
    ):  # while a disposable has no name, it is its principal's only one
        # Another one, of whatever tier, is not what is to be undone.
        call.intend("", UNDO, unborn=(stamp, *sorted(world.kinds["disposable"])))
        name = await host.create_disposable(template.name, call.principal)
        birth = Birth(name, template, "DispVM", netvm, 0, firewall)
        call.named(name, UNDO, birth.finish(world), (stamp, birth.finish(world)[-1][1]))
    # It has every tag of its template, and is nobody's while it lacks its mark.
    # INVARIANT tags.operator-only
    strip = [["untag", tag] for tag in sorted({world.born, *world.kinds["tier"]})]
    await act(call, name, [*strip, *birth.narrowing(world, {})], UNDO)
    await birth.read_back(call, stamp)
    if await host.state(name) != "Running":  # one that qubesd had ready is
        await act(call, name, [["start"]], [])
    return {"name": name}


# ---- end, and return


async def entomb(call, qube):
    """Halt and mark. What it may be is left to its tags, so that one the operator takes meanwhile is taken for good. A disposable
    has nothing to keep."""
    end = UNDO
    if (await call.host.list(qube.name))[qube.name][0] != "DispVM":
        now = ["put", "feature", FEATURE.entombed, str(int(time.time()))]
        end = [["halt"], now, ["tag", call.world.tombstone]]  # INVARIANT remove.is-a-tombstone
    await act(call, qube.name, end, end)
    return {"removed": qube.name}


async def restore(call, qube):
    """Back to what it is by the tags it has now: the mark that hides it goes, and nothing is given."""
    tombstone, when = (
        call.world.tombstone,
        await call.host.get(qube.name, "feature", FEATURE.entombed),
    )
    if time.time() > int(when or 0) + call.world.tombstone_days * 86400:
        raise Refused(REFUSAL.not_found)
    do = [["put", "feature", FEATURE.entombed, None], ["untag", tombstone]]
    await act(call, qube.name, do, [["put", "feature", FEATURE.entombed, when], ["tag", tombstone]])
    return {"restored": qube.name}
