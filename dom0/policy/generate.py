"""The qrexec policy, generated from the installed contracts and qmcp.toml.

What it says, world by world: a principal may call what its plugins' contracts name, on qubes at the tier they ask for, and
nothing else anywhere, but for its model; a qube with any tag of the world may call dom0's boot services, copy files within the world, fetch
updates with a tag for that, and nothing else anywhere; and nobody but a principal of the world, or a qube of it with files, reaches such a
qube.

qrexec takes the first line that matches, and a line asks for one tag. So what narrows comes before what allows, tag by tag.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from settings.config import World
from settings.contracts import Contract
from spec import NAMES, SERVICE, TIERS

from .asking import Ask, tiers

DISPOSABLE = "@type:DispVM"
HEADER = """\
# What the agents of this host may ask of dom0 and of each other's qubes.
# Generated from the installed contracts and qmcp.toml; a change here is lost when it is generated again.
# To be asked before a call happens, use `qmcp-admin ask`. A line that is copied into a file that sorts before this one also sorts
# before the lines that deny.
# First match wins. A contract is in force only while its line below names the digest dom0 has installed.
"""


# `destructive = "ask"` of a principal in qmcp.toml.
DESTROY = Ask("destroy")
# dom0 is the one choice in the dialog, which shows the qube in the argument.
ASK_DOM0 = "ask target=@adminvm default_target=@adminvm"


class Questions(NamedTuple):
    asks: Sequence[Ask]
    qubes: Sequence[str]


class Asked(NamedTuple):
    tiers: Sequence[str]
    qubes: Sequence[str]


def generate(
    worlds: dict[str, World],
    installed: dict[str, Contract],
    asks: Sequence[Ask] = (),
    qubes: Sequence[str] = (),
) -> str:
    """`asks`: what the operator is asked about. `qubes`: the names that are preselected in the dialogs about them."""
    lines = [HEADER]
    lines += [
        f"# contract {name} {contract.digest}\n" for name, contract in sorted(installed.items())
    ]
    lines += [f"# asked {ask.words()}\n" for ask in asks]
    lines += [f"# qubes {' '.join(sorted(qubes))}\n"] if asks_at_all(worlds.values(), asks) else []
    questions = Questions(asks, sorted(qubes))
    lines += [
        line for _, world in sorted(worlds.items()) for line in _asked(world, installed, asks)
    ]
    # What is the same for every name comes first: a line that closes a name before it would tell that there is one.
    lines += [line for _, world in sorted(worlds.items()) for line in _boot(world)]
    lines += [line for _, world in sorted(worlds.items()) for line in _outlets(world)]
    lines += [
        line for _, world in sorted(worlds.items()) for line in _world(world, installed, questions)
    ]
    return "".join(lines)


def _asked(world: World, installed: dict[str, Contract], asks: Sequence[Ask]) -> Iterator[str]:
    """For qmcpd's catalog: which principal's calls of which service wait for the operator, and at which tiers."""
    for name, contract in sorted(installed.items()):
        for principal in sorted(world.principals):
            own = _own(world, contract, principal, asks)
            if own and contract.plugin in world.principals[principal]:
                yield f"# asks {' '.join([principal, name, *tiers(own, contract)])}\n"


def _own(world: World, contract: Contract, principal: str, asks: Sequence[Ask]) -> list[Ask]:
    """What the operator is asked about before this principal's calls of the service."""
    more = [DESTROY] if principal in world.asked_before_destroying else []
    return [ask for ask in [*asks, *more] if ask.concerns(contract)]


def asks_at_all(worlds: Iterable[World], asks: Sequence[Ask]) -> bool:
    return bool(asks) or any(world.asked_before_destroying for world in worlds)


# qrexec reads a name that does not exist as @default: what is allowed on that is allowed on every name there could be, or the refusal
# would tell which exist. A disposable that is only asked for is no qube of any class.
EVERY_NAME = ("@default", *(f"@type:{klass}" for klass in NAMES.classes))


def _boot(world: World) -> Iterator[str]:
    yield f"\n# ---- world {world.name}: what a principal and a qube of it may ask of dom0 to boot\n\n"
    yield rule(SERVICE.date, _tag(world.tag("anonymous")), "@anyvm", "deny")
    tags = map(_tag, (world.umbrella, world.tombstone, world.sink))
    for source in (*sorted(world.principals), *tags):
        for service in NAMES.boot_services:
            yield rule(service, source, "@adminvm", "allow")
        for target in EVERY_NAME:  # INVARIANT scope.existence-hidden
            yield rule(SERVICE.date, source, target, "allow target=@adminvm")


def _outlets(world: World) -> Iterator[str]:
    """The two ways out of a world besides its gateways: updates for templates with a tag for that, and a principal's model."""
    if world.updates:
        yield f"\n# ---- world {world.name}: its templates fetch updates through this qube, from any web server\n\n"
        for target in EVERY_NAME:  # INVARIANT scope.existence-hidden
            action = f"allow target={world.updates}"
            yield rule(SERVICE.updates, _tag(world.tag("updates")), target, action)
    for principal, model in sorted(world.models.items()):
        if isinstance(model, dict):
            yield f"\n# ---- world {world.name}: the model of {principal}\n\n"
            port = f"+{model['port']}"
            yield rule(SERVICE.connect, principal, model["qube"], "allow autostart=no", port)


def _world(world: World, installed: dict[str, Contract], questions: Questions) -> Iterator[str]:
    principals, elsewhere = sorted(world.principals), sorted(world.kinds["elsewhere"])

    yield f"\n# ---- world {world.name}: what no principal of it reaches\n\n"
    for principal in principals:
        yield from closed(world, principal, "*")

    yield f"\n# ---- world {world.name}: what its principals may call\n\n"
    for principal in principals:
        yield rule(SERVICE.catalog, principal, "@adminvm", "allow")
    for _, contract in sorted(installed.items()):
        for principal in principals:
            # A command of a plan gets a line of its own while its approval stands: see approved.py.
            is_standing = contract.service != SERVICE.approved
            if is_standing and contract.plugin in world.principals[principal]:
                yield from _service(world, contract, principal, questions)

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


def closed(world: World, principal: str, service: str) -> Iterator[str]:
    """The lines that come before every line that allows."""
    for target in sorted(world.excluded - {"dom0", principal}):
        yield rule(service, principal, target, "deny")
    for tag in (world.tombstone, *sorted(world.kinds["elsewhere"])):  # INVARIANT policy.closed
        yield rule(service, principal, _tag(tag), "deny")


def _service(
    world: World, contract: Contract, principal: str, questions: Questions
) -> Iterator[str]:
    name, own = contract.service, _own(world, contract, principal, questions.asks)
    anywhere = [ask for ask in own if not ask.qube]
    if contract.target is None:
        yield rule(name, principal, "@adminvm", ASK_DOM0 if anywhere else "allow")
        return
    for qube in sorted({ask.qube for ask in own if ask.qube}):
        asked = Asked(tiers([Ask(contract.service)], contract), [qube])
        yield from _on_qubes(world, contract, principal, asked, f"+{qube}")
        if contract.route == "qube":
            # dom0 does not see the call, and the qube may be the agent's: another argument must not avoid the question.
            yield rule(name, principal, qube, "deny")  # INVARIANT consent.names-the-qube
    asked = Asked(tiers(anywhere, contract), questions.qubes)
    yield from _on_qubes(world, contract, principal, asked)


def _on_qubes(
    world: World, contract: Contract, principal: str, asked: Asked, argument: str = "*"
) -> Iterator[str]:
    """`asked`: the tiers at which the operator is asked, and the names of qubes to preselect."""
    name = contract.service
    # A guest service never starts a qube. It runs as root inside the qube and drops to the user it is asked for. In a qube that an
    # agent may only look at, it runs as the qube's own user.
    user = "" if contract.target["capability"] == TIERS[0] else "user=root "
    allow, ask = (
        ("allow target=@adminvm", ASK_DOM0)
        if contract.route == "dom0"
        else (f"allow {user}autostart=no", f"ask {user}autostart=no")
    )
    for target, tier in _openings(world, contract, bool(asked.tiers)):
        if tier in asked.tiers and contract.route == "qube":
            # Only preselected, by `default_target`. A line with `target=` would open a qube that has lost the tag since: a rule
            # cannot ask for a name and a tag at once. The service in the qube refuses the name of another one.
            for qube in asked.qubes:
                yield rule(name, principal, target, f"{ask} default_target={qube}", f"+{qube}")
        action = "deny" if tier is None else ask if tier in asked.tiers else allow
        yield rule(name, principal, target, action, argument)


def _openings(world: World, contract: Contract, by_tier: bool) -> Iterator[tuple[str, str | None]]:
    """`(target, tier)` of each line about a service that is called on a qube, in the order of the lines; of a line that denies
    without a tier. `by_tier`: a qube is matched by its own tier, and not by one that its tier includes."""
    open_at = TIERS[TIERS.index(contract.target["capability"]) :]
    looks = open_at[0] == TIERS[0]
    order = open_at[::-1] if by_tier else open_at
    if not looks:
        yield _tag(world.guard), None  # INVARIANT consent.opens-nothing
    # A disposable has every tag of its template, from before its birth is finished, and if it is not the world's at all: its
    # own mark counts, and no other.
    for tier in order:
        yield _tag(world.tag("disposable", tier)), tier
    yield DISPOSABLE, None  # INVARIANT crash.no-residue
    for tier in () if looks else order:
        yield _tag(world.tag("tier", tier)), tier
    if looks:
        # The umbrella is there from the first moment of a birth, and the mark of its end is not.
        yield _tag(world.born), TIERS[0]
        for stamp in sorted(world.kinds["stamp"]):  # INVARIANT crash.no-residue
            yield _tag(stamp), None
        yield _tag(world.umbrella), TIERS[0]


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


def rule(service: str, source: str, target: str, action: str, argument: str = "*") -> str:
    return f"{service:<24} {argument} {source:<24} {target:<24} {action}\n"


def names_in(policy: str) -> list[str]:
    """The names that are preselected in the dialogs of a policy of ours."""
    return next(
        (line.split()[2:] for line in policy.splitlines() if line.startswith("# qubes ")), []
    )
