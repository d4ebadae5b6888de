"""Everything that could be wrong, what it is about, and what to do: `qmcp-admin check`."""

import difflib
import json
import re
import time

import audit_chain
import policy
import table
from host_admin import FROZEN, EVERY_WORLD, entombed, open_qubesd, run
from qmcpd import invariants
from qmcpd.errors import Misconfigured
from settings import config, contracts

CONFIG, CONTRACTS, POLICIES = "etc/qmcp/qmcp.toml", "etc/qmcp/contracts", "etc/qubes/policy.d"


def register(areas):
    check = areas.add_parser("check", help="everything that could be wrong, with what to do about it")
    check.add_argument("--json", action="store_true", help="one JSON list")
    check.set_defaults(run=lambda options: _show(list(problems(options.root)), options.json))


def _show(found, as_json):
    if as_json:
        print(json.dumps([dict(zip(("what", "where", "fix"), one)) for one in found], indent=2))
    elif found:
        table.show(["what is wrong", "where", "what to do"], [[(what, "red"), (at, None), (fix, None)] for what, at, fix in found])
    else:
        print("Nothing is wrong that could be seen from here.")
    return 1 if found else 0


def problems(root):
    """`(what, where, fix)` each. What needs the worlds is not looked at without them."""
    yield from _log(root)
    yield from _unfinished(root)
    installed, unusable = contracts.load(root / CONTRACTS)
    for service, why in unusable.items():
        yield f"not in force: {why}", f"{CONTRACTS}/{service}.json", "mend it, or qmcp-admin contract remove"
    try:
        worlds = config.load(root / CONFIG).worlds
    except Misconfigured as problem:
        yield str(problem).partition(": ")[2], _place(problem), "mend it; qmcpd goes by the worlds it read last"
        return
    yield from _policy(root, worlds, installed)
    yield from _links(root, installed)
    for world in worlds.values():
        if any((root / FROZEN / name).exists() for name in (world.name, EVERY_WORLD)):
            yield "frozen", f"world {world.name}", f"qmcp-admin thaw {world.name}, when that is over"
    try:
        yield from run(_host(root, worlds))
    except OSError as problem:
        yield f"qubesd does not answer: {problem}", "run/qubesd.sock", "systemctl status qubesd"


def _place(problem):
    """File and line of the key, and the nearest name there is where it is unknown."""
    try:
        lines = problem.path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return str(problem.path)
    line = 0
    for word in map(str, problem.key):
        pattern = re.compile(rf"(?:^\s*|[\[.\"'])({re.escape(word)})(?=[\]\s.=\"'])")
        line = next((n for n in range(line, len(lines)) if pattern.search(lines[n])), line)
    near = difflib.get_close_matches(str(problem.key[-1]), re.findall(r"[a-z_]+", str(problem)), 2) if problem.key else []
    hint = [name for name in near if name != problem.key[-1]]
    return f"{problem.path.name}:{line + 1}" + (f" (did you mean {hint[0]}?)" if hint else "")


def _log(root):
    chain = audit_chain.Chain()
    if not (root / audit_chain.PATH).exists():
        yield "is not there: qmcpd has never run, or it was taken away", audit_chain.PATH, "systemctl status qmcpd"
        return
    for line in audit_chain.lines(root):
        chain.add(*line)
    if chain.broken:
        path, number, why = chain.broken
        yield f"a line {why}", f"{path}:{number}", "find out who changed the log; qmcp-admin audit verify"


def _unfinished(root):
    for path in sorted((root / "var/lib/qmcp/journal").glob("*.intent")):
        intent = json.loads(path.read_bytes())
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(intent["when"]))
        yield f"not undone since {since}", intent["qube"] or "a disposable", "qmcpd tries again every few seconds: see its journal"


def _policy(root, worlds, installed):
    path = root / policy.INSTALLED
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text != policy.render(worlds, installed):
        yield "not what the installed contracts and qmcp.toml make", policy.INSTALLED, "qmcp-admin policy install"
    for other in sorted((root / POLICIES).glob("*.policy")):
        ours = re.compile(r"\s*(?:qmcp\.\S*|\*)\s|.*@tag:(?:%s)-" % "|".join(map(re.escape, worlds)))
        lines = other.read_text(encoding="utf-8", errors="replace").split("\n")
        if other.name < path.name and any(ours.match(line) for line in lines if not line.lstrip().startswith("#")):
            yield "decides before ours does", f"{POLICIES}/{other.name}", "see that every line in it is meant"
        if not re.fullmatch(r"[a-z0-9_.-]+", other.name):
            yield "a bad file name: it denies every call of this host", f"{POLICIES}/{other.name}", "rename it"


def _links(root, installed):
    for service in ["qmcp.Catalog", *(name for name, contract in installed.items() if contract.route == "dom0")]:
        if not (root / "etc/qubes-rpc" / service).is_symlink():
            yield "has no link to qmcpd", f"etc/qubes-rpc/{service}", f"ln -s /run/qmcp/qmcpd.sock /etc/qubes-rpc/{service}"


async def _host(root, worlds):
    qubesd, found = open_qubesd(root), []
    there = await qubesd.list()
    for world in worlds.values():
        for name in [*world.principals, *world.gateways]:
            if name not in there:
                found.append((f"is not there, and qmcp.toml names it in world {world.name}", name, "mend qmcp.toml, or make it"))
            elif world.umbrella in (await qubesd.tags(name) or ()):
                found.append((f"carries {world.umbrella} and can never be of the world", name, f"qvm-tags {name} del {world.umbrella}"))
        for name in filter(there.__contains__, world.principals):
            given = await qubesd.get(name, "feature", "tag-created-vm-with") or ""
            if world.umbrella not in given.split(" "):
                fix = f"qvm-features {name} tag-created-vm-with '{(given + ' ' + world.umbrella).strip()}'"
                found.append((f"what it makes is not born {world.umbrella}: no birth succeeds", name, fix))
        for name in filter(there.__contains__, world.gateways):
            if (await qubesd.properties(name)).get("provides_network", ("",))[0] != "True":
                found.append(("is a gateway and provides no network", name, f"qvm-prefs {name} provides_network True"))
        for name in there:
            found += await _qube(qubesd, world, name)
    return found


async def _qube(qubesd, world, name):
    tags, found = await qubesd.tags(name) or frozenset(), []
    if world.tombstone in tags:
        when, _ = await entombed(qubesd, name)
        if when is None or time.time() > when + world.tombstone_days * 86400:
            found.append(("was removed longer ago than it is kept", name, "qmcp-admin reap"))
    elif invariants.is_in_scope(world, name, tags):
        value = {key: read for key, (read, _) in (await qubesd.properties(name)).items()}
        if value.get("netvm") and value["netvm"] not in world.gateways:
            found.append((f"sits on {value['netvm']}, no gateway of its world: it does not start for an agent", name,
                          f"qvm-prefs {name} netvm {world.birth_gateway or repr('')}"))
        if value.get("provides_network") == "True":
            found.append(("provides network inside a world", name, f"qvm-prefs {name} provides_network False"))
        for key in invariants.ESCAPE_HATCHES if invariants.is_of_world(world, tags) else ():
            if value.get(key):
                found.append((f"has {key}, a way out of its world", name, f"qvm-prefs {name} {key} ''"))
    return found
