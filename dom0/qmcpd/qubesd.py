"""The Admin API, on qubesd's own socket. Nothing else in qmcpd opens it.

qubesd trusts whatever SRC its peer writes, so every limit is ours to keep: SRC is dom0, but for creation, where naming the
principal makes qubesd itself stamp the new qube as that principal's.
"""

import asyncio
import re
import socket
from contextlib import asynccontextmanager
from typing import NamedTuple

MAX_REPLY = 16 * 1024 * 1024
TIMEOUT = 30  # seconds; what can take longer (Start) says so


_EVENT = re.compile(rb"1\0([^\0]*)\0([^\0]*)\0(?:[^\0]+\0[^\0]*\0)*\0")


class AdminError(Exception):
    """qubesd refused. `kind` is the class name it sent, or empty for the empty reply it gives when it will not say.

    The message names qubes, pools and paths: it goes to the operator's log and nowhere else.
    """

    def __init__(self, kind, message):
        super().__init__(f"{kind or 'empty reply'}: {message}")
        self.kind = kind

    @property
    def missing(self):
        return self.kind == "QubesVMNotFoundError"


class Forbidden(Exception):
    """A step called a method its contract does not list. A bug in a step, stopped here."""


class Property(NamedTuple):
    value: str
    is_default: bool


class Qubesd:
    """One connection a call, as the Admin API has it. `allowed` is the list of methods this handle may use."""

    def __init__(self, path, allowed=None):
        self._path = path
        self._allowed = allowed

    def limited(self, methods):
        return Qubesd(self._path, frozenset(methods))

    async def call(self, method, dest, arg="", payload=b"", src="dom0", timeout=TIMEOUT):
        """The data of an `ok` reply. Raises AdminError, or OSError and TimeoutError when qubesd is not there."""
        self._permit(method)
        async with asyncio.timeout(timeout):
            async with self._asked(method, dest, arg, payload, src) as receive:
                untrusted_reply = bytearray()
                while chunk := await receive():
                    untrusted_reply += chunk
                    if len(untrusted_reply) > MAX_REPLY:
                        raise AdminError("", "a reply without an end")
        return _data(bytes(untrusted_reply))

    async def events(self):
        """`(subject, event)` as they happen on the host, for ever; subject is empty for the host itself. The first one is
        `connection-established`: nothing that happens after it is missed."""
        self._permit("admin.Events")
        async with self._asked("admin.Events", "dom0") as receive:
            untrusted = b""
            while chunk := await receive():
                untrusted += chunk
                # an event is NUL-terminated words, ended by an empty one where a key would be
                while found := _EVENT.match(untrusted):
                    untrusted = untrusted[found.end():]
                    yield found[1].decode("utf-8"), found[2].decode("utf-8")
        raise OSError("qubesd ended the stream of events")

    def _permit(self, method):
        if self._allowed is not None and method not in self._allowed:
            raise Forbidden(method)

    @asynccontextmanager
    async def _asked(self, method, dest, arg="", payload=b"", src="dom0"):
        """A request that was made; what it yields reads the next bytes of the reply."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as peer:
            peer.setblocking(False)
            await loop.sock_connect(peer, self._path)
            await loop.sock_sendall(peer, f"{method}+{arg} {src} name {dest}\0".encode("ascii") + payload)
            peer.shutdown(socket.SHUT_WR)
            yield lambda: loop.sock_recv(peer, 65536)

    # ---- reads

    async def list(self, dest="dom0"):
        """`{name: (class, state)}` of every qube, or of one."""
        qubes = {}
        for line in _lines(await self.call("admin.vm.List", dest)):
            name, *pairs = line.split(" ")
            facts = dict(pair.split("=", 1) for pair in pairs)
            qubes[name] = (facts["class"], facts["state"])
        return qubes

    async def state(self, name):
        _, state = (await self.list(name))[name]
        return state

    async def tags(self, name):
        return frozenset(_lines(await self.call("admin.vm.tag.List", name)))

    async def properties(self, name):
        """`{property: Property}`; an unset qube is the empty string."""
        properties = {}
        for line in _lines(await self.call("admin.vm.property.GetAll", name)):
            key, default, _, value = line.split(" ", 3)
            properties[key] = Property(_unescape(value), default == "default=True")
        return properties

    async def volume(self, name, volume):
        """`{key: value}` of one volume; sizes are bytes, as text."""
        data = await self.call("admin.vm.volume.Info", name, volume)
        return dict(line.split("=", 1) for line in _lines(data))

    # ---- writes

    async def create(self, name, template, label, src):
        payload = f"name={name} label={label}".encode("ascii")
        await self.call("admin.vm.Create.AppVM", "dom0", template, payload, src)

    async def set_property(self, name, key, value):
        await self.call("admin.vm.property.Set", name, key, str(value).encode("ascii"))

    async def set_feature(self, name, key, value):
        await self.call("admin.vm.feature.Set", name, key, value.encode("ascii"))

    async def add_tag(self, name, tag):
        await self.call("admin.vm.tag.Set", name, tag)

    async def remove_tag(self, name, tag):
        try:
            await self.call("admin.vm.tag.Remove", name, tag)
        except AdminError as error:
            if error.kind != "QubesTagNotFoundError":
                raise

    async def resize(self, name, volume, size):
        await self.call("admin.vm.volume.Resize", name, volume, str(size).encode("ascii"))

    async def start(self, name):
        # qubesd answers once qrexec is up, after the chain of network qubes: minutes on a slow disk
        await self.call("admin.vm.Start", name, timeout=300)

    async def shutdown(self, name):
        # never `wait`: a Kill after a timed-out wait answers with an empty reply although it killed
        await self.call("admin.vm.Shutdown", name)

    async def kill(self, name):
        await self.call("admin.vm.Kill", name)

    async def remove(self, name):
        await self.call("admin.vm.Remove", name)


def _data(untrusted_reply):
    kind, _, rest = untrusted_reply.partition(b"\0")
    if kind == b"0":
        return rest
    if kind == b"2":
        name, _, message = (part.decode("utf-8", "replace") for part in (rest.split(b"\0", 2) + [b"", b""])[:3])
        raise AdminError(name, message.rstrip("\0"))
    raise AdminError("", f"{len(untrusted_reply)} bytes")


def _lines(data):
    return [line for line in data.decode("utf-8").split("\n") if line]


def _unescape(value):
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], value)
