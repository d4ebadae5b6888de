"""Everything that could be wrong, where it is, and how to fix it: `qmcp-admin check`. No fix takes a network from the host."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import anonymity
import audit_chain
import freezing
import grants
import machine
import models
import operator_log
import plan_admin
import policy_admin
from answer import Answer, Options
from host import CONFIG, CONTRACTS, LINKS, Member, clock, members, open_qubesd, run, strays
from place import place
from policy import approved, frozen
from qmcpd import gateways, invariants
from qmcpd.errors import Misconfigured
from qmcpd.qubesd import Qubesd
from settings import config, contracts
from settings.config import World
from spec import FEATURE, NAMES, SERVICE, TIERS

Worlds = dict[str, World]
REPORTED = "supported-rpc.{}"  # the feature by which the platform's agent reports a service


class Problem(NamedTuple):
    what: str
    where: str
    fix: str


def check(options: Options) -> Answer:
    found = [one._asdict() for one in _grouped(problems(options.root))]
    return Answer(found, 1 if found else 0, text=found or "No problem was found.")


def _grouped(found: Iterable[Problem]) -> list[Problem]:
    """One row for what has one cause: the same problem with the same fix in several places, or several in one place."""
    places: dict[tuple[str, str], list[str]] = {}
    for what, where, fix in found:
        places.setdefault((what, fix), []).append(where)
    whats: dict[tuple[str, str], list[str]] = {}
    for (what, fix), where in places.items():
        whats.setdefault((", ".join(dict.fromkeys(where)), fix), []).append(what)
    return [Problem("; ".join(what), where, fix) for (where, fix), what in whats.items()]


def problems(root: Path) -> Iterator[Problem]:
    """What needs the worlds is left out when they cannot be read."""
    yield from (Problem(*row) for row in machine.problems(root))
    for look in (_logs, _unfinished, _grants, _freeze, _contracts):
        yield from look(root)
    try:
        worlds = config.load(root / CONFIG).worlds
    except Misconfigured as problem:
        what = str(problem).partition(": ")[2]
        yield Problem(
            what, place(problem), "fix this line; until then qmcpd uses the last valid file"
        )
        return
    yield from _policy(root, worlds)
    looks: tuple[Callable[..., Iterable[Problem]], ...] = (
        *(_named, _models, _strays, _members, _guests, _plans),
    )
    try:
        for look in looks:
            yield from look(root, open_qubesd(root), worlds)
    except OSError as problem:
        fix = "systemctl status qubesd"
        yield Problem(f"qubesd does not answer: {problem}", "run/qubesd.sock", fix)


# ---- files


def _logs(root: Path) -> Iterator[Problem]:
    path = audit_chain.PATHS[0]
    if not (root / path).exists():
        what = "does not exist: qmcpd has never run, or somebody removed it"
        yield Problem(what, path, "systemctl status qmcpd")
        return
    for chain in audit_chain.verified(root):
        if chain.broken:
            where, number, why = chain.broken
            fix = "find out who changed the log; qmcp-admin audit verify"
            yield Problem(f"a line {why}", f"{where}:{number}", fix)


def _unfinished(root: Path) -> Iterator[Problem]:
    for path in sorted((root / "var/lib/qmcp/journal").glob("*.intent")):
        intent = json.loads(path.read_bytes())
        yield Problem(
            f"not undone since {clock(intent['when'])}",
            intent["qube"] or "a disposable",
            "qmcpd tries again: see its journal",
        )
    for entry in operator_log.unfinished(root):
        where = ", ".join(audit_chain.qubes(entry)) or str(entry["world"] or "this host")
        yield Problem(
            f"a command was interrupted, or failed: {entry['time']}", where, str(entry["command"])
        )


def _grants(root: Path) -> Iterator[Problem]:
    for path in sorted((root / grants.DIRECTORY).glob("*")):
        if path.suffix != ".draft" and grants.read(path.read_bytes()) is None:
            fix = "set the tier of its qube again, and remove this file"
            yield Problem("is not a grant that can be read", str(path), fix)
    try:
        over = sorted(run(grants.due(root)))
    except OSError:
        return  # that qubesd does not answer is a problem of its own
    for name in over:
        fix = "qmcp-admin expire; systemctl status qmcp-expire.timer; if it runs, shut it down"
        yield Problem("has what a grant gave that has ended", name, fix)


def _freeze(root: Path) -> Iterator[Problem]:
    """What is frozen, whatever qmcp.toml says."""
    for name in sorted(freezing.all_sources(root)):
        if freezing.is_frozen(root, name):
            yield Problem("frozen", f"world {name}", f"qmcp-admin thaw {name}, when that is over")
    if policy_admin.in_force(root, frozen.FILE) != freezing.policy(root):
        fix = "qmcp-admin freeze, or thaw, again"
        yield Problem("does not deny just what is frozen", frozen.FILE, fix)
    for why in freezing.allowed(root):
        yield Problem(f"FROZEN ONLY IN PART: {why}", frozen.FILE, "qmcp-admin freeze")
    for _, record in freezing.stopped(root):
        if not freezing.is_frozen(root, record["world"]):
            what = f"still {record['did']} by a freeze that is over"
            yield Problem(what, record["qube"], "qmcp-admin thaw")


def _contracts(root: Path) -> Iterator[Problem]:
    installed, unusable = contracts.load(root / CONTRACTS)
    for service, why in unusable.items():
        fix = f"fix it, or qmcp-admin contract remove {service}"
        yield Problem(f"not in force: {why}", f"{CONTRACTS}/{service}.json", fix)
    routed = [name for name, one in installed.items() if one.route == "dom0"]
    missing = [
        name for name in (SERVICE.catalog, *routed) if not (root / LINKS / name).is_symlink()
    ]
    files = " ".join(f"/{CONTRACTS}/{name}.json" for name in missing if name in installed)
    again = f"qmcp-admin contract install {files}" if files else ""
    bundle = "qmcp-dom0 install, with the same bundle" if SERVICE.catalog in missing else ""
    for name in missing:
        fix = "; ".join(filter(None, ("qmcp-dom0 recover", bundle, again)))
        yield Problem("has no link to qmcpd", f"{LINKS}/{name}", fix)


def _policy(root: Path, worlds: Worlds) -> Iterator[Problem]:
    installed, ours = contracts.load(root / CONTRACTS)[0], policy_admin.in_force(root)
    if not policy_admin.is_current(root, worlds, installed):
        what = "differs from what the installed contracts, qmcp.toml and asks.json make"
        yield Problem(what, policy_admin.INSTALLED, "qmcp-admin policy install")
    for row in policy_admin.findings(root, worlds, installed, ours):
        if row["result"] == "BROKEN":
            what = f"does not hold: {row['claim']} ({row['for example']})"
            yield Problem(what, row["where"], "fix that line; qmcp-admin policy lint")


# ---- qubes


def _named(root: Path, qubesd: Qubesd, worlds: Worlds) -> list[Problem]:
    """The principals and the gateways."""

    async def look() -> list[Problem]:
        there = await qubesd.list()
        return [
            problem
            for world in worlds.values()
            for name in (*world.principals, *world.gateways)
            for problem in (
                await _of_named(qubesd, world, name)
                if name in there
                else [
                    Problem(
                        "does not exist, and qmcp.toml names it", name, "fix qmcp.toml, or make it"
                    )
                ]
            )
        ]

    return run(look())


async def _of_named(qubesd: Qubesd, world: World, name: str) -> list[Problem]:
    given = await qubesd.get(name, "feature", FEATURE.created_with) or ""
    network = (await qubesd.properties(name)).get("provides_network", ("",))[0]
    found = []
    if world.umbrella in (await qubesd.tags(name) or ()):
        what, fix = "no call may have it", f"qvm-tags {name} del {world.umbrella}"
        found.append(Problem(f"has the tag {world.umbrella}: {what}", name, fix))
    if name in world.principals and world.umbrella not in given.split(" "):
        what = f"qubes that it makes do not get {world.umbrella}: no birth succeeds"
        value = f"{given} {world.umbrella}".strip()
        found.append(Problem(what, name, f"qvm-features {name} {FEATURE.created_with} '{value}'"))
    if name in world.gateways and network != "True":
        fix = f"qvm-prefs {name} provides_network True"
        found.append(Problem("is a gateway and provides no network", name, fix))
    if name in world.gateways and (why := await gateways.fault(qubesd, world, name)):
        what = f"is a gateway of {world.name} that cannot be used: {why}"
        fix = f"make it so; or qmcp-admin gateway remove {name} --world {world.name}"
        found.append(Problem(what, name, fix))
    return found


def _models(root: Path, qubesd: Qubesd, worlds: Worlds) -> Iterator[Problem]:
    """What a principal itself can reach, where that is more than its model; and what tells where an anonymous world is."""
    for fault in run(models.faults(qubesd, worlds)) + run(anonymity.faults(qubesd, worlds)):
        yield Problem(*fault)


def _plans(root: Path, _qubesd: Qubesd, _worlds: Worlds) -> Iterator[Problem]:
    if plan_admin.is_stale(root):
        fix = "qmcp-admin expire; systemctl status qmcp-expire.timer"
        yield Problem("has what plans had opened whose approval is over", approved.FILE, fix)


def _strays(root: Path, qubesd: Qubesd, worlds: Worlds) -> Iterator[Problem]:
    for name, what, tags in run(strays(qubesd, worlds)):
        fix = f"systemctl status qmcpd, which removes what opens it; qmcp-admin expel {name}"
        yield Problem(f"is {what}: it has {', '.join(tags)}, and belongs to nobody", name, fix)
    for world in worlds.values():
        for qube in run(_expelled(qubesd, world)):
            fix = f"shut it down, then: qmcp-admin expel {qube}"
            yield Problem(f"was expelled from {world.name} and ran then", qube, fix)


async def _expelled(qubesd: Qubesd, world: World) -> list[str]:
    looked = [await qubesd.look(name) for name in sorted(await qubesd.list())]
    return [one.name for one in looked if one.tags & world.own == {world.tombstone}]


def _members(root: Path, qubesd: Qubesd, worlds: Worlds) -> list[Problem]:
    async def look() -> list[Problem]:
        found = await members(qubesd, worlds)
        return [problem for one in found for problem in await _of_member(qubesd, one)]

    return run(look())


async def _of_member(qubesd: Qubesd, one: Member) -> list[Problem]:
    if one.kept_too_long():
        what = "was removed longer ago than its world keeps it"
        return [Problem(what, one.name, "qmcp-admin reap")]
    if not invariants.reach(one.world, one):
        return []
    value = {key: read for key, (read, _) in (await qubesd.properties(one.name)).items()}
    if value.get("provides_network") == "True":
        # Whatever sits behind it would lose its network with any other fix.
        fix = f"qmcp-admin expel {one.name}"
        return [Problem("provides network, and agents have it", one.name, fix)]
    found, network, home = [], value.get("netvm"), one.world.birth_gateway or repr("")
    if network and network not in one.world.gateways:
        what = f"is on the network of {network}, which is not a gateway of its world: no agent can start it"
        found.append(Problem(what, one.name, f"qvm-prefs {one.name} netvm {home}"))
    for key in NAMES.escape_hatches:
        if value.get(key) and invariants.is_made_by(one.world, one):
            what = f"has {key}, a way out of its world"
            found.append(Problem(what, one.name, f"qvm-prefs {one.name} {key} ''"))
    return found


def _guests(root: Path, qubesd: Qubesd, worlds: Worlds) -> list[Problem]:
    """Services that agents call in a qube and that it lacks. Its template says which it has, when it was started."""
    installed = contracts.load(root / CONTRACTS)[0]
    services = [name for name, one in installed.items() if one.route != "dom0"]

    async def look() -> list[Problem]:
        found = []
        for one in await members(qubesd, worlds):
            if one.removed() or one.tier() not in TIERS[1:]:
                continue
            if not await qubesd.inherited(one.name, REPORTED.format(SERVICE.copy)):
                continue  # it has never said what it has
            missing = [
                name
                for name in services
                if not await qubesd.inherited(one.name, REPORTED.format(name))
            ]
            if missing:
                fix = "install the guest package in its template, and start the template once"
                found.append(Problem(f"lacks {', '.join(missing)}", one.name, fix))
        return found

    return run(look())
