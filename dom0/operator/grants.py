"""Temporary grants, and how they are revoked.

A grant only adds tags, or removes a guard; revoking it removes those and puts that guard back, and nothing else. So it can be
revoked at any time, twice, or in part, whatever the operator changed since: there is always less than before. It is on the disk
before the first tag is written, and in a feature of the qube, which a qube that was renamed (that is, cloned and removed) or
restored from a backup still has. It ends after so many seconds of CLOCK_BOOTTIME, which nobody sets, and with its boot.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import plan_admin
from answer import Answer, Incomplete, Options
from host import clock, open_qubesd, run
from qmcpd.effects import perform
from qmcpd.journal import Journal
from qmcpd.qubesd import AdminError, Qube, Qubesd
from spec import FEATURE, TAGS

DIRECTORY = "var/lib/qmcp/grants"
KEPT = "an agent keeps the clones and copies that it makes meanwhile"
Grant = dict[str, Any]  # {qube, boot, over: seconds since boot, untag, retag}
Standing = tuple[str | None, Grant]  # with its id in the journal, if it is there
Granted = dict[str, list[Standing]]  # by qube
_UMBRELLA = TAGS["umbrella"]["pattern"].format(world="")


def made(
    name: str, lasting: int, base: frozenset[str], after: frozenset[str], order: list[str]
) -> Grant:
    return {
        "qube": name,
        "boot": boot(),
        "over": now() + lasting,
        "untag": sorted(after - base, key=order.index, reverse=True),
        "retag": sorted(base - after),
    }


def now() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.exists() else ""


def end(grant: Grant) -> int:
    """In seconds since this boot; 0 for one of another boot, and where nothing says which boot this is."""
    return grant["over"] if grant["boot"] == boot() != "" else 0


def read(text: str | bytes | None) -> Grant | None:
    """None for what is not a grant."""
    try:
        grant = json.loads(text or "")
        return (
            grant
            if [grant["qube"], grant["boot"], int(grant["over"]), *grant["untag"], *grant["retag"]]
            else None
        )
    except (ValueError, LookupError, TypeError):
        return None


async def standing(qubesd: Qubesd, root: Path, names: Iterable[str]) -> Granted:
    """By qube: from the files, and from the features of those of `names` that have no file."""
    found: Granted = {}
    for path in sorted((root / DIRECTORY).glob("*.intent")):
        grant = read(path.read_bytes())
        if grant:
            found.setdefault(grant["qube"], []).append((path.stem, grant))
    for name in names:
        grant = (
            read(await qubesd.get(name, "feature", FEATURE.grant)) if name not in found else None
        )
        if grant:
            found[name] = [(None, grant | {"qube": name})]
    return found


def ends(granted: Granted, name: str) -> float | None:
    """When the next of these ends, in seconds since the epoch."""
    left = [end(grant) - now() for _, grant in granted.get(name, ()) if end(grant) > now()]
    return time.time() + min(left) if left else None


def shown(when: float | None) -> str:
    return clock(when, "%H:%M" if when and when < time.time() + 43200 else "%Y-%m-%d %H:%M")


async def record(qubesd: Qubesd, root: Path, grant: Grant) -> None:
    """On the disk when this returns."""
    _journal(root).open(grant)
    await qubesd.put(grant["qube"], "feature", FEATURE.grant, json.dumps(grant, sort_keys=True))


def _journal(root: Path) -> Journal:
    """A file that cannot be read is set aside: it would keep every other grant from being recorded or revoked."""
    for path in (root / DIRECTORY).glob("*.intent"):
        if read(path.read_bytes()) is None:
            path.rename(path.with_suffix(".unreadable"))
    return Journal(root / DIRECTORY)


async def forget(
    qubesd: Qubesd, root: Path, name: str, grants: Iterable[Standing], replaced: bool = False
) -> None:
    """Nothing is left to revoke of these, or another replaces them."""
    if not replaced and await qubesd.tags(name) is not None:
        await qubesd.put(name, "feature", FEATURE.grant, None)
    for identity in filter(None, (identity for identity, _ in grants)):
        _journal(root).close(identity)


# ---- revoking


def expire(options: Options) -> Answer:
    """All that have ended; with --all, all of them. And what stands of plans whose approval is over."""
    over, stale = run(_ready(options.root, options.all)), plan_admin.is_stale(options.root)

    def do() -> list[str]:
        if stale:
            plan_admin.refresh(options.root)
        failed, waiting = run(_revoke(options.root, over))
        said = [
            f"revoked but for its membership, at read, while it runs: {name}" for name in waiting
        ]
        whole = [name for name in over if name not in {*failed, *waiting}]
        said += [f"revoked: {', '.join(whole)}"] if whole else []
        said += ["closed: what plans had opened whose approval is over"] if stale else []
        if failed:
            again = "NOT REVOKED, and tried again in a minute"
            raise Incomplete([*(f"{again}: {name}: {why}" for name, why in failed.items()), *said])
        return said

    return Answer(
        [],
        text=[] if over or stale else "No grant has ended.",
        do=do if over or stale else None,
        about=tuple(over),
        at_once=True,
    )


async def due(root: Path, everything: bool = False) -> dict[str, list[Standing]]:
    """Those that have ended, by qube."""
    qubesd, found = open_qubesd(root), {}
    for name, those in (await standing(qubesd, root, sorted(await qubesd.list()))).items():
        over = [one for one in those if everything or end(one[1]) <= now()]
        if over:
            found[name] = over
    return found


async def _ready(root: Path, everything: bool) -> dict[str, list[Standing]]:
    """Of those that have ended, the ones of which something can be revoked now."""
    qubesd, found = open_qubesd(root), {}
    for name, those in (await due(root, everything)).items():
        qube = await qubesd.look(name)
        judged = [_operations(qube, grant) for _, grant in those]
        if any(operations or not waits for operations, waits in judged):
            found[name] = those
    return found


async def _revoke(root: Path, due: dict[str, list[Standing]]) -> tuple[dict[str, str], list[str]]:
    """Those it failed for, and why; and those that keep their membership while they run. One that fails keeps no other."""
    qubesd, failed, waiting = open_qubesd(root), {}, []
    for name, one in [(name, one) for name, those in due.items() for one in those]:
        try:
            qube = await qubesd.look(name)
            operations, waits = _operations(qube, one[1])
            await perform(qubesd, name, operations)
            if waits:
                waiting.append(name)
            else:
                await forget(qubesd, root, name, [one])
        except AdminError as refused:
            failed[name] = str(refused)
    return failed, waiting


def _operations(qube: Qube, grant: Grant) -> tuple[list[list[str]], bool]:
    """What revokes it, and whether something has to wait. The umbrella goes last, and not while an agent's programs may run in the
    qube: without it, they would reach what every other qube reaches."""
    runs = qube.state not in ("Halted", "Crashed", "")
    umbrella = {tag for tag in grant["untag"] if tag.endswith(_UMBRELLA)} & qube.tags
    untag = [tag for tag in grant["untag"] if tag in qube.tags - umbrella]
    untag += [] if runs else sorted(umbrella)
    retag = [tag for tag in grant["retag"] if tag not in qube.tags] if qube.klass else []
    return [*(["tag", tag] for tag in retag), *(["untag", tag] for tag in untag)], runs and bool(
        umbrella
    )
