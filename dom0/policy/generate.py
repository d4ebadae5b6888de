"""The qrexec policy, generated from the installed contracts and qmcp.toml.

What it says, world by world: a principal may call what its plugins' contracts name, on qubes at the tier they ask for, and
nothing else anywhere; a qube with any tag of the world may call dom0's boot services, copy files within the world, and nothing
else anywhere; and nobody but a principal of the world, or a qube of it with files, reaches such a qube.

qrexec takes the first line that matches, and a line asks for one tag. So what narrows comes before what allows, tag by tag.
"""

from collections.abc import Iterator

from settings.config import World
from settings.contracts import Contract
from spec import NAMES, SERVICE, TIERS

DISPOSABLE = "@type:DispVM"
HEADER = """\
# What the agents of this host may ask of dom0 and of each other's qubes.
# Generated from the installed contracts and qmcp.toml; a change here is lost when it is generated again.
# To be asked before a call happens, copy its line into a file that sorts before this one and write `ask` for `allow`.
# First match wins. A contract is in force only while its line below names the digest dom0 has installed.
"""


def generate(worlds: dict[str, World], installed: dict[str, Contract]) -> str:
    lines = [HEADER]
    lines += [
        f"# contract {name} {contract.digest}\n" for name, contract in sorted(installed.items())
    ]
    # What is the same for every name comes first: a line that closes a name before it would tell that there is one.
    lines += [line for _, world in sorted(worlds.items()) for line in _boot(world)]
    lines += [line for _, world in sorted(worlds.items()) for line in _world(world, installed)]
    return "".join(lines)


def _boot(world: World) -> Iterator[str]:
    yield f"\n# ---- world {world.name}: what a principal and a qube of it may ask of dom0 to boot\n\n"
    yield rule(SERVICE.date, _tag(world.tag("anonymous")), "@anyvm", "deny")
    tags = map(_tag, (world.umbrella, world.tombstone, world.sink))
    # qrexec reads a name that does not exist as @default: what is allowed on that is allowed on every name there could be,
    # or the refusal would tell which exist. A disposable that is only asked for is no qube of any class.
    targets = ("@default", *(f"@type:{klass}" for klass in NAMES.classes))
    for source in (*sorted(world.principals), *tags):
        for service in NAMES.boot_services:
            yield rule(service, source, "@adminvm", "allow")
        for target in targets:  # INVARIANT scope.existence-hidden
            yield rule(SERVICE.date, source, target, "allow target=@adminvm")


def _world(world: World, installed: dict[str, Contract]) -> Iterator[str]:
    principals, elsewhere = sorted(world.principals), sorted(world.kinds["elsewhere"])

    yield f"\n# ---- world {world.name}: what no principal of it reaches\n\n"
    for principal in principals:
        for target in sorted(world.excluded - {"dom0", principal}):
            yield rule("*", principal, target, "deny")
        for tag in (world.tombstone, *elsewhere):  # INVARIANT policy.closed
            yield rule("*", principal, _tag(tag), "deny")

    yield f"\n# ---- world {world.name}: what its principals may call\n\n"
    for principal in principals:
        yield rule(SERVICE.catalog, principal, "@adminvm", "allow")
    for name, contract in sorted(installed.items()):
        for principal in principals:
            if contract.plugin in world.principals[principal]:
                yield from _service(world, name, contract, principal)

    if SERVICE.copy_contract in installed:
        yield from _copies(world, elsewhere)

    yield f"\n# ---- world {world.name}: its principals, and qubes with any tag of it, reach nothing else\n\n"
    for source in (*principals, *map(_tag, sorted(world.own))):
        # @anyvm is everything but dom0, @default and every form of @dispvm included.
        yield rule("*", source, "@anyvm", "deny")  # INVARIANT policy.closed
        yield rule("*", source, "@adminvm", "deny")  # INVARIANT policy.closed

    yield f"\n# ---- world {world.name}: and nobody else reaches them\n\n"
    for tag in sorted(world.own):  # INVARIANT policy.closed
        yield rule("*", "@anyvm", _tag(tag), "deny")


def _service(world: World, name: str, contract: Contract, principal: str) -> Iterator[str]:
    if contract.target is None:
        yield rule(name, principal, "@adminvm", "allow")
        return
    tiers = TIERS[TIERS.index(contract.target["capability"]) :]
    # A guest service never starts a qube. It runs as root inside the qube and drops to the user it is asked for. In a qube that an
    # agent may only look at, it runs as the qube's own user.
    action = (
        "allow target=@adminvm"
        if contract.route == "dom0"
        else f"allow {'user=root ' if tiers[0] != TIERS[0] else ''}autostart=no"
    )
    if tiers[0] != TIERS[0]:
        yield rule(name, principal, _tag(world.guard), "deny")
    # A disposable has every tag of its template, from before its birth is finished, and if it is not the world's at all: its
    # own mark counts, and no other.
    for tier in tiers:
        yield rule(name, principal, _tag(world.tag("disposable", tier)), action)
    yield rule(name, principal, DISPOSABLE, "deny")  # INVARIANT crash.no-residue
    if tiers[0] != TIERS[0]:
        for tier in tiers:
            yield rule(name, principal, _tag(world.tag("tier", tier)), action)
        return
    # The umbrella is there from the first moment of a birth, and the mark of its end is not.
    yield rule(name, principal, _tag(world.born), action)
    for stamp in sorted(world.kinds["stamp"]):  # INVARIANT crash.no-residue
        yield rule(name, principal, _tag(stamp), "deny")
    yield rule(name, principal, _tag(world.umbrella), action)


def _copies(world: World, elsewhere: list[str]) -> Iterator[str]:
    """Files, from qube to qube of the world, where an agent could carry them itself; into a sink, and never out of one."""
    yield f"\n# ---- world {world.name}: files between its qubes\n\n"
    marks, tags = (
        [_tag(world.tag(kind, tier)) for tier in TIERS[1:]] for kind in ("disposable", "tier")
    )
    into = [*tags, _tag(world.sink)]
    pairs = [("@anyvm", _tag(tag)) for tag in (world.tombstone, world.guard)]
    pairs += [(_tag(tag), "@anyvm") for tag in (world.tombstone, world.guard, world.sink)]
    pairs += [(_tag(tag), target) for tag in elsewhere for target in (*marks, *into)]
    pairs += [(source, _tag(tag)) for tag in elsewhere for source in (*marks, *tags)]
    for source, target in pairs:
        yield rule(SERVICE.copy, source, target, "deny")
    for source in (*marks, DISPOSABLE, *tags):  # as above: of a disposable only the mark counts
        for target in (*marks, *([] if source == DISPOSABLE else [DISPOSABLE]), *into):
            closed = DISPOSABLE in (source, target)
            yield rule(SERVICE.copy, source, target, "deny" if closed else "allow autostart=no")


def _tag(tag: str) -> str:
    return f"@tag:{tag}"


def rule(service: str, source: str, target: str, action: str) -> str:
    return f"{service:<24} * {source:<24} {target:<24} {action}\n"
