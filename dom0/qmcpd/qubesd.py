"""The Admin API, on qubesd's own socket. Nothing else in qmcpd opens that socket.

qubesd believes any source that its peer writes, so qmcpd itself must keep every limit. The source is dom0, except for births: there it
is the principal, so that qubesd itself stamps the new qube as made by that principal.
"""

import asyncio
import errno
import re
import socket
from collections.abc import AsyncIterator, Collection, Iterable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import NamedTuple

from spec import LIMITS, REFUSAL

from .errors import Refused

Properties = dict[str, tuple[str, bool]]  # value, and whether it is the default
# An event is a row of NUL-terminated words; an empty word in the place of a key ends it.
_QUBE = re.compile(r"^(\S+) class=(\S+) state=(\S+)(?: uuid=(\S+))?", re.MULTILINE)
_EVENT = re.compile(rb"1\0([^\0]*)\0([^\0]*)\0((?:[^\0]+\0[^\0]*\0)*)\0")


# How many requests to qubesd the current call has made. The tasks of the call share the list.
ASKED: ContextVar[list[int]] = ContextVar("asked")


class AdminError(Exception):
    """qubesd refused. `kind` is the name of the exception that it sent; it is empty for the empty reply, which gives no reason.

    The message names qubes, pools and paths, so only the operator's log may have it.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind or 'empty reply'}: {message}")
        self.kind = kind


class Unreachable(OSError):
    """qubesd is not there, or answers nobody."""


class Qube(NamedTuple):
    """A qube as the rules of a world see it. All fields but the name are empty if there is no such qube. Another qube can get its name,
    but not its uuid. `address`: the uuid in the form of a destination; up to 4.2, which has no such form, the name."""

    name: str
    klass: str
    state: str
    tags: frozenset[str]
    uuid: str = ""
    address: str = ""


Devices = list[tuple[str | None, str, str, bool]]


class Qubesd:
    """A handle on qubesd; every request has a connection of its own. `allowed`: the methods that this handle may use. `unanswered`: how
    many requests got no complete reply; qubesd may still carry these out."""

    def __init__(
        self,
        path: str,
        allowed: frozenset[str] | None = None,
        shared: SimpleNamespace | None = None,
    ) -> None:
        self._path, self._allowed, self.unanswered = path, allowed, 0
        # `left`: the handle and the connection of each request for which nobody waits any more.
        self._shared = shared or SimpleNamespace(hangs=False, left=[])
        self._addresses: dict[str, str] = {}

    def limited(self, methods: Iterable[str]) -> "Qubesd":
        return Qubesd(self._path, frozenset(methods), self._shared)

    def pin(self, qube: Qube) -> None:
        """Send requests about this name to this very qube from now on, even if another qube gets the name."""
        self._addresses[qube.name] = qube.address

    async def call(
        self,
        method: str,
        dest: str,
        arg: str = "",
        payload: str = "",
        src: str = "dom0",
        timeout: float = LIMITS.admin_seconds,
        absent: Collection[str] = (),
    ) -> str | None:
        """The text of an `ok` reply; None instead of an AdminError whose kind is in `absent`. Raises Unreachable if qubesd answers
        nobody, and TimeoutError if only this answer takes too long."""
        if self._shared.hangs:
            raise Unreachable(errno.ETIMEDOUT, "qubesd does not answer")
        async with asyncio.timeout(timeout):
            peer = await self._ask(method, dest, arg, payload, src)
            self.unanswered += 1
            try:
                untrusted_reply = bytearray()
                while chunk := await self._receive(peer):
                    untrusted_reply += chunk
                    if len(untrusted_reply) > LIMITS.admin_reply_bytes:
                        raise AdminError("", "a reply without an end")
            except BaseException:
                self._shared.left.append((self, peer))
                raise
        self._end(peer)
        try:
            return _data(bytes(untrusted_reply))
        except AdminError as error:
            if error.kind not in absent:
                raise
            return None

    async def events(self) -> AsyncIterator[tuple[str, str]]:
        """Yields `(qube, event)` for ever; the qube is empty for an event that is not about one. The first event is
        `connection-established`: no later event is missed."""
        with await self._ask("admin.Events", "dom0") as peer:
            untrusted = b""
            while chunk := await asyncio.get_running_loop().sock_recv(peer, LIMITS.read_bytes):
                untrusted += chunk
                while found := _EVENT.match(untrusted):
                    untrusted = untrusted[found.end() :]
                    of_the_host = re.match(rb"vm\0([^\0]*)", found[3]) if not found[1] else None
                    yield (of_the_host or found)[1].decode("utf-8"), found[2].decode("utf-8")
        raise OSError("qubesd ended the stream of events")

    async def _ask(
        self, method: str, dest: str, arg: str = "", payload: str = "", src: str = "dom0"
    ) -> socket.socket:
        """Send a request, and return the connection on which the reply comes."""
        if self._allowed is not None and method not in self._allowed:
            # Only a bug in a step gets here.
            raise PermissionError(f"{method} is not in the contract")
        ASKED.get([0])[0] += 1
        return await self._send(
            f"{method}+{arg} {src} name {self._addresses.get(dest, dest)}\0{payload}"
        )

    async def _send(self, request: str) -> socket.socket:
        loop, peer = asyncio.get_running_loop(), socket.socket(socket.AF_UNIX)
        peer.setblocking(False)
        try:
            await loop.sock_connect(peer, self._path)
            await loop.sock_sendall(peer, request.encode("ascii"))
            peer.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise Unreachable(*error.args) from error
        return peer

    async def _receive(self, peer: socket.socket) -> bytes:
        """The next bytes of a reply, however long they take, as long as qubesd answers somebody."""
        while True:
            try:
                async with asyncio.timeout(LIMITS.silent_seconds):
                    return await asyncio.get_running_loop().sock_recv(peer, LIMITS.read_bytes)
            except TimeoutError:
                await self._require_answer()

    async def _require_answer(self) -> None:
        """Ask something small. A qubesd that does not answer it hangs: from then on, every call ends at once."""
        try:
            async with asyncio.timeout(LIMITS.silent_seconds):
                with await self._send("admin.vmclass.List+ dom0 name dom0\0") as peer:
                    await asyncio.get_running_loop().sock_recv(peer, LIMITS.read_bytes)
        except TimeoutError as error:
            self._shared.hangs = True
            raise Unreachable(errno.ETIMEDOUT, "qubesd does not answer") from error
        self._shared.hangs = False

    async def look_again(self) -> None:
        """Find out whether a qubesd that hung answers again, and which requests it has ended since nobody waits for them."""
        if self._shared.hangs:
            await self._require_answer()
        for handle, peer in list(self._shared.left):
            try:
                while peer.recv(LIMITS.read_bytes):
                    pass
            except BlockingIOError:
                continue
            except OSError:
                pass  # qubesd itself has ended
            self._shared.left.remove((handle, peer))
            handle._end(peer)

    def _end(self, peer: socket.socket) -> None:
        self.unanswered -= 1
        peer.close()

    # ---- reads

    async def list(self, dest: str = "dom0") -> dict[str, tuple[str, str]]:
        """`{name: (class, state)}` of every qube, or of one; empty if there is no such qube."""
        return {
            name: (klass, state) for name, (klass, state, _) in (await self.listed(dest)).items()
        }

    async def listed(self, dest: str) -> dict[str, tuple[str, str, str]]:
        """`{name: (class, state, uuid)}`. Up to 4.2, the uuid is empty here; qubesd has it only as a property."""
        text = await self.call("admin.vm.List", dest, absent=["QubesVMNotFoundError"])
        return {
            name: (klass, state, uuid) for name, klass, state, uuid in _QUBE.findall(text or "")
        }

    async def look(self, name: str) -> Qube:
        """Look at one qube. Its tags are those of the listed qube, even if another qube gets the name meanwhile."""
        klass, state, uuid = (await self.listed(name)).get(name, ("", "", ""))
        address = f"uuid:{uuid}" if uuid else name
        tags = await self.tags(address)
        if klass and not uuid:
            uuid = (await self.properties(name)).get("uuid", ("",))[0]
        return Qube(name, klass, state, tags or frozenset(), uuid, address)

    async def state(self, name: str) -> str:
        return (await self.list(name)).get(name, ("", "gone"))[1]

    async def tags(self, name: str) -> frozenset[str] | None:
        """A qube's tags; None if there is no such qube, or if no qube can have that name."""
        tags = await self.call(
            "admin.vm.tag.List", name, absent=["QubesVMNotFoundError", "QubesValueError"]
        )
        return None if tags is None else frozenset(tags.split())

    async def properties(self, name: str, method: str = "admin.vm.property.GetAll") -> Properties:
        """`{property: (value, is it the default)}`; a property that names no qube is the empty string."""
        return {
            key: (
                re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value),
                default == "default=True",
            )
            for key, default, _, value in (
                line.split(" ", 3) for line in _lines(await self.call(method, name))
            )
        }

    async def volume(self, name: str, volume: str = "private") -> dict[str, str]:
        """`{key: value}` of one volume; sizes are text, in bytes."""
        data = await self.call("admin.vm.volume.Info", name, volume)
        return {key: value for key, _, value in (line.partition("=") for line in _lines(data))}

    async def devices(self, method: str, name: str, devclass: str) -> Devices:
        """`[(backend or None, port, description, read-only)]` of the devices that a qube offers (`Available`) or uses (`Attached`)."""
        if devclass not in _lines(await self.call("admin.deviceclass.List", "dom0")):
            return []  # dom0 packages provide USB and microphones, and a host may lack them
        data = await self.call(
            f"admin.vm.device.{devclass}.{method}",
            name,
            absent=[""] if method == "Attached" else [],
        )
        if data is None:  # the name of this method in 4.2
            data = await self.call(f"admin.vm.device.{devclass}.List", name)
        found = []
        for line in _lines(data):
            backend, _, port = line.split(" ")[0].split(":")[0].rpartition("+")
            described = re.search(r"(?: name='|description=)((?:[^'\\]|\\.)*)", line)
            read_only = re.search(r" _?read-only='?(yes|True)\b", line) is not None
            found.append((backend or None, port, described[1] if described else "", read_only))
        return found

    async def get(self, name: str, kind: str, key: str = "") -> str | None:
        """The value of a feature, or the rules of a firewall; None for a feature that is not set."""
        return await self.call(
            f"admin.vm.{kind}.Get", name, key, absent=["QubesFeatureNotFoundError"]
        )

    async def inherited(self, name: str, feature: str) -> str:
        """A feature of a qube, or else of its template; empty when neither has it, or when there is no such qube."""
        absent = ["QubesFeatureNotFoundError", "QubesVMNotFoundError"]
        method = "admin.vm.feature.CheckWithTemplate"
        return await self.call(method, name, feature, absent=absent) or ""

    # ---- writes: each can be an operation of an effect (effects.py), so each is safe to repeat

    async def put(self, name: str, kind: str, key: str, value: str | None) -> None:
        """Write a value. None resets a property to its default, and removes a feature."""
        if value is not None:
            await self.call(f"admin.vm.{kind}.Set", name, key, value)
        elif kind == "property":
            await self.call("admin.vm.property.Reset", name, key)
        else:
            await self.call(
                "admin.vm.feature.Remove", name, key, absent=["QubesFeatureNotFoundError"]
            )

    async def create(self, name: str, template: str, label: str, principal: str) -> None:
        # Up to 4.3, this error has no class of its own. The shape of the name was checked, so the name must be taken.
        taken, payload = (
            ["QubesVMAlreadyExistsError", "QubesValueError"],
            f"name={name} label={label}",
        )
        if (
            await self.call(
                "admin.vm.Create.AppVM", "dom0", template, payload, principal, absent=taken
            )
            is None
        ):
            raise Refused(REFUSAL.name_taken, "a qube has this name already")

    async def create_disposable(self, template: str, principal: str) -> str:
        """Returns the name, which qubesd chooses. The disposable may be running already."""
        return await self.call("admin.vm.CreateDisposable", template, src=principal) or ""

    async def tag(self, name: str, tag: str) -> None:
        await self.call("admin.vm.tag.Set", name, tag)

    async def untag(self, name: str, tag: str) -> None:
        await self.call("admin.vm.tag.Remove", name, tag, absent=["QubesTagNotFoundError"])

    async def resize(self, name: str, size: int) -> None:
        await self.call("admin.vm.volume.Resize", name, "private", str(size))

    async def copy_volume(self, name: str, source: str) -> None:
        token = await self.call("admin.vm.volume.CloneFrom", source, "private") or ""
        await self.call("admin.vm.volume.CloneTo", name, "private", token)

    async def attach(self, name: str, devclass: str, backend: str, port: str, options: str) -> None:
        await self.call(f"admin.vm.device.{devclass}.Attach", name, f"{backend}+{port}", options)

    async def detach(self, name: str, devclass: str, backend: str, port: str) -> None:
        if (backend, port) in [
            (b, p) for b, p, *_ in await self.devices("Attached", name, devclass)
        ]:
            await self.call(f"admin.vm.device.{devclass}.Detach", name, f"{backend}+{port}")

    async def change_power(self, method: str, name: str) -> bool:
        """Returns False if the state of the qube does not allow it, or if another qube uses it. This never makes qubesd `wait` for a
        Shutdown: after a wait that timed out, a Kill gets an empty reply although it killed."""
        return None is not await self.call(
            f"admin.vm.{method}",
            name,
            absent=[
                "QubesVMNotRunningError",
                "QubesVMInUseError",
                "QubesVMNotPausedError",
                "QubesVMNotStartedError",
            ],
        )

    async def start(self, name: str) -> None:
        # qubesd starts the network qubes first, and answers when qrexec is up: that takes minutes on a slow disk.
        started = await self.call(
            "admin.vm.Start", name, timeout=LIMITS.start_seconds, absent=["QubesMemoryError"]
        )
        if started is None:
            # The code does not mention memory: how much is free depends on qubes outside.
            raise Refused(REFUSAL.busy, "the host does not have enough memory for this start")

    async def halt(self, name: str) -> None:
        """Kill the qube, and trust its state rather than the reply, because qubesd can kill and then send an empty reply. This removes
        a disposable."""
        await self.call(
            "admin.vm.Kill", name, absent=["", "QubesVMNotStartedError", "QubesVMNotFoundError"]
        )
        if not await self.reaches_halt(name, LIMITS.halt_seconds):
            raise TimeoutError(f"{name} does not halt")

    async def reaches_halt(self, name: str, timeout: float) -> bool:
        deadline = asyncio.get_running_loop().time() + timeout
        while await self.state(name) not in ("Halted", "Crashed", "gone"):
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(0.1)
        return True

    async def remove(self, name: str) -> None:
        await self.call("admin.vm.Remove", name, absent=["QubesVMNotFoundError"])


def _lines(text: str | None) -> list[str]:
    return [line for line in (text or "").split("\n") if line]


def _data(untrusted_reply: bytes) -> str:
    kind, _, rest = untrusted_reply.partition(b"\0")
    if kind == b"0":
        return rest.decode("utf-8")
    if kind == b"2":
        name, _, message = (
            part.decode("utf-8", "replace") for part in ([*rest.split(b"\x00", 2), b"", b""])[:3]
        )
        raise AdminError(name, message.rstrip("\0"))
    raise AdminError("", f"{len(untrusted_reply)} bytes")
