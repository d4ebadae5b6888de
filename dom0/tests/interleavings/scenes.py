"""The host the interleavings are played on, every verb that changes something, and all a person may do in between."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .machine import Machine
from .model import Host

CONFIG = """
[world.ai]
prefix = "ai-"
birth_ceiling = "full"
guarded = []
properties = ["label", "memory", "maxmem", "vcpus"]
features = ["x-note"]
tombstone_days = 30
birth_gateway = "sys-ai-net"

[world.ai.gateway.sys-ai-net]

[world.ai.gateway.sys-ai-alt]

[[world.ai.egress]]
to = "example.com"

[[world.ai.egress]]
to = "10.0.0.0/8"

[world.ai.budget]
qubes = 32
disk = 137_438_953_472
private_size = 34_359_738_368
running = 16
memory = 65_536
vcpus = 64
calls_per_minute = 600
creates_per_hour = 60
concurrent_calls = 8

[world.ai.principal.mcp-control]
plugins = ["inspect", "spawn", "exec", "storage", "events", "networking", "egress", "devices"]

[world.lab]
prefix = "lab-"

[world.lab.principal.lab-control]
plugins = []
"""
LINUX = {"os": "Linux", "qrexec": "1"}
DISK = {"class": "block", "device": "{disk}", "backend": "ai-back"}


class Cast(NamedTuple):
    """The qubes a verb is about. Two verbs on different qubes have different casts."""

    qube: str
    new: str
    dvm: str
    disk: str


ONE = Cast("ai-one", "ai-new", "ai-dvm", "sda")
OTHER = Cast("ai-two", "ai-other", "ai-dvm2", "sdb")


class Verb(NamedTuple):
    """`before`: how its qube is then, by calls of the agent's own. `target` and `payload` are filled in from the cast."""

    service: str
    target: str = "{qube}"
    payload: dict[str, Any] = {}
    before: tuple[str, ...] = ()
    source: str = ""  # what its child comes from
    can_be_undone: bool = False
    needs_no_lock: bool = False  # refused on a qube whose outbound rules the operator has locked

    def call(self, machine: Machine, name: str, cast: Cast) -> None:
        names = cast._asdict() | {"disposable": disposable(machine.host)}
        payload = {
            key: value.format(**names) if isinstance(value, str) else value
            for key, value in self.payload.items()
        }
        machine.call(name, f"qmcp.{self.service}", self.target.format(**names), **payload)

    def subjects(self, cast: Cast) -> list[str]:
        """What a person may touch meanwhile."""
        said = {self.target, self.source, *map(str, self.payload.values())}
        qubes = {"{qube}", "{new}", "{dvm}", "ai-debian", "ai-back"} & said
        return sorted(one.format(**cast._asdict()) for one in qubes)


def disposable(host: Host) -> str:
    return next((name for name in sorted(host.qubes) if name.startswith("disp")), "disp0")


NEW = {"name": "{new}", "template": "ai-debian"}
VERBS = {
    "create": Verb(
        "spawn.Create",
        "dom0",
        {**NEW, "memory": 500, "vcpus": 1, "private_size": 3 * 2**30},
        source="ai-debian",
    ),
    "create and start": Verb("spawn.Create", "dom0", {**NEW, "start": True}, source="ai-debian"),
    "clone": Verb("spawn.Clone", "dom0", {"name": "{new}", "source": "{qube}"}, source="{qube}"),
    "disposable": Verb("spawn.Disposable", "dom0", {"template": "{dvm}"}, source="{dvm}"),
    "start": Verb("spawn.Start", can_be_undone=True),
    "shutdown": Verb("spawn.Shutdown", payload={"timeout": 5}, before=("start",)),
    "kill": Verb("spawn.Kill", before=("start",)),
    "pause": Verb("spawn.Pause", before=("start",)),
    "resume": Verb("spawn.Unpause", before=("start", "pause")),
    "remove": Verb("spawn.Remove", before=("start",)),
    "restore": Verb("spawn.Restore", "dom0", {"qube": "{qube}"}, before=("remove",)),
    "remove a disposable": Verb("spawn.Remove", "{disposable}", before=("disposable",)),
    "set properties": Verb(
        "inspect.Set", payload={"label": "blue", "memory": 500, "vcpus": 1}, can_be_undone=True
    ),
    "set a feature": Verb(
        "inspect.FeatureSet", payload={"feature": "x-note", "value": "agent"}, can_be_undone=True
    ),
    "grow": Verb("storage.Grow", payload={"size": 3 * 2**30}),
    "set rules": Verb(
        "egress.RulesSet",
        payload={"rules": [{"to": "10.1.0.0/16"}]},
        can_be_undone=True,
        needs_no_lock=True,
    ),
    "disconnect": Verb("networking.Disconnect", before=("start",)),
    "reconnect": Verb(
        "networking.Reconnect", before=("disconnect",), can_be_undone=True, needs_no_lock=True
    ),
    "attach": Verb("devices.Attach", payload=DISK, before=("start",), can_be_undone=True),
    "detach": Verb("devices.Detach", payload=DISK, before=("start", "attach")),
}


# ---- the host


@functools.cache
def _built() -> Host:
    host = Host(
        default_template="debian-13", default_netvm="sys-firewall", default_dispvm="default-dvm"
    )
    based: dict[str, Any] = {"template": "debian-13"}
    host.add("debian-13", "TemplateVM", features=LINUX, label="black")
    host.add("default-dvm", **based, template_for_dispvms="True")
    up: dict[str, Any] = {**based, "state": "Running"}
    host.add("sys-net", **up, netvm="", provides_network="True")
    host.add("sys-firewall", **up, netvm="sys-net", provides_network="True")
    given = {"tag-created-vm-with": "ai-managed"}
    host.add("mcp-control", **up, features=given, default_dispvm="")
    for name in ("sys-ai-net", "sys-ai-alt"):
        host.add(name, **up, features={"qubes-firewall": "1"}, provides_network="True")
    host.add("ai-debian", "TemplateVM", features=LINUX, tags=["ai-managed", "ai-full"])
    host.add("vault", **based, netvm="")
    machine = Machine(host, CONFIG)
    for name in ("ai-one", "ai-two", "ai-back"):
        ask(machine, "spawn.Create", name=name, template="ai-debian", start=name == "ai-back")
    for name in ("ai-dvm", "ai-dvm2"):
        ask(machine, "spawn.Create", name=name, template="ai-debian", **{"class": "DispVMTemplate"})
    for cast in (ONE, OTHER):
        host.qubes["ai-back"].offered["block", cast.disk] = ("a disk", ":None", "no")
    machine.close()
    return host


def ask(machine: Machine, service: str, /, **payload: object) -> None:
    machine.call("before", f"qmcp.{service}", **payload)
    finished(machine, "before")


def finished(machine: Machine, name: str) -> None:
    machine.finish(name)
    if machine.replies[name] != "ok":
        raise AssertionError(f"{name}: {machine.replies[name]}: {machine.said.getvalue()}")


@functools.cache
def host_before(*played: tuple[str, Cast]) -> Host:
    """The host on which these verbs, as `(verb, cast)`, can be played."""
    if not played:
        return _built()
    *earlier, (verb, cast) = played
    host = host_before(*earlier).copy()
    if VERBS[verb].before:
        machine = Machine(host, CONFIG)
        for step in VERBS[verb].before:
            VERBS[step].call(machine, "before", cast)
            finished(machine, "before")
        machine.close()
    return host


# ---- a person


class NotNow(Exception):
    """A person could not do this now: there is no such qube, or qubesd refuses."""


Do = Callable[[Machine, str], None]  # to this subject


class Act(NamedTuple):
    """`narrows`: from then on an agent may do less with it, or with all of its world."""

    do: Do
    narrows: bool = False
    of_world: bool = False  # it has no subject


def command(*words: str) -> Do:
    def do(machine: Machine, subject: str) -> None:
        if subject and subject not in machine.host.qubes:
            raise NotNow
        if subject and "ai-managed" not in machine.host.qubes[subject].tags:
            raise NotNow
        before = len(machine.host.writes)
        machine.admin(*(word.format(subject) for word in words))
        if subject and len(machine.host.writes) == before:
            raise NotNow  # nothing changes, and so it says

    return do


def by_hand(*requests: tuple[str, str, str]) -> Do:
    def do(machine: Machine, subject: str) -> None:
        before = len(machine.host.writes)
        for method, argument, payload in requests:
            if subject not in machine.host.qubes:
                raise NotNow
            if not machine.by_hand(f"admin.vm.{method}", subject, argument, payload).startswith(
                b"0"
            ):
                raise NotNow
        if len(machine.host.writes) == before:
            raise NotNow

    return do


def edit(old: str, new: str) -> Do:
    def do(machine: Machine, subject: str) -> None:
        if old not in CONFIG:
            raise AssertionError(old)
        machine.edit(lambda text: text.replace(old, new.format(subject)))

    return do


def remove(machine: Machine, subject: str) -> None:
    machine.by_hand("admin.vm.Kill", subject)
    if subject not in machine.host.qubes:
        return  # a disposable
    by_hand(("Remove", "", ""))(machine, subject)


def make_anew(machine: Machine, subject: str) -> None:
    """As a person does who renames a qube, or makes another of the same name."""
    if subject in machine.host.qubes:
        remove(machine, subject)
    reply = machine.by_hand(
        "admin.vm.Create.AppVM", "dom0", "debian-13", f"name={subject} label=green"
    )
    if not reply.startswith(b"0"):
        raise AssertionError(reply)


def make_anew_in_world(machine: Machine, subject: str) -> None:
    make_anew(machine, subject)
    machine.by_hand("admin.vm.property.Set", subject, "netvm", "sys-ai-net")
    machine.admin("enroll", subject, "--world", "ai", "--tier", "full", "--yes")


def freeze_and_thaw(machine: Machine, subject: str) -> None:
    machine.admin("freeze", "ai")
    machine.admin("thaw", "ai")


PERSON = "action=accept dsthost=person.example.com\naction=drop\n"
ACTS = {
    "expel": Act(command("expel", "{}", "--yes"), narrows=True),
    "guard": Act(command("guard", "{}", "--yes"), narrows=True),
    "lock": Act(command("manage", "{}", "--egress-lock", "on", "--yes"), narrows=True),
    "lower": Act(command("tier", "{}", "read", "--yes"), narrows=True),
    "take the umbrella": Act(by_hand(("tag.Remove", "ai-managed", "")), narrows=True),
    "except": Act(edit("guarded = []", 'guarded = ["{}"]'), narrows=True),
    "make anew": Act(make_anew),
    "make anew in the world": Act(make_anew_in_world),
    "remove by hand": Act(remove),
    "set rules": Act(by_hand(("firewall.Set", "", PERSON))),
    "drop everything": Act(by_hand(("firewall.Set", "", "action=drop\n"))),
    "cut": Act(by_hand(("property.Set", "netvm", ""))),
    "reroute": Act(by_hand(("property.Set", "netvm", "sys-firewall"))),
    "move": Act(by_hand(("property.Set", "netvm", "sys-ai-alt"))),
    "start": Act(by_hand(("Start", "", ""))),
    "kill": Act(by_hand(("Kill", "", ""))),
    "pause": Act(by_hand(("Pause", "", ""))),
    "set memory": Act(by_hand(("property.Set", "memory", "600"))),
    "set label": Act(by_hand(("property.Set", "label", "purple"))),
    "set a feature": Act(by_hand(("feature.Set", "x-note", "person"))),
    "detach": Act(by_hand(("device.block.Detach", "ai-back+sda", ""))),
    "attach": Act(by_hand(("device.block.Attach", "ai-back+sda", "_read-only='yes'"))),
    "freeze": Act(command("freeze", "ai"), narrows=True, of_world=True),
    "freeze and thaw": Act(freeze_and_thaw, of_world=True),
    "enroll another": Act(
        lambda machine, _: machine.admin("enroll", "vault", "--world", "ai", "--yes"), of_world=True
    ),
    "narrow the ceiling": Act(
        edit('to = "10.0.0.0/8"', 'to = "10.9.9.9"'), narrows=True, of_world=True
    ),
    "take the gateway": Act(
        edit(
            'birth_gateway = "sys-ai-net"\n\n[world.ai.gateway.sys-ai-net]\n',
            'birth_gateway = "sys-ai-alt"\n',
        ),
        narrows=True,
        of_world=True,
    ),
    "lower births": Act(
        edit('birth_ceiling = "full"', 'birth_ceiling = "read"'), narrows=True, of_world=True
    ),
    "take the principal": Act(
        edit("principal.mcp-control", "principal.mcp-other"), narrows=True, of_world=True
    ),
    "lower the budget": Act(edit("qubes = 32", "qubes = 1"), narrows=True, of_world=True),
}


def acts_on(verb: str, cast: Cast) -> Iterator[tuple[str, str]]:
    """`(act, subject)` for everything a person may do while this is under way."""
    for name, act in ACTS.items():
        for subject in [""] if act.of_world else VERBS[verb].subjects(cast):
            yield name, subject
