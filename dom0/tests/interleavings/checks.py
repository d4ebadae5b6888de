"""What must hold, whatever comes between what: one short check for each invariant, by the host alone. They are written apart from
the kernel on purpose, and import nothing of it but the audit log's way to hash a line."""

import tomllib
from collections.abc import Sequence
from typing import Any

from qmcpd.audit import GENESIS, digest

from .machine import Machine
from .model import Host, Key, Qube, Write

TIERS = ("read", "exec", "net", "full")
STAMP, BIRTH_TAGS = "created-by-mcp-control", {"ai-born", *(f"ai-disp-{one}" for one in TIERS)}
TIER_TAGS = {f"ai-{one}" for one in TIERS[1:]}
RESTRICTIONS = {"ai-guard", "ai-egress-lock"}
PEOPLE = ("operator",)
Finding = tuple[str, str]  # an invariant, and what is wrong
Picture = dict[str, tuple[Any, ...]]  # qube → all there is to see of it


# ---- what a qube is to an agent


def made_by_an_agent(qube: Qube) -> bool:
    return STAMP in qube.tags


def is_born(qube: Qube) -> bool:
    marks = {one for one in BIRTH_TAGS if one.startswith("ai-disp-")}
    if qube.klass == "DispVM":
        return bool(marks & qube.tags)
    return "ai-born" in qube.tags or not made_by_an_agent(qube)


def in_scope(qube: Qube) -> bool:
    return "ai-managed" in qube.tags and "ai-tombstone" not in qube.tags and is_born(qube)


def tier(qube: Qube) -> int:
    held = [one for one in TIERS[1:] if f"ai-{one}" in qube.tags and "ai-guard" not in qube.tags]
    return max([0, *map(TIERS.index, held)])


def usage(host: Host) -> dict[str, int]:
    """What the world uses, line by line."""
    used: dict[str, int] = dict.fromkeys(("qubes", "disk", "running", "memory", "vcpus"), 0)
    for qube in host.qubes.values():
        made = made_by_an_agent(qube) and bool({"ai-managed", "ai-tombstone"} & qube.tags)
        if made:
            used["qubes"] += 1
            used["disk"] += qube.volumes["private"] if qube.klass != "DispVM" else 0
        if (made or in_scope(qube)) and qube.power != "Halted":
            memory = max(int(host.value(qube, one) or 0) for one in ("memory", "maxmem"))
            used["running"] += 1
            used["memory"] += memory
            used["vcpus"] += int(host.value(qube, "vcpus"))
    return used


def picture(host: Host) -> Picture:
    """All there is to see of each qube, but for what no two hosts have in common."""
    return {
        qube.name: (
            qube.klass,
            tuple(sorted(qube.tags)),
            tuple(
                (key, "TIME" if key == "qmcp-entombed" else one)
                for key, one in sorted(qube.features.items())
            ),
            tuple(sorted((key, one) for key, one in qube.set.items() if key != "uuid")),
            qube.firewall,
            qube.power,
            qube.volumes.get("private"),
            tuple(sorted(qube.attached.items())),
        )
        for qube in host.qubes.values()
    }


# ---- what must hold


class Watch:
    """Looks at every write as it happens, and at the host after each step. `found`: all that is wrong."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self._seen = machine, 0
        self.found: list[Finding] = []
        self._born = {one.uuid for one in machine.host.qubes.values() if is_born(one)}
        text = (machine.root / "etc/qmcp/qmcp.toml").read_text()
        self._world = tomllib.loads(text)["world"][
            "ai"
        ]  # a call in flight may go by what it began under
        self._used = usage(machine.host)
        # What a person wrote: where → all values that were there, the last one being the person's.
        self._said: dict[tuple[str, str, Key], list[object]] = {}
        # Qubes that a person made under a name that a program was busy with.
        self._not_theirs: set[str] = set()

    def _wrong(self, invariant: str, what: str) -> None:
        self.found.append((invariant, what))

    def look(self) -> None:
        writes = self.machine.host.writes[self._seen :]
        self._seen += len(writes)
        for write in writes:
            if write.by in PEOPLE:
                self._by_a_person(write)
            else:
                self._by_a_program(write)
        if writes:
            self._budget(any(one.by in PEOPLE for one in writes))

    def _by_a_person(self, write: Write) -> None:
        self._said.setdefault((write.uuid, write.kind, write.key), [write.old]).append(write.new)
        if write.kind == "qube" and write.new:
            self._born.add(write.uuid)
            if self.machine.is_busy_with(write.name):
                self._not_theirs.add(write.uuid)

    def _by_a_program(self, write: Write) -> None:
        self._person_wins(write)
        if write.uuid in self._not_theirs:
            self._wrong("person.identity", f"{write.kind} {write.key} of another {write.name}")
        if write.kind == "tag":
            self._tag(write)
        if write.kind == "qube":
            self._end(write)
        if write.kind == "power" and write.new == "Transient":
            self._network(write)

    def _person_wins(self, write: Write) -> None:
        """What a person wrote is never made again what it was before. (Who made a qube run cannot be told.)"""
        *before, now = self._said.get((write.uuid, write.kind, write.key), [None])
        if write.kind != "power" and before and write.old == now and write.new in before:
            self._wrong(
                "person.wins", f"{write.kind} {write.key} of {write.name} is {write.new!r} again"
            )

    def _tag(self, write: Write) -> None:
        """A program gives tags to what it makes, until that is born, and marks what is removed; and it takes tags that would open a
        qube off one that is not the world's. It does nothing else to tags."""
        tags = self.machine.host.qubes[write.name].tags
        stray = write.key in BIRTH_TAGS | TIER_TAGS and not write.new and "ai-managed" not in tags
        if write.key == "ai-tombstone" or stray:
            return
        given = BIRTH_TAGS | TIER_TAGS | RESTRICTIONS | {"ai-managed", STAMP, f"disp-{STAMP}"}
        if write.uuid in self._born or write.key not in given:
            self._wrong("tags.operator-only", f"{write.key} of {write.name}: {write.new}")
        if write.key in BIRTH_TAGS and write.new:
            self._born.add(write.uuid)

    def _end(self, write: Write) -> None:
        """A program takes away only disposables, and what was never born."""
        if write.new is None and write.old != "DispVM" and write.uuid in self._born:
            self._wrong("remove.is-a-tombstone", f"{write.name} is gone for good")

    def _network(self, write: Write) -> None:
        """What a program starts sits on a gateway, or a person put it elsewhere since."""
        host, moved = self.machine.host, (write.uuid, "property", "netvm") in self._said
        netvm = host.value(host.qubes[write.name], "netvm")
        if (
            netvm
            and netvm not in self._world["gateway"]
            and not moved
            and in_scope(host.qubes[write.name])
        ):
            self._wrong("egress.gateways-only", f"{write.name} runs on {netvm}")

    def _budget(self, person: bool) -> None:
        """Never above a limit, but for what a person brought about."""
        used, limits = usage(self.machine.host), self._world["budget"]
        for line, amount in used.items():
            if not person and amount > max(limits[line], self._used[line]):
                self._wrong("budget.hard", f"{line}: {amount} of {limits[line]}")
        self._used = (
            used if person else {key: min(one, used[key]) for key, one in self._used.items()}
        )

    # ---- at the end

    def at_the_end(self, killed: Sequence[str] = ()) -> None:
        self.look()
        self._tombstones()
        self._audit(killed)
        for path in self.machine.unfinished():
            self._wrong("crash.no-residue", f"still in the journal: {path.read_text()}")

    def _tombstones(self) -> None:
        """No program marks a qube that a person has taken out, and of each it is known since when it is removed."""
        when = {
            (one.uuid, one.key): at
            for at, one in enumerate(self.machine.host.writes)
            if one.kind == "tag"
        }
        for qube in self.machine.host.qubes.values():
            marked, taken = (
                when.get((qube.uuid, tag), -1) for tag in ("ai-tombstone", "ai-managed")
            )
            if "ai-tombstone" in qube.tags and "ai-managed" not in qube.tags and marked > taken:
                self._wrong("remove.is-a-tombstone", f"{qube.name} is marked, and of no world")
            if {"ai-tombstone", "ai-managed"} <= qube.tags and "qmcp-entombed" not in qube.features:
                self._wrong("remove.is-a-tombstone", f"nobody knows since when {qube.name} is one")

    def _audit(self, killed: Sequence[str]) -> None:
        """Whatever changed anything has a line before it and a line after it, and the chain holds."""
        lines, last = self.machine.audit(), GENESIS
        for line in lines:
            body = {key: one for key, one in line.items() if key != "hash"}
            if line["prev"] != last or line["hash"] != digest(body):
                self._wrong("audit.complete", f"the chain breaks at line {line['seq']}")
            last = line["hash"]
        begun = [line["call"] for line in lines if line["kind"] == "intent"]
        ended = [line["call"] for line in lines if line["kind"] == "outcome"]
        if len(set(begun) - set(ended)) > len(killed):
            self._wrong("audit.complete", "a call that changed something has no outcome")
        by_agents = {one.by for one in self.machine.host.writes} & {"A", "B"}
        if len(begun) < len(by_agents):
            self._wrong("audit.complete", "something changed without a line before it")
