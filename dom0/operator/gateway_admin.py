"""The gateways of a world: shows what each does with the traffic of its qubes, and declares them in qmcp.toml. A change edits the table
of one gateway; every other line of the file stays as the operator wrote it."""

import json
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import policy_admin
from answer import Answer, Incomplete, Options, near, stop
from host import CONFIG, Member, Worlds, members, open_qubesd, read_worlds, run, write
from qmcpd import gateways
from qmcpd.errors import Misconfigured
from qmcpd.qubesd import Qubesd
from settings import config
from settings.config import World
from spec import FEATURE

Row = dict[str, Any]
KEYS = ("filters", "anonymising", "label")


def listing(options: Options) -> Answer:
    rows = run(_rows(open_qubesd(options.root), read_worlds(options.root, options.world)))
    return Answer(rows, text=rows or "No world has a gateway.")


async def _rows(qubesd: Qubesd, worlds: Worlds) -> list[Row]:
    there, own = await qubesd.list(), await members(qubesd, worlds)
    return [
        {"gateway": name, "world": world.name, "label": gateway["label"]}
        | await _state(qubesd, world, name, own if name in there else None)
        for world in worlds.values()
        for name, gateway in sorted(world.gateways.items())
    ]


async def _state(qubesd: Qubesd, world: World, name: str, own: list[Member] | None) -> Row:
    """In words; without the members of the worlds, there is no such qube."""
    if own is None:
        return {
            "state": "missing",
            "rules": "there is no such qube",
            **dict.fromkeys(("anonymity", "upstream", "used by"), ""),
        }
    chain, why = await gateways.upstream(qubesd, name), await gateways.fault(qubesd, world, name)
    tor = [hop for hop in chain if await qubesd.inherited(hop, FEATURE.tor_gateway)]
    applies = "applies" if world.gateways[name]["filters"] else "by qmcp.toml, does not apply"
    return {
        "state": await qubesd.state(name),
        "rules": f"CANNOT BE USED: {why}" if why else f"{applies} the rules of the qubes on it",
        "anonymity": f"to Tor, in {tor[0]}" if tor else "none that dom0 can see",
        "upstream": " > ".join(chain[1:]) or "the outside",
        "used by": await _users(qubesd, world, name, own),
    }


async def _users(qubesd: Qubesd, world: World, name: str, own: list[Member]) -> list[str]:
    """The qubes of the world that are on it, or can come back to it."""
    found = []
    for one in own:
        on = (await qubesd.properties(one.name))["netvm"][0]
        home = await qubesd.get(one.name, "feature", FEATURE.birth_network)
        found += [one.name] if one.world.name == world.name and name in (on, home) else []
    return found


# ---- changes


def add(options: Options) -> Answer:
    world, name = _world(options), options.gateway
    if name in world.gateways:
        if not _wanted(options).items() <= world.gateways[name].items():
            stop(f"{name} is a gateway of {world.name} already: qmcp-admin gateway change {name}")
        return _finish(options)
    why = run(_no_gateway(open_qubesd(options.root), read_worlds(options.root), name))
    if why:
        stop(f"{name} cannot be a gateway: {why}")
    return _answer(options, world, _wanted(options))


async def _no_gateway(qubesd: Qubesd, worlds: Worlds, name: str) -> str | None:
    there = await qubesd.list()
    if name not in there:
        return f"there is no such qube{near(name, there)}"
    qube = await qubesd.look(name)
    for world in worlds.values():
        if qube.tags & world.own:
            return f"it has tags of the world {world.name}: first run qmcp-admin expel {name}"
    network = (await qubesd.properties(name)).get("provides_network", ("",))[0]
    return None if network == "True" else "it provides no network: qvm-prefs provides_network"


def change(options: Options) -> Answer:
    world, wanted = _world(options), _wanted(options)
    if options.gateway not in world.gateways:
        meant = near(options.gateway, world.gateways)
        stop(f"{options.gateway} is not a gateway of {world.name}{meant}")
    if not wanted:
        stop("say what to change: --filters, --anonymising or --label")
    return _answer(options, world, wanted)


def remove(options: Options) -> Answer:
    world, name, qubesd = _world(options), options.gateway, open_qubesd(options.root)
    if name not in world.gateways:
        meant = near(name, world.gateways)
        if meant:
            stop(f"{name} is not a gateway of {world.name}{meant}")
        return _finish(options)
    if name == world.birth_gateway:
        stop(f"{name} is in use: new qubes get it; first change birth_gateway in qmcp.toml")
    users = run(_users(qubesd, world, name, run(members(qubesd, {world.name: world}))))
    if users:
        away = f"qvm-prefs QUBE netvm ''; qvm-features --unset QUBE {FEATURE.birth_network}"
        stop(f"{name} is in use, by {', '.join(users)}; first, for each: {away}")
    return _answer(options, world, None)


def _world(options: Options) -> World:
    return read_worlds(options.root, options.world)[options.world]


def _finish(options: Options) -> Answer:
    """qmcp.toml says what is asked for. Installs the policy if a command was interrupted before it did."""
    if not policy_admin.is_current(options.root, *policy_admin.read(options.root)):
        return policy_admin.install(options)
    return Answer([], text="Nothing changes.")


def _wanted(options: Options) -> Row:
    """The keys of its table that the command line names."""
    given = {key: getattr(options, key) for key in KEYS if getattr(options, key) is not None}
    return {key: value == "on" if value in ("on", "off") else value for key, value in given.items()}


def _answer(options: Options, world: World, wanted: Row | None) -> Answer:
    path, name = options.root / CONFIG, options.gateway
    old = path.read_text(encoding="utf-8")
    new = _edited(old, world.name, name, wanted)
    _require_readable(path, new)
    shown = policy_admin.changes(old, new)
    if not shown:
        return _finish(options)

    def do() -> list[str]:
        if path.read_text(encoding="utf-8") != old:
            raise Incomplete([f"NOT DONE: {path} was changed meanwhile; run this again"])
        write(path, new, like=True)
        policy = policy_admin.install(options)
        if policy.code:
            raise Incomplete([f"changed {path}; NOT INSTALLED: the policy: qmcp-admin policy lint"])
        return [f"changed {path}", *(policy.do() if policy.do else [])]

    return Answer({"changes": shown}, do=do, about=(name,), world=world.name)


def _edited(text: str, world: str, name: str, wanted: Row | None) -> str:
    """The file with the keys of that gateway's table set, or without the table. Stops if somebody wrote it in a form that this cannot
    edit."""
    quoted = name if re.fullmatch(r"[\w-]+", name) else json.dumps(name)
    heading, lines = f"[world.{world}.gateway.{quoted}]", text.rstrip("\n").split("\n")
    start = next((n for n, line in enumerate(lines) if line.strip() == heading), len(lines))
    end = next((n for n in range(start + 1, len(lines)) if lines[n].startswith("[")), len(lines))
    while end > start + 1 and not lines[end - 1].strip().rstrip("#"):
        end -= 1
    own = lines[start:end] or ["", heading]
    for key, value in (wanted or {}).items():
        own = [line for line in own if not re.match(rf"\s*{key}\s*=", line)]
        own.insert(own.index(heading) + 1, f"{key} = {json.dumps(value)}")
    new = "\n".join([*lines[:start], *(own if wanted is not None else []), *lines[end:]])
    meant = tomllib.loads(text)
    tables = meant["world"][world].setdefault("gateway", {})
    if wanted is None:
        del tables[name]
    else:
        tables[name] = tables.get(name, {}) | wanted
    try:
        found = tomllib.loads(new)
    except ValueError:
        found = None
    if found != meant:
        stop(f"{CONFIG}: the table of {name} is in a form that this cannot edit; edit it by hand")
    return new.rstrip("\n") + "\n"


def _require_readable(path: Path, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        draft.write_text(text, encoding="utf-8")
        try:
            config.load(draft)
        except Misconfigured as problem:
            stop(str(problem).partition(": ")[2])
