"""Devices between qubes of the world. A call needs the tier `full` on both ends of a device."""

from spec import LIMITS, NAMES, REFUSAL

from . import invariants
from .call import Call
from .effects import act
from .errors import Refused
from .qubesd import Qube


async def list_devices(call: Call, qube: Qube) -> dict[str, list[dict[str, object]]]:
    """The devices that a qube offers or uses. The other end has its name only if the caller may see that qube."""
    host, world, found = call.host, call.world, []
    for devclass in NAMES.device_classes:
        offered = await host.devices("Available", qube.name, devclass)
        for backend, port, described, _ in offered + await host.devices(
            "Attached", qube.name, devclass
        ):
            end = await call.roster.look(backend) if backend else None
            found.append(
                {
                    "class": devclass,
                    "device": port,
                    "attached": backend is not None,
                    "backend": invariants.redact(world, backend, end) if backend else qube.name,
                    # The backend writes this text, and the backend of an attached device may be outside the world.
                    "description": "".join(c for c in described if " " <= c <= "~")[
                        : LIMITS.device_text
                    ]
                    if not backend
                    else "",
                }
            )
    return {"devices": found}


async def attach(
    call: Call, qube: Qube, backend: Qube, device: str, devclass: str, read_only: bool = False
) -> None:
    offered = await call.host.devices("Available", backend.name, devclass)
    if device not in [port for _, port, *_ in offered]:
        raise Refused(REFUSAL.not_found, "the qube does not offer this device")
    ends = (await call.host.state(qube.name), await call.host.state(backend.name))
    used = [one[:2] for one in await call.host.devices("Attached", qube.name, devclass)]
    if "Halted" in ends or backend.name == qube.name or (backend.name, device) in used:
        raise Refused(REFUSAL.conflict, "a qube is halted, or the device is attached already")
    where = [devclass, backend.name, device]
    options = "_read-only='yes'" if read_only else ""
    undo = [["detach_ours", *where, read_only]]
    await act(call, qube.name, [["attach", *where, options]], undo)


async def detach(call: Call, qube: Qube, backend: Qube, device: str, devclass: str) -> None:
    """Detaching is one request, so it needs no undo."""
    await act(call, qube.name, [["detach", devclass, backend.name, device]], [])
