"""The policy of this host: generates it, checks that it parses and meets its guarantees, and installs it."""

import difflib
import hashlib
from pathlib import Path

import freezing
import models
from answer import Answer, Incomplete, Options, stop
from host import (
    CONTRACTS,
    SOCKET_OF_QUBESD,
    members,
    open_qubesd,
    read_worlds,
    run,
    strays,
    tagged,
    write,
)
from policy import asking, claims, frozen
from policy.asking import Ask
from policy.generate import asks_at_all, generate, names_in
from policy.rules import DIRECTORIES, Policy
from qmcpd.errors import Misconfigured
from qmcpd.qubesd import Qube
from settings import contracts
from settings.config import World

NAME = "30-qmcp.policy"
INSTALLED = f"{DIRECTORIES[-1]}/{NAME}"
Installed = dict[str, contracts.Contract]
Row = dict[str, str]


def read(
    root: Path, config_path: Path | None = None, contracts_path: Path | None = None
) -> tuple[dict[str, World], Installed]:
    """None of the contracts may be unusable."""
    worlds = read_worlds(root, path=config_path)
    installed, unusable = contracts.load(contracts_path or root / CONTRACTS)
    for service, why in unusable.items():
        stop(f"contract {service}: {why}; fix it, or: qmcp-admin contract remove {service}")
    return worlds, installed


def render(options: Options) -> Answer:
    worlds, installed = read(options.root, options.config, options.contracts)
    return Answer(generated(options.root, worlds, installed).splitlines())


def generated(
    root: Path, worlds: dict[str, World], installed: Installed, asks: list[Ask] | None = None
) -> str:
    """The policy as it would be installed, with these questions in place of those in asks.json."""
    asks = read_asks(root) if asks is None else asks
    there = asks_at_all(worlds.values(), asks) and (root / SOCKET_OF_QUBESD).exists()
    found = run(members(open_qubesd(root), worlds)) if there else []
    return generate(worlds, installed, asks, [one.name for one in found if one.klass != "DispVM"])


def is_current(
    root: Path, worlds: dict[str, World], installed: Installed, asks: list[Ask] | None = None
) -> bool:
    """Whether the installed policy says what it would say now, with these questions in place of those in asks.json. The names that
    it preselects may be older: they open nothing."""
    ours = in_force(root)
    asks = read_asks(root) if asks is None else asks
    return ours == generate(worlds, installed, asks, names_in(ours))


def read_asks(root: Path) -> list[Ask]:
    try:
        return asking.load(root)
    except Misconfigured as problem:
        stop(f"{problem}; fix it, or remove the file and ask again with qmcp-admin ask")


def in_force(root: Path, name: str = INSTALLED) -> str:
    path = root / name
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def lint(options: Options) -> Answer:
    worlds, installed = read(options.root)
    ours = (
        generated(options.root, worlds, installed) if options.rendered else in_force(options.root)
    )
    rows = findings(options.root, worlds, installed, ours) + _strays(options.root, worlds)
    wrong = [row for row in rows if row["result"] not in ("holds", "asks", "opened", "unread")]
    return Answer(rows, int(bool(wrong)))


def _strays(root: Path, worlds: dict[str, World]) -> list[Row]:
    """No claim is about these: qmcpd removes what opens them as it sees it, and no policy can close them."""
    there = (root / SOCKET_OF_QUBESD).exists()
    claim = "every qube that has a tag of a world is the world's"
    return [
        {"result": what, "claim": claim, "for example": f"{name}: {', '.join(tags)}", "where": ""}
        for name, what, tags in (run(strays(open_qubesd(root), worlds)) if there else ())
    ]


def findings(root: Path, worlds: dict[str, World], installed: Installed, ours: str) -> list[Row]:
    """Of the whole policy of this host, with this text as ours."""

    def look(name: str) -> Qube:
        there = (root / SOCKET_OF_QUBESD).exists()
        return run(open_qubesd(root).look(name)) if there else Qube(name, "", "", frozenset())

    texts = {NAME: ours, Path(frozen.FILE).name: freezing.policy(root)}
    return list(claims.findings(Policy(root, texts), worlds, installed, ours, look))


def install(options: Options) -> Answer:
    """Check first. At no moment is there no policy: without it the qubes of the worlds are not closed."""
    return installing(options.root, read_asks(options.root))


def installing(root: Path, asks: list[Ask]) -> Answer:
    """Installs the policy with these questions, and keeps them in asks.json."""
    worlds, installed = read(root)
    new, old, target = generated(root, worlds, installed, asks), in_force(root), root / INSTALLED
    rows = findings(root, worlds, installed, new)
    broken = [row for row in rows if row["result"] == "BROKEN"]
    broken += _abandoned(root, worlds, old) + _models(root, worlds)
    if broken:
        return Answer(broken, 1, text={"not installed; the policy stays as it was": broken})
    lines = changes(old, new) + changes(in_force(root, frozen.FILE), freezing.policy(root))

    def do() -> list[str]:
        """What is frozen stays so: its policy names new principals before ours does."""
        if asks != read_asks(root):
            write(root / asking.PATH, asking.text(asks))
        freezing.refresh(root)
        if old and old != new:
            write(target.with_name(NAME + ".old"), old)
        write(target, new)
        still = freezing.refresh(root)
        if still:
            raise Incomplete([f"NOT FROZEN any more: {why}" for why in still])
        return [f"installed {target}"]

    if not lines:
        return Answer([], text="Nothing changes: this very policy is in force.")
    digest = hashlib.sha256(new.encode()).hexdigest()
    return Answer({"changes": lines, "claims": rows}, do=do, words=(digest,))


def _abandoned(root: Path, worlds: dict[str, World], old: str) -> list[Row]:
    """Qubes that only the policy of before closes, because qmcp.toml has their world no more: an agent's programs may run in them."""
    gone = {name: tags for name, tags in frozen.named_in(old).items() if name not in worlds}
    there = gone and (root / SOCKET_OF_QUBESD).exists()
    return [
        {
            "result": "BROKEN",
            "claim": f"a qube with a tag of the world {name} stays closed, though qmcp.toml lost that world",
            "for example": ", ".join(qubes),
            "where": f"put the world back into qmcp.toml, then: qmcp-admin expel {qubes[0]}",
        }
        for name, tags in (gone.items() if there else ())
        if (qubes := sorted(one.name for one in run(tagged(open_qubesd(root), frozen.tags(tags)))))
    ]


def _models(root: Path, worlds: dict[str, World]) -> list[Row]:
    """No connection is opened to a model through which something could leave."""
    there = (root / SOCKET_OF_QUBESD).exists()
    return [
        {"result": "BROKEN", "for example": f"{where} {what}", "where": fix}
        | {"claim": "the model of a principal has no network, and no agent can change it"}
        for world in (worlds.values() if there else ())
        for model in world.models.values()
        if isinstance(model, dict)
        for what, where, fix in run(models.of_qube(open_qubesd(root), worlds, model))
    ]


def changes(old: str, new: str) -> list[str]:
    before, after = old.splitlines(), new.splitlines()
    return list(difflib.unified_diff(before, after, "in force", "to be", lineterm="", n=0))
