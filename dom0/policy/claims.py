"""Checks that the policy of this host gives its guarantees: the claims of claims.toml, and a few that need code.

Each claim is checked against every call on an invented host. For each world it has a qube of every kind, and one for every tag,
class and name that a rule of the real host names. So a claim that holds there holds on the real host, whatever qubes it has."""

import tomllib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from qmcpd import invariants
from qmcpd.errors import Refused
from qmcpd.qubesd import Qube
from settings.config import World
from settings.contracts import Contract
from spec import NAMES, SERVICE, TIERS

from . import approved
from .rules import ADMINVM, Policy, Rule, Verdict, concerning, decide, matches

CLAIMS = tomllib.loads((Path(__file__).parent / "claims.toml").read_text(encoding="utf-8"))["claim"]
MISSING, ANYBODY = "no-such-qube", "whoever-asks"
# Of a row of membership.toml, as `from` of a claim.
KINDS = {
    **dict.fromkeys(("guarded", "disposable", "member"), "member"),
    **dict.fromkeys(("tombstone", "half-born"), "removed"),
    "sink": "sink",
    "half-enrolled": "half-enrolled",
}
CONSISTENT = "every contract has its lines in ours, and no line but one that denies is about a service of ours without its contract"
NAMES_THE_QUBE = "every dialog names the qube it is about"
OPENS_NOTHING = "an ask line opens nothing that is closed"
# What the operator may open: it is told, and keeps nothing from being installed.
OPENED = {claim["words"]: "opened" for claim in CLAIMS if claim.get("yours")}


Entry = dict[
    str, Any
]  # a qube of the invented host, as `decide` takes it, with its `kind` and its `world`
Row = dict[str, str]


class Call(NamedTuple):
    """A call that is allowed, or that somebody is asked about, or would be on a name that does not exist. `caller` and `qube` are
    of the invented host."""

    source: str
    caller: Entry
    service: str
    target: str
    qube: Entry
    verdict: Verdict
    arrives: str  # as `to` of a claim; or "nowhere"
    missing: Verdict  # of the same call on a name that does not exist
    excused: dict[str, Any]  # as `but` of a claim: whether it is


def _pattern(claim: Mapping[str, Any]) -> Callable[[Call], bool]:
    return lambda call: (
        call.caller["kind"] in claim["from"]
        and call.arrives in claim.get("to", {call.arrives} - {"nowhere"})
        and call.service.startswith(claim.get("only", ""))
        and not any(call.excused[but] for but in claim.get("but", ()))
    )


def _beyond_tier(call: Call) -> bool:
    """As the kernel judges it: of what policy alone decides, it must be closed here."""
    contract, world, qube = call.excused["granted"], call.caller["world"], call.qube
    asked = (
        call.arrives != "nowhere"
        and call.caller["kind"] == "principal"
        and qube["world"] is world
        and qube["kind"] != "half-enrolled"
    )
    if not (asked and contract and contract.target):
        return False
    try:
        judged = Qube(call.target, qube["type"], qube["power_state"], frozenset(qube["tags"]))
        is_approved = call.service == SERVICE.approved
        invariants.require_reach(
            world, judged, contract.target["capability"], True, approved=is_approved
        )
    except Refused:
        return True
    # A question with autostart=no does not offer a qube that does not run.
    action, _, rule = call.verdict
    offers = action != "ask" or rule is None or rule.given.get("autostart") != "no"
    return contract.route == "qube" and call.qube["power_state"] != "Running" and offers


def _misplaced_file(call: Call) -> bool:
    if call.service != SERVICE.copy or call.arrives not in ("peer", "removed", "sink"):
        return False
    world, source, target = call.caller["world"], call.caller, call.qube
    sends, takes = (
        world.reach(one["type"], one["tags"]) not in (None, TIERS[0]) for one in (source, target)
    )
    into = call.arrives != "removed" and world.sink in target["tags"]
    return source["kind"] != "half-enrolled" and (
        world.sink in source["tags"]
        or world.guard in target["tags"]
        or not (sends and (takes or into))
    )


def _names_another(call: Call) -> bool:
    """Of a service that is called on a qube: that it runs elsewhere than the dialog and the argument say."""
    contract = call.excused["granted"]
    if not (contract and contract.target) or call.verdict.to is None:
        return False
    expected = ADMINVM if contract.route == "dom0" else (call.target,)
    return call.verdict.to not in expected


def _tells(call: Call) -> bool:
    hidden = call.qube["kind"] == "outside" or call.qube["world"] is not call.caller["world"]
    return (
        call.caller["kind"] != "outside"
        and call.qube["kind"] != "nobody"
        and hidden
        and not call.excused["model"]
        and call.verdict[:2] != call.missing[:2]
    )


JUDGED = [
    *((claim["invariant"], claim["words"], _pattern(claim)) for claim in CLAIMS),
    (
        "tiers.no-escalation",
        "a principal reaches a qube as its tier, guard and marks let it, and starts none",
        _beyond_tier,
    ),
    (
        "policy.closed",
        "files go between qubes at tier exec, into a sink, never out of one, and past no guard",
        _misplaced_file,
    ),
    ("consent.names-the-qube", NAMES_THE_QUBE, _names_another),
    (
        "scope.existence-hidden",
        "a qube outside of a world is answered as a name that does not exist",
        _tells,
    ),
]


def findings(
    policy: Policy,
    worlds: Mapping[str, World],
    installed: Mapping[str, Contract],
    ours: str,
    look: Callable[[str], Qube],
) -> Iterator[Row]:
    """A row for everything that does not read, then one for every claim: `holds`, `asks` where a person decides, `opened` where the
    operator's own lines let somebody in, or `BROKEN`. `ours`: the text of our file. `look`: a qube of the real host, by its name."""
    for where, what in policy.problems:
        yield _row(
            "BROKEN",
            "qrexec can read the policy: while it cannot, it denies every call",
            what,
            where,
        )
    for where, file in policy.unread:
        yield _row(
            "unread", "a file of before 4.1, which qrexec reads and this does not", file, where
        )
    found = {words: defaultdict(dict) for _, words, _ in JUDGED} | {
        CONSISTENT: {"allow": _unmatched(policy.rules, worlds, installed, ours)},
        OPENS_NOTHING: defaultdict(dict),
    }
    for call in _calls(policy.rules, _invented(policy.rules, worlds, look), worlds, installed):
        decides = call.missing if call.arrives == "nowhere" else call.verdict
        example = f"{call.service}: {call.source} -> {call.target}"
        where = decides.rule.where if decides.rule else ""
        opens = False
        for _, words, breaks in JUDGED:
            if breaks(call):
                # A dialog that names another qube is no better for having been shown.
                action = "allow" if words == NAMES_THE_QUBE else decides.action
                found[words][action].setdefault(example, where)
                opens = opens or words not in OPENED
        if decides.action == "ask" and (opens or call.caller["kind"] == "principal"):
            # INVARIANT consent.opens-nothing
            found[OPENS_NOTHING]["allow" if opens else "ask"].setdefault(example, where)
    for words, examples in found.items():
        worst = (("allow", OPENED.get(words, "BROKEN")), ("ask", "asks"))
        result, first = next(
            ((result, examples[action]) for action, result in worst if examples.get(action)),
            ("holds", {"": ""}),
        )
        yield _row(result, words, *next(iter(first.items())))


def _row(result: str, claim: str, example: str, where: str) -> Row:
    return {"result": result, "claim": claim, "for example": example, "where": where}


def _unmatched(
    rules: Iterable[Rule], worlds: Mapping[str, World], installed: Mapping[str, Contract], ours: str
) -> dict[str, str]:
    """`{what has no counterpart: where}`. A contract of a plugin that no principal may use has no lines. A line
    that denies counts for none, and needs none: the operator narrows with it."""
    granted = {
        plugin
        for world in worlds.values()
        for plugins in world.principals.values()
        for plugin in plugins
    }
    ruled = {
        rule.service: rule.where
        for rule in rules
        if rule.service.startswith("qmcp.") and rule.action != "deny"
    }
    named = set(ours.splitlines())
    found = {
        f"{name}: no line of its digest": ""
        for name, one in installed.items()
        if f"# contract {name} {one.digest}" not in named
    }
    found |= {
        f"{name}: no line is about it": ""
        for name, one in installed.items()
        if one.plugin in granted and name not in {SERVICE.approved, *ruled}
    }
    found |= {
        f"{SERVICE.approved}: it is for more than one request to one qube": rule.where
        for rule in rules
        if rule.service == SERVICE.approved
        and rule.action != "deny"
        and not approved.is_exact(rule)
    }
    return found | {
        f"{name}: no such contract": where
        for name, where in ruled.items()
        if name not in {SERVICE.catalog, *installed}
    }


def _kind(
    worlds: Mapping[str, World], name: str, klass: str, tags: frozenset[str]
) -> tuple[str, World | None]:
    """What a qube is, as `from` of a claim, and to which world."""
    for world in worlds.values():
        row = world.membership(klass, tags)["is"]
        if name in world.principals:
            return "principal", world
        if name not in world.excluded and row in KINDS:
            return KINDS[row], world
    return ("tagged" if any(world.own & tags for world in worlds.values()) else "outside"), None


def _invented(
    rules: Iterable[Rule], worlds: Mapping[str, World], look: Callable[[str], Qube]
) -> dict[str, Entry]:
    """As `decide` takes it; each qube also has its `kind`, as `from` of a claim, and its `world`."""
    words = {
        word for rule in rules for word in (rule.source, rule.target, rule.given.get("target", "*"))
    }
    classes = {"AppVM", "DispVM", *(word[6:] for word in words if word.startswith("@type:"))}
    # One at a time is enough: the rule that decides of a qube with several decides of the one that has what it looks at, too.
    tags = {word.rpartition("@tag:")[2] for word in words if "@tag:" in word}.difference(
        *(world.own | world.kinds["stamp"] for world in worlds.values())
    )
    foreign = [("AppVM", {tag}) for tag in tags] + [(klass, set()) for klass in classes]
    system = {"dom0": {"type": "AdminVM", "tags": set(), "kind": "dom0", "world": None}}

    def make(
        name: str, tags: Collection[str] = (), klass: str = "AppVM", state: str = "Running"
    ) -> None:
        kind, world = _kind(worlds, name, klass, frozenset(tags))
        system[name] = {
            "type": klass,
            "tags": frozenset(tags),
            "power_state": state,
            "template_for_dispvms": klass == "AppVM" and not name.endswith("alone"),
            "default_dispvm": "AppVM outside",
            "kind": kind,
            "world": world,
        }

    for of, world in worlds.items():
        one, marks = world.umbrella, world.kinds["disposable"]
        full = {one, *world.kinds["tier"]}
        for tag in sorted(world.own):
            base = {one} if tag in world.kinds["authority"] else full
            make(f"{of}: {tag} alone", {tag})
            make(f"{of}: {tag}", {*base, tag}, "DispVM" if tag in marks else "AppVM")
        for tag in sorted(world.kinds["elsewhere"]):
            make(f"{of} and {tag}", {*full, tag})
        make(f"{of}, halted", full, state="Halted")
        make(f"{of}, disposable unfinished", full, "DispVM")
        make(f"{of}, unfinished", {one, *world.kinds["stamp"]})
        for klass, extra in foreign:
            mark = {max(marks)} if klass == "DispVM" else set()
            make(f"{klass} of {of} {' '.join(extra)}".strip(), full | extra | mark, klass)
    for klass, extra in foreign:
        make(f"{klass} outside {' '.join(extra)}".strip(), extra, klass)
    named = {
        word.removeprefix("@dispvm:")
        for word in words
        if not word.startswith(("*", "@t", "@a", "@default", "@dispvm:@"))
    } - {"@dispvm"}
    for name in named.union(*(world.excluded for world in worlds.values())) - {*system, *ADMINVM}:
        make(name, look(name).tags, look(name).klass or "AppVM")
    make(ANYBODY)
    return system


def _calls(
    rules: list[Rule],
    system: dict[str, Entry],
    worlds: Mapping[str, World],
    installed: Mapping[str, Contract],
) -> Iterator[Call]:
    services = {(rule.service, rule.argument.lstrip("+*")) for rule in rules if rule.service != "*"}
    services |= {
        (service, "")
        for service in (
            "any.Other",
            SERVICE.connect,
            SERVICE.updates,
            *installed,
            *(service for service, _ in services),
        )
    }
    targets = [
        MISSING,
        "@dispvm",
        "@adminvm",
        *(name for name in system if name not in ("dom0", ANYBODY)),
    ]
    targets += [
        f"@dispvm:{name}" for name, qube in system.items() if qube.get("template_for_dispvms")
    ]
    nobody, decided = {"kind": "nobody", "world": None, "tags": set()}, {}
    for source in set(system) - {"dom0", ANYBODY}:
        own = [rule for rule in rules if matches(rule.source, source, system, source)]
        for service, argument in services:
            rules_here = concerning(own, system, service, argument, source)
            key = tuple(rule.where for rule in rules_here)
            if key not in decided:  # no verdict depends on who asks beyond that
                decided[key] = {
                    target: decide(rules_here, system, ANYBODY, target)
                    for target in targets
                    if rules_here
                }
            caller, excused = system[source], _excused(source, system[source], service, installed)
            missing = decided[key].get(MISSING)
            for target, verdict in decided[key].items():
                if target != source and {verdict.action, missing.action} != {"deny"}:
                    qube, arrives = system.get(target, nobody), _arrives(system, caller, verdict.to)
                    to = (verdict if verdict.to else missing).to
                    outlets = _outlets(worlds, source, caller, f"{service}+{argument}", to)
                    yield Call(
                        *(source, caller, service, target, qube, verdict, arrives, missing),
                        excused | outlets,
                    )


def _arrives(system: dict[str, Entry], caller: Entry, to: str | None) -> str:
    if to is None or to in ADMINVM or to.startswith("@"):
        return (
            "nowhere"
            if to is None
            else "dom0"
            if to in ADMINVM
            else "disposable"
            if to.startswith("@dispvm")
            else "nobody"
        )
    one = system.get(to, {"kind": "nobody"})
    if one["kind"] in KINDS.values() and one["world"] is not caller["world"]:
        return "elsewhere"
    return "peer" if one["kind"] == "member" else one["kind"]


def _outlets(
    worlds: Mapping[str, World], source: str, caller: Entry, call: str, to: str | None
) -> dict[str, bool]:
    """Whether it is one of the two ways out of a world."""
    models = [world.models[source] for world in worlds.values() if source in world.models]
    return {
        "model": any(
            isinstance(model, dict)
            and (call, to) == (f"{SERVICE.connect}+{model['port']}", model["qube"])
            for model in models
        ),
        "updates": call.partition("+")[0] == SERVICE.updates
        and to in {w.updates for w in worlds.values() if w.tag("updates") in caller["tags"]},
    }


def _excused(
    source: str, caller: Entry, service: str, installed: Mapping[str, Contract]
) -> dict[str, Any]:
    contract, plugins = (
        installed.get(service),
        caller["world"].principals.get(source, ()) if caller["world"] else (),
    )
    return {
        "boot": service in (*NAMES.boot_services, SERVICE.date),
        "copies": service == SERVICE.copy and SERVICE.copy_contract in installed,
        "catalog": service == SERVICE.catalog,
        "granted": contract if contract and contract.plugin in plugins else None,
    }
