"""The qrexec policy, generated from the installed contracts and qmcp.toml.

What it says, world by world: a principal may call what its plugins' contracts name, on qubes at the tier they ask for, and
nothing else anywhere; a qube of the world may call dom0's boot services and nothing else anywhere.
"""

from spec import NAMES, SERVICE, TIERS

HEADER = """\
# What the agents of this host may ask of dom0 and of each other's qubes.
# Generated from the installed contracts and qmcp.toml; a change here is lost when it is generated again.
# To be asked before a call happens, copy its line into a file that sorts before this one and write `ask` for `allow`.
# First match wins. A contract is in force only while its line below names the digest dom0 has installed.
"""


def generate(worlds, installed):
    lines = [HEADER]
    lines += [
        f"# contract {name} {contract.digest}\n" for name, contract in sorted(installed.items())
    ]
    for _, world in sorted(worlds.items()):
        lines += _world(world, installed)
    return "".join(lines)


def _world(world, installed):
    yield f"\n# ---- world {world.name}: what its principals may call\n\n"
    yield from (
        _rule(SERVICE.catalog, principal, "@adminvm", "allow")
        for principal in sorted(world.principals)
    )
    for name, contract in sorted(installed.items()):
        callers = [p for p in sorted(world.principals) if contract.plugin in world.principals[p]]
        for principal in callers:
            yield from _service(world, name, contract, principal)

    if SERVICE.copy_contract in installed:
        yield from _copies(world)

    yield f"\n# ---- world {world.name}: its principals reach nothing else\n\n"
    for principal in sorted(world.principals):
        yield from _closure(world, principal)

    yield f"\n# ---- world {world.name}: its qubes, living or removed, reach dom0 to boot, and nothing else\n\n"
    for tag in (world.umbrella, world.tombstone):
        yield from _closure(world, f"@tag:{tag}")


def _service(world, name, contract, principal):
    if contract.target is None:
        yield _rule(name, principal, "@adminvm", "allow")
        return
    for excluded in sorted(world.excluded - {"dom0", principal}):
        yield _rule(name, principal, excluded, "deny")
    yield _rule(name, principal, f"@tag:{world.tombstone}", "deny")
    # A guest service runs as root inside the qube and drops to the user it is asked for; it never starts a qube.
    action = "allow target=@adminvm" if contract.route == "dom0" else "allow user=root autostart=no"
    tiers = TIERS[TIERS.index(contract.target["capability"]) :]
    if tiers[0] != TIERS[0]:
        yield _rule(name, principal, f"@tag:{world.guard}", "deny")
    # A disposable has every tag of its template, from before its birth is finished, and if it is not the world's at all: its
    # own mark counts, and no other.
    for tier in tiers:
        yield _rule(name, principal, f"@tag:{world.disposable_mark(tier)}", action)
    yield _rule(name, principal, "@type:DispVM", "deny")  # INVARIANT crash.no-residue
    for tag in [world.umbrella] if tiers[0] == TIERS[0] else map(world.tier_tag, tiers):
        yield _rule(name, principal, f"@tag:{tag}", action)


def _copies(world):
    """Files, from qube to qube of the world, where an agent could carry them itself; into a sink, and never out of one."""
    yield f"\n# ---- world {world.name}: files between its qubes\n\n"
    for closed in (world.tombstone, world.guard):
        yield _rule(SERVICE.copy, "@anyvm", f"@tag:{closed}", "deny")
        yield _rule(SERVICE.copy, f"@tag:{closed}", "@anyvm", "deny")
    yield _rule(SERVICE.copy, f"@tag:{world.sink}", f"@tag:{world.umbrella}", "deny")
    tiers = TIERS[1:]
    for target in (
        *map(world.disposable_mark, tiers),
        None,
        *map(world.tier_tag, tiers),
        world.sink,
    ):
        for source in map(world.tier_tag, tiers):
            end, action = (
                (f"@tag:{target}", "allow autostart=no") if target else ("@type:DispVM", "deny")
            )
            yield _rule(SERVICE.copy, f"@tag:{source}", end, action)


def _closure(world, source):
    yield _rule(SERVICE.date, f"@tag:{world.tag('anonymous')}", "@anyvm", "deny")
    for service in NAMES.boot_services:
        yield _rule(service, source, "@adminvm", "allow")
    # qrexec reads a name that does not exist as @default: what is allowed on that is allowed on every name there could be,
    # or the refusal would tell which exist. A disposable that is only asked for is no qube of any class.
    for target in (
        "@default",
        *(f"@type:{klass}" for klass in NAMES.classes),
    ):  # INVARIANT scope.existence-hidden
        yield _rule(SERVICE.date, source, target, "allow target=@adminvm")
    # @anyvm is everything but dom0, @default and every form of @dispvm included.
    yield _rule("*", source, "@anyvm", "deny")  # INVARIANT policy.closed
    yield _rule("*", source, "@adminvm", "deny")  # INVARIANT policy.closed


def _rule(service, source, target, action):
    return f"{service:<24} * {source:<24} {target:<24} {action}\n"
