"""How the qubes of a world are made, removed and restored.

Every birth has the same shape. qubesd makes the qube in the principal's name, so the qube has a stamp from the start. qmcpd narrows it
and reads it back. Only at the commit, after its source was judged again, the qube gets the tags that make it one of the world's.
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from settings.config import World
from spec import FEATURE, LIMITS, NAMES, REFUSAL, TIERS

from . import gateways, invariants
from .budget import Charge, startable, starting
from .call import Call
from .effects import act, carry_out, perform
from .errors import Refused
from .journal import Operation
from .qubesd import Qube

UNDO = [["halt"], ["remove"]]
Outlets = tuple[str, str | None]


async def _outlets(call: Call, qube: Qube) -> Outlets:
    """A qube's network and its outbound rules: together, they limit what it can reach."""
    properties = await call.host.properties(qube.name)
    return properties["netvm"][0], await call.host.get(qube.name, "firewall")


class Birth(NamedTuple):
    name: str
    source: Qube
    kind: str
    stamp: str
    netvm: str
    disk: int  # bytes of disk that stay while it is halted
    outlets: Outlets | None = None  # of the source, if the child gets the same ones

    def narrowing(self, world: World, settings: dict[str, str]) -> list[Operation]:
        properties = {
            "netvm": self.netvm,
            **dict.fromkeys(NAMES.escape_hatches, ""),
            **settings,
        }
        rules = invariants.birth_firewall(world, self.source.tags, self.outlets and self.outlets[1])
        return [
            *(["put", "property", key, value] for key, value in properties.items()),
            ["put", "feature", FEATURE.birth_network, self.netvm],
            ["put", "firewall", "", rules],
            *(["tag", tag] for tag in invariants.birth_restrictions(world, self.source.tags)),
        ]

    def marks(self, world: World) -> list[str]:
        """The tags that end the birth; the last one makes the qube one of the world's. The tag of a disposable also names its tier."""
        tier = invariants.birth_tier(world, self.source)
        if self.kind == "DispVM":
            return [world.tag("disposable", tier)]
        return [*([world.tag("tier", tier)] if tier != TIERS[0] else []), world.born]

    async def adopt(self, call: Call) -> Qube:
        """Check that qubesd made the qube with the principal's stamp. From here on, its name means this very qube."""
        child = await call.host.look(self.name)
        # INVARIANT birth.tagged-before-named
        if not {call.world.umbrella, self.stamp} <= child.tags:
            raise Refused(REFUSAL.failed, "the new qube lacks the tags of its maker")
        call.host.pin(child)
        marks = [["mark", tag, call.world.umbrella] for tag in self.marks(call.world)]
        call.checks.append(partial(self._require_same, call))
        call.at_commit.append(partial(perform, call.host, self.name, marks))
        return child

    async def read_back(self, call: Call, child: Qube) -> None:
        tags = await call.host.tags(self.name) or frozenset()
        properties = await call.host.properties(self.name)
        declared = [
            kind
            for one in call.contract.invariants
            if one["id"] == "birth.class"
            for kind in one["with"]["classes"]
        ]
        invariants.require_birth(
            call.world, declared, self.kind, self.stamp, self.netvm, tags, properties
        )
        if self.disk and int((await call.host.volume(self.name))["size"]) != self.disk:
            raise Refused(REFUSAL.failed, "the new disk does not have its size")
        # The steps that follow may use it with the tags that it will have.
        call.qubes[self.name] = child._replace(tags=tags | {*self.marks(call.world)})
        call.roster.expect(self.name)

    async def _require_same(self, call: Call) -> None:
        if self.outlets and await _outlets(call, self.source) != self.outlets:
            # INVARIANT birth.egress-inherited
            raise Refused(REFUSAL.busy, "the operator has changed the source meanwhile")


async def create(
    call: Call,
    name: str,
    template: Qube,
    label: str = NAMES.labels[0],
    network: str = "inherit",
    kind: str = "AppVM",
    memory: int | None = None,
    maxmem: int | None = None,
    vcpus: int | None = None,
    private_size: int | None = None,
) -> None:
    inherited = await call.host.properties(template.name)
    if maxmem is None and memory and not startable(inherited, memory=memory):
        maxmem = memory  # as the platform's own settings do
    wanted = {
        "memory": memory,
        "maxmem": maxmem,
        "vcpus": vcpus,
        "template_for_dispvms": kind == "DispVMTemplate" or None,
    }
    settings = {key: str(value) for key, value in wanted.items() if value is not None}
    if maxmem and not startable(inherited, **settings):
        raise Refused(REFUSAL.conflict, "memory is more than maxmem")
    netvm = "" if network == "none" else invariants.birth_network(call.world, None)
    if private_size is not None and private_size < LIMITS.new_disk_bytes:
        raise Refused(REFUSAL.not_permitted, "a new disk is not smaller than the platform's")
    grow = [["resize", private_size]] if private_size else []
    disk = private_size or LIMITS.new_disk_bytes
    birth = Birth(name, template, kind, _stamp(call), netvm, disk)
    await _birth(call, birth, template.name, label, settings, grow)


async def clone(call: Call, name: str, source: Qube) -> None:
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
        # INVARIANT birth.class
        raise Refused(REFUSAL.not_permitted, "only an AppVM or a disposable template is cloned")
    disk, outlets = int((await host.volume(source.name))["size"]), await _outlets(call, source)
    netvm = invariants.birth_network(call.world, outlets[0])
    birth = Birth(name, source, kind, _stamp(call), netvm, disk, outlets)
    copy = [["copy_volume", source.name]]
    await _birth(call, birth, properties["template"][0], properties["label"][0], settings, copy)


def _stamp(call: Call, kind: str = "stamp") -> str:
    return call.world.tag(kind, principal=call.principal)


async def _birth(
    call: Call,
    birth: Birth,
    template: str,
    label: str,
    settings: dict[str, str],
    volume: Sequence[Operation],
) -> None:
    # Look first, so that an undo of this birth never removes a qube that was there before. A name that no call may act on counts as
    # taken, even if no qube has it: a look at the principal itself costs the same, and finds a qube.
    is_excluded = birth.name in call.world.excluded
    if await call.host.tags(call.principal if is_excluded else birth.name) is not None:
        raise Refused(REFUSAL.name_taken, "a qube has this name already, or no call may act on it")
    given = await call.host.get(call.principal, "feature", FEATURE.created_with) or ""
    if call.world.umbrella not in given.split(" "):
        # INVARIANT birth.tagged-before-named
        raise Refused(REFUSAL.failed, "qubesd would not tag what the principal makes")
    await gateways.require_usable(call, birth.netvm)
    await call.admit(birth.name, Charge(qubes=1, disk=birth.disk), birth=True)
    call.intend(birth.name, UNDO, unborn=(birth.stamp, call.world.born))
    await call.host.create(birth.name, template, label, call.principal)
    child = await birth.adopt(call)
    await act(call, birth.name, [*birth.narrowing(call.world, settings), *volume], UNDO)
    await birth.read_back(call, child)


async def disposable(call: Call, template: Qube) -> dict[str, str]:
    """Make a disposable and start it: qubesd may remove one that does not run at any time."""
    host, world = call.host, call.world
    properties = await host.properties(template.name)
    if properties.get("template_for_dispvms", ("",))[0] != "True":
        raise Refused(REFUSAL.conflict, "the source is not a disposable template")
    outlets, stamp = await _outlets(call, template), _stamp(call, "disposable_stamp")
    netvm = invariants.birth_network(world, outlets[0])
    await gateways.require_usable(call, netvm)
    await call.admit(call.identity, starting(properties)._replace(qubes=1), birth=True)
    # An undo leaves every disposable whose birth is finished, at any tier.
    unborn = (stamp, *sorted(world.kinds["disposable"]))
    # Each principal makes one disposable at a time, so the one without a name can be found.
    async with call.lock([f"?{stamp}"]):
        call.intend("", UNDO, unborn=unborn)
        name = await host.create_disposable(template.name, call.principal)
        call.assign_name(name, UNDO, unborn)
    birth = Birth(name, template, "DispVM", stamp, netvm, 0, outlets)
    child = await birth.adopt(call)
    # It got every tag of its template. Until it has its own tag, no agent reaches it.
    # INVARIANT tags.operator-only
    strip = [["untag", tag] for tag in sorted({world.born, *world.kinds["tier"]})]
    await act(call, name, [*strip, *birth.narrowing(world, {})], UNDO)
    await birth.read_back(call, child)
    if await host.state(name) != "Running":  # a preloaded one runs already
        await act(call, name, [["start"]], [])
    return {"name": name}


# ---- removal and restoration


async def entomb(call: Call, qube: Qube) -> dict[str, str]:
    """Halt the qube and hide it with a tombstone. Its other tags stay, so a tag that the operator removes meanwhile stays removed. A
    disposable has nothing to keep, and is removed."""
    end, leave, world = UNDO, [], call.world
    await _require_unused(call, qube)
    if (await call.host.list(qube.name))[qube.name][0] != "DispVM":
        now = str(int(time.time()))
        # INVARIANT remove.is-a-tombstone
        end = [
            ["halt"],
            ["put", "feature", FEATURE.entombed, now],
            ["mark", world.tombstone, world.umbrella],
        ]
        leave = [["match_tombstone", world.tombstone, now]]
    await act(call, qube.name, end, end, leave)
    return {"removed": qube.name}


async def _require_unused(call: Call, qube: Qube) -> None:
    """No template while a qube of the world runs from it: the world could make no other, and an undo would come too late."""
    own = await call.host.properties(qube.name)
    is_template = own["klass"][0] == "TemplateVM"
    is_template |= own.get("template_for_dispvms", ("",))[0] == "True"
    for name in await call.roster.names() if is_template else ():
        child = await call.roster.look(name)
        runs = invariants.reach(call.world, child) and child.state not in ("Halted", "Crashed")
        if runs and (await call.host.properties(name)).get("template", ("",))[0] == qube.name:
            raise Refused(REFUSAL.conflict, "a running qube is based on it")


async def restore(call: Call, qube: Qube) -> dict[str, str]:
    """Remove the tombstone; the qube is then what its other tags make it. This gives no tag. The tombstone is removed at the commit and
    never put back: a qube without it is restored, whoever removed it."""
    tombstone, when = (
        call.world.tombstone,
        await call.host.get(qube.name, "feature", FEATURE.entombed),
    )
    if time.time() > int(when or 0) + call.world.tombstone_days * 86400:
        raise Refused(REFUSAL.not_found, "the retention of the removed qube is over")
    undo = [["match_tombstone", tombstone, when]]
    await act(call, qube.name, [["put", "feature", FEATURE.entombed, None]], undo, undo)
    done = [["untag", tombstone]]
    call.at_commit.append(partial(carry_out, call.host, qube.name, done))
    return {"restored": qube.name}
