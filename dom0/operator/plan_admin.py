"""Plans, for the operator: shows all that a plan would do, and writes what was decided.

qmcpd reads a decision at each step. An approval is in force while it has a mark in /run: that is written last and taken away first.
The commands in qubes need a line of policy each, which stands as long as the approval does."""

import hashlib
import secrets
from pathlib import Path
from typing import Any

import operator_log
import plan_words
from answer import Answer, Options, stop
from host import CONFIG, CONTRACTS, instant, open_qubesd, read_worlds, run, write
from policy import approved
from qmcpd import invariants, messages, plans
from qmcpd.errors import Misconfigured, Refused
from qmcpd.journal import drop, keep
from qmcpd.plans import APPROVED, BEGUN, EXPIRED, PROPOSED, REJECTED, REVOKED, WAITING, inside
from qmcpd.qubesd import AdminError, Qube, Qubesd
from settings import config, contracts
from settings.config import World
from spec import SERVICE

SHORT = 8  # characters of a digest that a person types
# What a command makes of a plan, and in which states.
ENDS = {
    "plan reject": (REJECTED, (PROPOSED, EXPIRED)),
    "plan revoke": (REVOKED, (APPROVED, EXPIRED)),
}
LISTENERS = {"agent": "the agent", "nobody": "nobody: it stays in the qube"}
Json = dict[str, Any]


def listing(options: Options) -> Answer:
    store = plans.Plans(options.root)
    rows = [
        {
            "plan": plans.name_of(record)[:SHORT],
            "state": store.state(record),
            "world": record["plan"]["world"],
            "of": record["plan"]["principal"],
            "steps": len(record["steps"]),
            "expires": _expires(record),
            "title, in the agent's words": record["plan"]["title"],
        }
        for record in store.all()
    ]
    return Answer(rows, text=rows or "No plan is kept.")


def show(options: Options) -> Answer:
    store, record = _found(options)
    shown = _shown(options.root, store, record, run(_qubes(options.root, record)))
    return Answer(shown, text=plan_words.pages(shown))


def approve(options: Options) -> Answer:
    """The person sees the plan first. What is approved is this very plan for these very qubes, whatever happens until the answer."""
    store, record = _found(options)
    digest, qubes = plans.name_of(record), run(_qubes(options.root, record))
    if store.state(record) == APPROVED and operator_log.is_unfinished(options):
        return Answer([], text="Nothing is left to do.")
    if store.state(record) not in (PROPOSED, EXPIRED) or plans.is_old(record):
        stop(
            f"plan {digest[:SHORT]} is {store.state(record)}: only a proposed plan can be approved"
        )
    world = read_worlds(options.root, record["plan"]["world"])[record["plan"]["world"]]
    for name, qube in qubes.items():
        _require_usable(world, name, qube)
    identities = {name: qube.uuid for name, qube in qubes.items()}
    shown = _shown(options.root, store, record, qubes)
    shown["approval"] = {
        "lasts": f"{options.lasting // 60} minutes, and at most until the next boot",
        "hears the output of commands": LISTENERS[options.listener],
    }

    def do() -> list[str]:
        if store.read(world.name, digest) is None:
            stop(f"plan {digest[:SHORT]} was withdrawn; nothing is approved")
        now = run(_qubes(options.root, record))
        changed = [name for name in identities if now[name].uuid != identities[name]]
        if changed:
            stop(f"{changed[0]} is another qube now; nothing is approved")
        decision = {
            "decision": APPROVED,
            "over": plans.now() + options.lasting,
            "qubes": identities,
            "requests": _requests(record, options.listener),
        }
        keep(_directory(options.root, plans.DECISIONS) / f"{digest}.json", decision)
        refresh(options.root, also=digest)
        (_directory(options.root, plans.IN_FORCE) / digest).touch()
        return [
            f"approved: {digest[:SHORT]}",
            f"To end it early: qmcp-admin plan revoke {digest[:SHORT]}",
        ]

    return Answer(
        shown,
        text=plan_words.pages(shown),
        do=do,
        about=tuple(identities),
        world=world.name,
        words=(digest,),
    )


def end(options: Options) -> Answer:
    """Reject a plan, or revoke its approval: at once, and without a question."""
    decision, of = ENDS[options.command]
    store, record = _found(options)
    digest, state = plans.name_of(record), store.state(record)
    if state == decision:
        return Answer([], text=f"Nothing changes: the plan is {state}.")
    if state not in of:
        stop(f"plan {digest[:SHORT]} is {state}, so it cannot be {decision}")

    def do() -> list[str]:
        drop(_directory(options.root, plans.IN_FORCE) / digest)
        refresh(options.root)
        keep(_directory(options.root, plans.DECISIONS) / f"{digest}.json", {"decision": decision})
        return [f"{decision}: {digest[:SHORT]}"]

    return Answer([], do=do, at_once=True, world=record["plan"]["world"], words=(digest,))


# ---- what stands


def is_stale(root: Path) -> bool:
    """Whether something stands that no approval in force accounts for."""
    path = root / approved.FILE
    there = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return there != _policy(root) or bool(_over(root))


def refresh(root: Path, also: str = "") -> None:
    """Make the policy, the marks and the decisions agree with the plans. `also`: a plan that is about to be approved."""
    text, path = _policy(root, also), root / approved.FILE
    if text:
        write(path, text)
    else:
        path.unlink(missing_ok=True)
    for stale in _over(root):
        drop(stale)


def _over(root: Path) -> list[Path]:
    """Marks of plans that are not in force, and decisions about plans that are gone."""
    store = plans.Plans(root)
    states = {plans.name_of(record): store.state(record) for record in store.all()}
    marks, decisions = (root / plans.IN_FORCE).glob("*"), (root / plans.DECISIONS).glob("*.json")
    return [
        *(mark for mark in marks if states.get(mark.name) != APPROVED),
        *(path for path in decisions if path.stem not in states),
    ]


def _policy(root: Path, also: str = "") -> str:
    """Without a qmcp.toml that can be used, or without qubesd, no command stands."""
    try:
        worlds = config.load(root / CONFIG).worlds
        commands = run(_commands(root, worlds, also))
    except (Misconfigured, OSError):
        return ""
    return approved.policy(worlds, commands)


async def _commands(root: Path, worlds: dict[str, World], also: str) -> list[approved.Command]:
    store, qubesd, found = plans.Plans(root), open_qubesd(root), []
    for record in store.all():
        digest, plan = plans.name_of(record), record["plan"]
        if store.state(record) != APPROVED and digest != also:
            continue
        decision = store.decision(digest)
        for number, text in decision["requests"].items():
            name = plan["steps"][int(number) - 1]["qube"]
            qube = await qubesd.look(name)
            same = qube.uuid == decision["qubes"][name]
            left = record["steps"][int(number) - 1] in (WAITING, BEGUN)
            if same and left and invariants.reach(worlds[plan["world"]], qube):
                sha256 = hashlib.sha256(text.encode("utf-8")).hexdigest()
                found.append(approved.Command(plan["principal"], name, sha256))
    return found


# ---- parts


def _found(options: Options) -> tuple[plans.Plans, Json]:
    store, prefix = plans.Plans(options.root), options.plan
    if len(prefix) < SHORT:
        stop(f"{prefix}: type the first {SHORT} characters of the plan's digest, or more")
    found = [record for record in store.all() if plans.name_of(record).startswith(prefix)]
    if len(found) > 1:
        stop(f"two plans begin with {prefix}: type more of the digest")
    return (store, found[0]) if found else stop(f"there is no plan {prefix}: qmcp-admin plan list")


def _directory(root: Path, name: str) -> Path:
    """tmpfiles makes it with the owner and the mode that it has on a host."""
    (root / name).mkdir(mode=0o750, parents=True, exist_ok=True)
    return root / name


def _requests(record: Json, listener: str) -> dict[str, str]:
    """The bytes that the qube lets through, by the step's number. Nobody can guess the key, so nobody has them before dom0 gives
    them away."""
    digest = plans.name_of(record)
    return {
        str(number): messages.canonical(
            step | {"plan": digest, "step": number, "output": listener, "key": secrets.token_hex()}
        ).decode("utf-8")
        for number, step in enumerate(record["plan"]["steps"], 1)
        if inside(step)
    }


def uses(step: Json, installed: dict[str, contracts.Contract]) -> dict[str, contracts.Use]:
    """How a step uses the qubes that it names."""
    if inside(step):
        target = installed[SERVICE.approved].target or {}
        return {step["qube"]: contracts.Use("qube", target["capability"], True)}
    contract = installed.get(step["service"]) or stop(
        f"the plan calls {step['service']}, and that contract is not installed"
    )
    given: Json = {"$target": step.get("target")} | {f"${k}": v for k, v in step["params"].items()}
    return {given[reference]: use for reference, use in contract.uses.items()}


async def _qubes(root: Path, record: Json) -> dict[str, Qube]:
    """The qubes that the plan names, without those that it makes, as they are now."""
    installed, _ = contracts.load(root / CONTRACTS)
    qubesd, made, found = open_qubesd(root), set(), {}
    for step in record["plan"]["steps"]:
        for name, use in uses(step, installed).items():
            if use.kind == "new":
                made.add(name)
            elif name not in made:
                found[name] = await qubesd.look(name)
    return found


def _require_usable(world: World, name: str, qube: Qube) -> None:
    if not qube.uuid:
        stop(f"there is no qube {name}, so the plan cannot be approved for it")
    belongs = world.membership(qube.klass, qube.tags).get("belongs")
    if not belongs or name in world.excluded:
        stop(f"{name} is not in the world {world.name}, so the plan cannot be approved for it")


def _shown(root: Path, store: plans.Plans, record: Json, qubes: dict[str, Qube]) -> Json:
    plan, digest = record["plan"], plans.name_of(record)
    world = read_worlds(root, plan["world"])[plan["world"]]
    installed, _ = contracts.load(root / CONTRACTS)
    steps = []
    for number, (step, state) in enumerate(zip(plan["steps"], record["steps"], strict=True), 1):
        beyond = {
            name: (use.tier, invariants.reach(world, qubes[name]))
            for name, use in uses(step, installed).items()
            if name in qubes and _lacks(world, qubes[name], use)
        }
        contract = installed[SERVICE.approved if inside(step) else step["service"]]
        steps.append(
            {"number": number, "state": state, **plan_words.step(step, contract, beyond, world)}
        )
    return {
        "digest": digest,
        "plan": digest[:SHORT],
        "state": store.state(record),
        "world": plan["world"],
        "principal": plan["principal"],
        "proposed": instant(plan["proposed"]),
        "expires": _expires(record),
        "title": plan["title"],
        "reason": plan["reason"],
        "steps": steps,
        "changed": run(_changes(open_qubesd(root), record, qubes)),
    }


def _lacks(world: World, qube: Qube, use: contracts.Use) -> bool:
    if use.kind == "removed":
        return False
    try:
        invariants.require_reach(world, qube, use.tier, True, use.kind == "source")
    except Refused:
        return True
    return False


async def _changes(qubesd: Qubesd, record: Json, qubes: dict[str, Qube]) -> list[str]:
    """What is otherwise with these qubes since the plan was proposed."""
    said = []
    for name, qube in qubes.items():
        was = record["found"].get(name, {"uuid": ""})
        now: Json = {"uuid": qube.uuid, "class": qube.klass, "tags": sorted(qube.tags)}
        try:
            properties = await qubesd.properties(name)
        except AdminError:
            properties = {}
        now |= {key: properties.get(key, ("",))[0] for key in was if key not in now}
        if now["uuid"] != was["uuid"]:
            said.append(f"{name} is another qube than the one of the proposal")
            continue
        said += [
            f"{name}: {key} was {was[key]!r}, is {now[key]!r}"
            for key in was
            if was[key] != now[key]
        ]
    return said


def _expires(record: Json) -> str | None:
    return instant(record["plan"]["proposed"] + plans.LIMITS.plan_seconds)
