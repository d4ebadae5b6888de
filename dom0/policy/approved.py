"""The policy of the plans that a person approved: one line for each command in a qube, for as long as the approval stands.

A line names the principal, the qube, and in the argument the qube again and the SHA-256 of the request. It sorts before the policy of
the worlds, so what no call may reach is denied here first."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from settings.config import World
from spec import SERVICE

from .frozen import HOME
from .generate import closed, rule
from .rules import Rule

FILE = f"{HOME}/20-qmcp-plans.policy"


class Command(NamedTuple):
    """A command that was approved: whose, in which qube, and the SHA-256 of its request."""

    principal: str
    qube: str
    digest: str


def policy(worlds: Mapping[str, World], commands: Iterable[Command]) -> str:
    """Empty without commands. Those of a principal that is in no world any more have no line."""
    found = sorted(set(commands))
    lines = [line for world in worlds.values() for line in _of(world, found)]
    head = "# Written by qmcp-admin plan approve. The lines go when the plan ends, and at every boot.\n"
    return "".join([head, *lines]) if lines else ""


def _of(world: World, commands: list[Command]) -> Iterator[str]:
    for principal in sorted(world.principals):
        ours = [one for one in commands if one.principal == principal]
        if ours:
            yield f"\n# ---- {principal} of world {world.name}\n\n"
            yield from closed(world, principal, SERVICE.approved)  # INVARIANT policy.closed
            yield rule(SERVICE.approved, principal, f"@tag:{world.guard}", "deny")
        for one in ours:
            # The service drops to the user that the request names.
            argument = f"+{one.qube}+{one.digest}"
            yield rule(
                SERVICE.approved, principal, one.qube, "allow user=root autostart=no", argument
            )


def is_exact(line: Rule) -> bool:
    """Whether a line lets one request to one qube through."""
    return re.fullmatch(rf"\+{re.escape(line.target)}\+[0-9a-f]{{64}}", line.argument) is not None
