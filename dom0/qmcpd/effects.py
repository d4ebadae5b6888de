"""Changes of a qube, as data. An effect is a list of operations. Its intent holds the operations that undo it, or that complete it
towards less authority. The journal has the intent before the first operation, so a crash needs no code of its own.

An operation is `[key of OPERATIONS, argument, ...]`, without the qube.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from spec import FEATURE, REFUSAL

from .call import Call
from .errors import Refused
from .journal import Intent, Operation
from .qubesd import Qube, Qubesd


async def swap(
    host: Qubesd, name: str, kind: str, key: str, ours: str | None, to: str | None
) -> str | None:
    """Write `to` if the value is still `ours`. Any third value is from somebody else, and stays."""
    if kind == "property":
        value, is_default = (await host.properties(name))[key]
        now = None if is_default and None in (ours, to) else value
    else:
        now = await host.get(name, kind, key)
    if now == ours:
        await host.put(name, kind, key, to)
    return None if now in (ours, to) else f"{kind} {key}".rstrip()


async def detach_ours(
    host: Qubesd, name: str, devclass: str, backend: str, port: str, read_only: bool
) -> str | None:
    """Detach the device if it is still attached as the call attached it. Otherwise somebody else attached it since."""
    attached = await host.devices("Attached", name, devclass)
    if (backend, port, not read_only) in [(one[0], one[1], one[3]) for one in attached]:
        return f"{devclass} device"
    return await host.detach(name, devclass, backend, port)


async def mark(host: Qubesd, name: str, tag: str, umbrella: str) -> None:
    """Write a tag that only qubes of the world have, and read it back. If somebody takes the qube out of the world at this moment, remove
    the tag again."""
    await host.tag(name, tag)
    if not {tag, umbrella} <= (await host.tags(name) or frozenset()):
        await host.untag(name, tag)
        raise Refused(REFUSAL.failed, "a tag that was written is not there")


async def match_tombstone(host: Qubesd, name: str, tombstone: str, when: str) -> str | None:
    """Make the time of removal match the tombstone: set if the qube has one, absent if not. The tags stay as a person left them."""
    removed = tombstone in (await host.tags(name) or ())
    values = (None, when) if removed else (when, None)
    return await swap(host, name, "feature", FEATURE.entombed, *values)


# Every operation returns the name of a value that it left alone because somebody else has changed it, or None.
OPERATIONS: dict[str, Callable[..., Awaitable[str | None]]] = {
    "put": lambda host, *words: host.put(*words),
    "tag": lambda host, *words: host.tag(*words),
    "untag": lambda host, *words: host.untag(*words),
    "resize": lambda host, *words: host.resize(*words),
    "copy_volume": lambda host, *words: host.copy_volume(*words),
    "attach": lambda host, *words: host.attach(*words),
    "detach": lambda host, *words: host.detach(*words),
    "start": lambda host, *words: host.start(*words),
    "halt": lambda host, *words: host.halt(*words),
    "remove": lambda host, *words: host.remove(*words),
    "swap": swap,
    "detach_ours": detach_ours,
    "mark": mark,
    "match_tombstone": match_tombstone,
}


async def perform(host: Qubesd, name: str, operations: Iterable[Operation]) -> list[str]:
    """Carry out operations. Returns a sentence for each value that was left alone."""
    kept = [await OPERATIONS[one](host, name, *arguments) for one, *arguments in operations]
    return [f"somebody has changed its {one} since" for one in kept if one]


async def carry_out(host: Qubesd, name: str, operations: Sequence[Operation]) -> None:
    """Carry out operations, then read back what they wrote."""
    await perform(host, name, operations)
    tags = await host.tags(name) or frozenset()
    properties = (
        await host.properties(name)
        if any(one[:2] == ["put", "property"] for one in operations)
        else {}
    )
    for operation, *arguments in operations:
        if operation == "put" and arguments[0] == "property":
            holds = properties[arguments[1]] == (arguments[2], False) or (
                arguments[2] is None and properties[arguments[1]][1]
            )
        elif operation == "put":
            holds = await host.get(name, *arguments[:2]) == arguments[2]
        elif operation in ("attach", "detach"):
            devclass, end = arguments[0], tuple(arguments[1:3])
            holds = (operation == "attach") == (
                end in [found[:2] for found in await host.devices("Attached", name, devclass)]
            )
        elif operation == "resize":
            holds = int((await host.volume(name))["size"]) == arguments[0]
        else:
            holds = operation not in ("tag", "untag") or (operation == "tag") == (
                arguments[0] in tags
            )
        if not holds:
            raise Refused(REFUSAL.failed, "a value that was written is not there")


async def act(
    call: Call,
    name: str,
    do: Sequence[Operation],
    undo: Sequence[Operation],
    leave: Sequence[Operation] = (),
) -> None:
    """Journal the intent, carry out the effect, read it back. Without `undo` there is no intent: the effect is then one request, which
    qubesd carries out or not. A qube that the same call makes has an intent already."""
    if undo and not any(one["qube"] == name and one["unborn"] for one in call.intents.values()):
        call.intend(name, undo, leave)
    await carry_out(call.host, name, do)


def is_same(intent: Intent, qube: Qube) -> bool:
    """Whether it is the qube of the intent. For a birth, the stamp of the principal is enough: nobody else makes qubes with it."""
    stamp, *_ = intent["unborn"] or [None]
    return stamp in qube.tags if stamp else intent["uuid"] == qube.uuid


def concerns(intent: Intent, qube: Qube) -> bool:
    """Whether an intent still applies to a qube: it is the same qube, in the same world, and a birth is not finished."""
    _, *marks = intent["unborn"] or [None]
    return is_same(intent, qube) and intent["umbrella"] in qube.tags and qube.tags.isdisjoint(marks)


async def settle(host: Qubesd, intent: Intent, names: Iterable[str]) -> tuple[bool, list[str]]:
    """Undo an intent on those of the named qubes that it applies to. Look before each operation, because a person may have taken the
    qube over. Returns whether the qube with the intent's name exists, and a sentence for each value that was left alone."""
    there, kept = False, []
    for name in names:
        for operation in intent["undo"]:
            qube = await host.look(name)
            there |= bool(qube.klass) and name == intent["qube"]
            if not concerns(intent, qube):
                kept += await _leave(host, intent, qube)
                break
            host.pin(qube)
            kept += await perform(host, name, [operation])
    return there, kept


async def _leave(host: Qubesd, intent: Intent, qube: Qube) -> list[str]:
    """Remove from a qube that left the world what only qubes of the world have. Leave another qube with its name alone."""
    if not qube.klass or qube.name != intent["qube"]:
        return []
    if not is_same(intent, qube):
        return ["another qube has its name"]
    if intent["umbrella"] in qube.tags:
        return []  # its birth is finished
    host.pin(qube)
    kept = await perform(host, qube.name, intent["leave"])
    return ["it is not of the world any more", *kept]
