"""Everything that could be wrong, what it is about, and what to do: `qmcp-admin check`."""

import json

import audit_chain
import grants
import policy_admin
from answer import Answer
from host import CONFIG, CONTRACTS, LINKS, clock, is_frozen, members, open_qubesd, run, strays
from place import place
from policy.generate import generate
from qmcpd import invariants
from qmcpd.errors import Misconfigured
from settings import config, contracts
from spec import FEATURE, NAMES, SERVICE


def check(options):
    found = [
        dict(zip(("what", "where", "fix"), one, strict=True)) for one in problems(options.root)
    ]
    return Answer(
        found, 1 if found else 0, text=found or "Nothing is wrong that could be seen from here."
    )


def problems(root):
    """`(what, where, fix)` each. What needs the worlds is not looked at without them."""
    there = (root / audit_chain.PATHS[0]).exists()
    if not there:
        yield (
            "is not there: qmcpd has never run, or it was taken away",
            audit_chain.PATHS[0],
            "systemctl status qmcpd",
        )
    for path, number, why in (
        filter(None, (chain.broken for chain in audit_chain.verified(root))) if there else ()
    ):
        yield (
            f"a line {why}",
            f"{path}:{number}",
            "find out who changed the log; qmcp-admin audit verify",
        )
    for path in sorted((root / "var/lib/qmcp/journal").glob("*.intent")):
        intent = json.loads(path.read_bytes())
        yield (
            f"not undone since {clock(intent['when'])}",
            intent["qube"] or "a disposable",
            "qmcpd tries again: see its journal",
        )
    for path in sorted((root / grants.DIRECTORY).glob("*.intent")):
        if grants.read(path.read_bytes()) is None:
            yield (
                "is a grant that cannot be read",
                str(path),
                "set the tier of its qube anew, and remove it",
            )
    installed, unusable = contracts.load(root / CONTRACTS)
    for service, why in unusable.items():
        yield (
            f"not in force: {why}",
            f"{CONTRACTS}/{service}.json",
            f"mend it, or qmcp-admin contract remove {service}",
        )
    try:
        worlds = config.load(root / CONFIG).worlds
    except Misconfigured as problem:
        yield (
            str(problem).partition(": ")[2],
            place(problem),
            "mend it; qmcpd goes by the worlds it read last",
        )
        return
    ours = policy_admin.in_force(root)
    if ours != generate(worlds, installed):
        yield (
            "not what the installed contracts and qmcp.toml make",
            policy_admin.INSTALLED,
            "qmcp-admin policy install",
        )
    for row in policy_admin.findings(root, worlds, installed, ours):
        if row["result"] == "BROKEN":
            yield (
                f"does not hold: {row['claim']} ({row['for example']})",
                row["where"],
                "mend that line; qmcp-admin policy lint",
            )
    anew = {
        name: f"qmcp-admin contract install /{CONTRACTS}/{name}.json"
        for name, one in installed.items()
        if one.route == "dom0"
    }
    for service, fix in {
        SERVICE.catalog: "qmcp-dom0 install, with the same bundle",
        **anew,
    }.items():
        if not (root / LINKS / service).is_symlink():
            yield "has no link to qmcpd", f"{LINKS}/{service}", f"qmcp-dom0 recover; {fix}"
    for name in [name for name, world in worlds.items() if is_frozen(root, world)]:
        yield "frozen", f"world {name}", f"qmcp-admin thaw {name}, when that is over"
    try:
        yield from run(_host(root, worlds))
    except OSError as problem:
        yield f"qubesd does not answer: {problem}", "run/qubesd.sock", "systemctl status qubesd"


async def _host(root, worlds):
    qubesd, found = open_qubesd(root), []
    there = await qubesd.list()
    for world in worlds.values():
        for name in [*world.principals, *world.gateways]:
            tags = await qubesd.tags(name) or frozenset()
            given = (
                await qubesd.get(name, "feature", FEATURE.created_with) or ""
                if name in there
                else ""
            )
            network = (
                (await qubesd.properties(name)).get("provides_network", ("",))[0]
                if name in there
                else ""
            )
            found += [
                (what, name, fix)
                for wrong, what, fix in (
                    (
                        name not in there,
                        f"is not there, and qmcp.toml names it in world {world.name}",
                        "mend qmcp.toml, or make it",
                    ),
                    (
                        world.umbrella in tags,
                        f"carries {world.umbrella}: no call may have it",
                        f"qvm-tags {name} del {world.umbrella}",
                    ),
                    (
                        name in there
                        and name in world.principals
                        and world.umbrella not in given.split(" "),
                        f"what it makes is not born {world.umbrella}: no birth succeeds",
                        f"qvm-features {name} {FEATURE.created_with} '{(given + ' ' + world.umbrella).strip()}'",
                    ),
                    (
                        name in there and name in world.gateways and network != "True",
                        "is a gateway and provides no network",
                        f"qvm-prefs {name} provides_network True",
                    ),
                )
                if wrong
            ]
    for name, what, tags in await strays(qubesd, worlds):
        fix = f"systemctl status qmcpd, which takes off what opens it; qmcp-admin expel {name}"
        found.append((f"is {what}: it has {', '.join(tags)}, and is nobody's", name, fix))
    for one in await members(qubesd, worlds):
        within = invariants.reach(one.world, one)
        value = (
            {key: read for key, (read, _) in (await qubesd.properties(one.name)).items()}
            if within
            else {}
        )
        network, home = value.get("netvm"), one.world.birth_gateway or repr("")
        found += [
            (what, one.name, fix)
            for wrong, what, fix in (
                (one.kept_too_long(), "was removed longer ago than it is kept", "qmcp-admin reap"),
                (
                    network and network not in one.world.gateways,
                    f"sits on {network}, no gateway of its world: no agent can start it",
                    f"qvm-prefs {one.name} netvm {home}",
                ),
                (
                    value.get("provides_network") == "True",
                    "provides network in a world",
                    f"qvm-prefs {one.name} provides_network False",
                ),
                *(
                    (
                        value.get(key) and invariants.is_made_by(one.world, one),
                        f"has {key}, a way out of its world",
                        f"qvm-prefs {one.name} {key} ''",
                    )
                    for key in NAMES.escape_hatches
                ),
            )
            if wrong
        ]
    fix = "qmcp-admin expire; systemctl status qmcp-expire.timer"
    return found + [
        ("has what it was given for a while that is over", name, fix)
        for name in await grants.due(root)
    ]
