"""What was given for a while, and how it is taken back.

A grant only ever adds tags, or takes a guard away; taking it back removes those and puts that guard back, and nothing else.
So it can be done at any time, twice, or half, whatever the operator changed since: there is always less than before. What it
was is on the disk before the first tag is written, and in a feature of the qube, which a qube that was renamed (that is: cloned,
and removed) or brought back from a backup still has. It is over after so many seconds of CLOCK_BOOTTIME, which nobody sets,
and with the boot it was made in.
"""

import json
import time
from pathlib import Path

from answer import Answer, stop
from host import clock, open_qubesd, run
from qmcpd.effects import perform
from qmcpd.journal import Journal
from qmcpd.qubesd import AdminError
from spec import FEATURE

DIRECTORY = "var/lib/qmcp/grants"


def now():
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def boot():
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.exists() else ""


def end(grant):
    """In seconds since this boot; 0 for one of another boot, and where nobody can say which this is."""
    return grant["over"] if grant["boot"] == boot() != "" else 0


def read(text):
    """`{qube, boot, over: seconds since boot, untag, retag}`, or None: what is no grant holds nothing."""
    try:
        grant = json.loads(text)
        return (
            grant
            if [grant["qube"], grant["boot"], int(grant["over"]), *grant["untag"], *grant["retag"]]
            else None
        )
    except (ValueError, LookupError, TypeError):
        return None


async def standing(qubesd, root, names):
    """`{qube: [(identity or None, grant)]}`, of the files, and of what only those qubes tell."""
    found = {}
    for path in sorted((root / DIRECTORY).glob("*.intent")):
        grant = read(path.read_bytes())
        if grant:
            found.setdefault(grant["qube"], []).append((path.stem, grant))
    for name in names:
        grant = name not in found and read(await qubesd.get(name, "feature", FEATURE.grant))
        if grant:
            found[name] = [(None, grant | {"qube": name})]
    return found


def until(granted, name):
    left = [end(grant) - now() for _, grant in granted.get(name, ()) if end(grant) > now()]
    return (
        clock(time.time() + min(left), "%H:%M" if min(left) < 43200 else "%Y-%m-%d %H:%M")
        if left
        else ""
    )


async def record(qubesd, root, grant):
    """On the disk when this returns."""
    Journal(root / DIRECTORY).open(grant)
    await qubesd.put(grant["qube"], "feature", FEATURE.grant, json.dumps(grant, sort_keys=True))


async def forget(qubesd, root, name, grants, replaced=False):
    """Nothing is left to take back of these, or another stands for them."""
    if not replaced and await qubesd.tags(name) is not None:
        await qubesd.put(name, "feature", FEATURE.grant, None)
    for identity in filter(None, (identity for identity, _ in grants)):
        Journal(root / DIRECTORY).close(identity)


# ---- taking back


def expire(options):
    """All that is over; with --all, everything."""
    over = run(due(options.root, options.all))

    def do():
        failed = run(_take_back(options.root, over))
        if failed:
            stop(f"not taken back, and tried again in a minute: {failed}")
        return [f"taken back: {', '.join(over)}"]

    return Answer(
        [],
        text=[] if over else "Nothing is over.",
        do=do if over else None,
        about=tuple(over),
        at_once=True,
    )


async def due(root, everything=False):
    """`{qube: [(identity, grant)]}` of those that are over."""
    qubesd, found = open_qubesd(root), {}
    for name, grants in (await standing(qubesd, root, sorted(await qubesd.list()))).items():
        over = [one for one in grants if everything or end(one[1]) <= now()]
        if over:
            found[name] = over
    return found


async def _take_back(root, due):
    """Those it failed for, and why; one that fails keeps no other."""
    qubesd, failed = open_qubesd(root), {}
    for name, (identity, grant) in [(name, one) for name, grants in due.items() for one in grants]:
        try:
            tags = await qubesd.tags(name)
            if tags is not None:
                less = [
                    *(["tag", tag] for tag in grant["retag"] if tag not in tags),
                    *(["untag", tag] for tag in grant["untag"]),
                ]
                await perform(qubesd, name, less)
            await forget(qubesd, root, name, [(identity, grant)])
        except AdminError as refused:
            failed[name] = str(refused)
    return failed
