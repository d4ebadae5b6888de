"""What happens to a qube, as data: an effect is a list of operations, an intent holds the list that takes it back, or to its
end, towards less authority. The journal has the intent before the first operation, so a crash needs no code of its own.

An operation is `[method of Qubesd, argument, ...]`; its first argument, the qube, is left out.
"""

import time

from spec import LIMITS, REFUSAL

from .errors import Refused


async def perform(host, name, operations):
    for operation, *arguments in operations:
        await getattr(host, operation)(name, *arguments)


async def carry_out(host, name, operations):
    """All of them, and what was written is read back."""
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
            raise Refused(REFUSAL.failed)


def intent(name, undo, finish=(), unborn=None):
    """What the journal holds. `finish` follows when the whole call is committed, `undo` when it is not; with `unborn`, which is
    `(stamp, mark, …)`, only on a qube that has the stamp and none of the marks that end a birth."""
    return {
        "qube": name,
        "undo": undo,
        "finish": list(finish),
        "unborn": unborn,
        "when": int(time.time()),
    }


async def act(call, name, do, undo, finish=(), unborn=None):
    """Intent, effect, read back. Of a qube that the same call brings into being nothing needs undoing but that."""
    if not any(one["qube"] == name and one["unborn"] for one in call.intents.values()):
        call.intend(name, undo, finish, unborn)
    await carry_out(call.host, name, do)


async def settle(host, intent, names):
    """Undo, on those of these qubes that the intent is about. True when there is nothing left to do, False when it is too early
    to say: of a birth that left nothing, or nothing with a name."""
    stamp, *marks = intent["unborn"] or (None,)
    seen = False
    for name in names:
        tags = await host.tags(name)
        seen = seen or (tags is not None and name == intent["qube"])
        if tags is not None and (stamp is None or (stamp in tags and tags.isdisjoint(marks))):
            await perform(host, name, intent["undo"])
    return seen or stamp is None or time.time() - intent["when"] > LIMITS.birth_seconds
