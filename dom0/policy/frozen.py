"""The policy while worlds are frozen: it denies all that their principals and their qubes ask of any qube.

It names every principal and every tag that an installed policy of ours ever closed, so it needs no qmcp.toml that parses. It denies
by source only: a line about a target that came first would tell other worlds' principals that there is such a qube."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from settings.config import World

from .generate import rule
from .rules import ADMINVM, DIRECTORIES, Policy

HOME = DIRECTORIES[-1]
FILE = f"{HOME}/00-qmcp-frozen.policy"
# Where worlds and principals are named, besides qmcp.toml: the policy, the one before it, and what was frozen before.
WRITTEN = (f"{HOME}/30-qmcp.policy", f"{HOME}/30-qmcp.policy.old", FILE)
_HEADING = re.compile(r"# ---- world ([a-z][a-z0-9]*): ")
# What a line about other sources may say and still mean a principal, or a qube with a tag.
_WIDE = ("*", "@anyvm")

Sources = dict[str, frozenset[str]]


def sources_of(worlds: Iterable[World]) -> Sources:
    """`{world: principals, and its tags as a policy says them}`."""
    return {
        world.name: frozenset({*world.principals, *(f"@tag:{tag}" for tag in world.own)})
        for world in worlds
    }


def named_in(text: str) -> Sources:
    """The same, of what a policy of ours closes."""
    found: Sources = {}
    world = None
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            world = heading[1]
        match line.split():
            case ["*", "*", source, "@anyvm", "deny"] if world and source not in _WIDE:
                found[world] = found.get(world, frozenset()) | {source}
    return found


def tags(sources: Iterable[str]) -> set[str]:
    return {source[5:] for source in sources if source.startswith("@tag:")}


def together(*many: Sources) -> Sources:
    found: Sources = {}
    for sources in many:
        for world, those in sources.items():
            found[world] = found.get(world, frozenset()) | those
    return found


def questions_in(text: str) -> set[tuple[str, str]]:
    """`(service, source)` of each question about a call on dom0 in a policy of ours. qmcpd refuses other calls on dom0 as frozen, but
    it hears of these only after a person was asked."""
    lines = [line.split() for line in text.splitlines()]
    return {(words[0], words[2]) for words in lines if words[3:5] == ["@adminvm", "ask"]}


def policy(
    sources: Mapping[str, Collection[str]], questions: Collection[tuple[str, str]] = ()
) -> str:
    """First match wins, and this file sorts before the others."""
    lines = ["# Written by qmcp-admin freeze, and taken away by qmcp-admin thaw.\n"]
    for world, those in sorted(sources.items()):
        lines.append(f"\n# ---- world {world}: frozen\n\n")
        for source in sorted(those):
            lines.append(rule("*", source, "@anyvm", "deny"))  # INVARIANT frozen.means-frozen
        lines += [
            rule(service, source, "@adminvm", "deny")  # INVARIANT consent.opens-nothing
            for service, source in sorted(questions)
            if source in those
        ]
    return "".join(lines)


def openings(root: Path, sources: Collection[str], tagged: Collection[str] | None) -> Iterator[str]:
    """How the policy of this host still lets these sources call qubes: empty while it denies them all. `tagged`: the qubes that
    have one of these tags; None if nobody knows."""
    rules, before, missing = Policy(root).rules, dict[str, str](), []
    for source in sorted(sources):
        closes = [
            one[:5] == ("*", "*", source, "@anyvm", "deny") and _file(one.where) == FILE
            for one in rules
        ]
        if True not in closes:
            missing.append(source)
            continue
        for one in rules[: closes.index(True)]:
            allows = one.action != "deny" and one.target not in ADMINVM
            if allows and _may_mean(one.source, source, tagged):
                before.setdefault(one.where, source)
    if missing:
        yield f"qrexec reads no line of {FILE} about {', '.join(missing)}"
    yield from (f"{where} decides first about {source}" for where, source in before.items())


def _file(where: str) -> str:
    return where.partition(":")[0].removeprefix("/")


def _may_mean(word: str, source: str, tagged: Collection[str] | None) -> bool:
    if word in (source, *_WIDE) or word.startswith(("@type:", "@tag:", "uuid:")):
        return True
    return source.startswith("@tag:") and word not in ADMINVM and (tagged is None or word in tagged)
