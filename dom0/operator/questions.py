"""Chooses what the operator is asked about before it happens. The policy has `ask` where it would have `allow`, so a question never
opens anything; the entries are kept in asks.json, and `policy install` writes them again."""

from collections.abc import Iterator
from typing import NoReturn

import policy_admin
from answer import Answer, Options, near, stop
from host import Worlds, open_qubesd, run
from policy import asking
from policy.asking import Ask
from policy.generate import DESTROY
from spec import SHAPES, TIERS

EFFECTS = SHAPES["contract"]["properties"]["effect"]["enum"]


def ask(options: Options) -> Answer:
    root, asks = options.root, policy_admin.read_asks(options.root)
    worlds, installed = policy_admin.read(root)
    if options.what is None:
        return _listing(asks, worlds, installed)
    if options.tier and options.qube:
        stop("--tier and --qube exclude each other: use one of them")
    wanted = Ask(options.what, options.tier or "", options.qube or "")
    if not (options.off and wanted in asks):
        _require_known(wanted, installed)
    if wanted.qube and not options.off:
        _require_member(options, worlds, wanted.qube)
    # Whether it has another question than asks.json, because a command was interrupted, is what this one puts right.
    before = asking.written_in(policy_admin.in_force(root))
    if not policy_admin.is_current(root, worlds, installed, before):
        stop(
            "not done: the installed policy is not the one that the contracts, qmcp.toml and asks.json make; "
            "first: qmcp-admin policy install"
        )
    new = sorted({*asks} - {wanted} if options.off else {*asks, wanted})
    if new == asks == before:
        now = "not asked" if options.off else "asked"
        words = [f"Nothing changes: you are {now} about {wanted.words()}."]
        return Answer([], text=[*words, *_others(wanted, asks, installed)])
    reply = policy_admin.installing(root, new)
    if reply.do is None:
        return reply
    carry_out = reply.do
    return reply._replace(
        do=lambda: [*carry_out(), *_others(wanted, new, installed)], words=(wanted.words(),)
    )


def _listing(asks: list[Ask], worlds: Worlds, installed: policy_admin.Installed) -> Answer:
    in_toml = [
        (DESTROY, f"destructive of {principal} in qmcp.toml")
        for world in worlds.values()
        for principal in sorted(world.asked_before_destroying)
    ]
    rows = [
        {
            "you are asked about": one.words(),
            "because of": source,
            "services": [name for name, contract in installed.items() if one.concerns(contract)],
        }
        for one, source in [*((one, asking.PATH) for one in asks), *in_toml]
    ]
    none = "You are asked about nothing. To be asked before anything is destroyed: qmcp-admin ask destroy"
    return Answer(rows, text=rows or none)


def _require_known(wanted: Ask, installed: policy_admin.Installed) -> None:
    """A misspelt word would ask about nothing."""
    known = {*EFFECTS, *installed, *(contract.plugin for contract in installed.values())}
    if wanted.what not in known:
        stop(
            f"no installed service, plugin or effect is called {wanted.what}{near(wanted.what, known)}"
        )
    if not any(wanted.concerns(contract) for contract in installed.values()):
        _nothing_concerned(wanted)


def _nothing_concerned(wanted: Ask) -> NoReturn:
    if wanted.qube:
        stop(f"no service of {wanted.what} is called on a qube; leave out --qube")
    stop(
        f"no service of {wanted.what} needs more than the tier {TIERS[0]} and at most {wanted.tier}: "
        f"a service that only needs {TIERS[0]} is asked about at every tier; leave out --tier"
    )


def _require_member(options: Options, worlds: Worlds, name: str) -> None:
    qube = run(open_qubesd(options.root).look(name))
    if not any(
        world.reach(qube.klass, qube.tags) and name not in world.excluded
        for world in worlds.values()
    ):
        stop(f"no agent has {name}, so there is nothing to ask; qmcp-admin status lists the qubes")


def _others(wanted: Ask, asks: list[Ask], installed: policy_admin.Installed) -> Iterator[str]:
    """The other entries by which the operator is asked about the same services."""
    same = [contract for contract in installed.values() if wanted.concerns(contract)]
    for one in asks:
        if one != wanted and any(one.concerns(contract) for contract in same):
            yield f"You are also asked about some of it by: {one.words()}"
