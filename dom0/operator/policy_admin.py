"""The policy of this host: what it would be, whether it reads and keeps what it promises, and how ours gets into it."""

import difflib
import hashlib
import shutil

from answer import Answer, stop
from host import CONTRACTS, open_qubesd, read_worlds, run, strays, write
from policy import claims
from policy.generate import generate
from policy.rules import DIRECTORIES, Policy
from qmcpd.qubesd import Qube
from settings import contracts

NAME, SOCKET = "30-qmcp.policy", "run/qubesd.sock"
INSTALLED = f"{DIRECTORIES[-1]}/{NAME}"


def _read(root, config_path=None, contracts_path=None):
    """`(worlds, contracts)`; not one of them may be unusable."""
    worlds = read_worlds(root, path=config_path)
    installed, unusable = contracts.load(contracts_path or root / CONTRACTS)
    for service, why in unusable.items():
        stop(f"contract {service}: {why}; mend it, or: qmcp-admin contract remove {service}")
    return worlds, installed


def render(options):
    return Answer(generate(*_read(options.root, options.config, options.contracts)).splitlines())


def in_force(root):
    path = root / INSTALLED
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def lint(options):
    worlds, installed = _read(options.root)
    ours = generate(worlds, installed) if options.rendered else in_force(options.root)
    rows = findings(options.root, worlds, installed, ours) + _strays(options.root, worlds)
    return Answer(
        rows, int(any(row["result"] not in ("holds", "asks", "opened", "unread") for row in rows))
    )


def _strays(root, worlds):
    """No claim is about these: what opens them is taken off as qmcpd sees it, and no policy can close them."""
    found = run(strays(open_qubesd(root), worlds)) if (root / SOCKET).exists() else ()
    claim = "every qube that has a tag of a world is the world's"
    return [
        {"result": what, "claim": claim, "for example": f"{name}: {', '.join(tags)}", "where": ""}
        for name, what, tags in found
    ]


def findings(root, worlds, installed, ours):
    """Of the whole policy of this host, with this text as ours."""

    def known(name):
        there = (root / SOCKET).exists()
        return run(open_qubesd(root).look(name)) if there else Qube(name, "", "", frozenset())

    return list(claims.findings(Policy(root, {NAME: ours}), worlds, installed, ours, known))


def install(options):
    """Lint first. At no moment is there no policy: without it a qube of the world is not closed."""
    worlds, installed = _read(options.root)
    text, old, target = (
        generate(worlds, installed),
        in_force(options.root),
        options.root / INSTALLED,
    )
    rows = findings(options.root, worlds, installed, text)
    broken = [row for row in rows if row["result"] == "BROKEN"]
    if broken:
        return Answer(broken, 1, text={"not installed; the policy stays as it was": broken})
    lines = [
        *difflib.unified_diff(
            old.splitlines(), text.splitlines(), "in force", "to be", lineterm="", n=0
        )
    ]

    def do():
        if target.exists():
            shutil.copy2(target, target.with_name(NAME + ".old"))
        write(target, text)
        return [f"installed {target}"]

    if not lines:
        return Answer([], text="Nothing changes: this very policy is in force.")
    return Answer(
        {"changes": lines, "claims": rows},
        do=do,
        words=(hashlib.sha256(text.encode()).hexdigest(),),
    )
