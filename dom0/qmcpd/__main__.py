"""The daemon: a qrexec socket service. One connection is one call. It brings the descriptor, a NUL and the payload, and ends with end
of file; the answer is one line, or one line for each event."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

from settings.current import Settings
from spec import LIMITS

from . import roster
from .audit import AuditLog
from .errors import Misconfigured, say
from .journal import Journal
from .kernel import Kernel
from .plans import Plans
from .qubesd import Qubesd


class Daemon:
    """Gives each principal a share of the connections, and all unknown callers together one share, so that no caller can keep
    another waiting."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._open: Counter[str] = Counter()
        self._calls: set[asyncio.Task[None]] = set()  # asyncio itself keeps no reference to a task

    async def serve(self, listener: socket.socket) -> None:
        """Never returns. It takes one connection at a time, so that calls in progress advance between any two of them."""
        while True:
            try:
                peer, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError as error:
                say(f"cannot take a connection: {error}; trying again")
                await asyncio.sleep(LIMITS.reconnect_seconds)
                continue
            peer.setblocking(False)
            task = asyncio.create_task(self.call(peer))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            await asyncio.sleep(0)

    async def call(self, peer: socket.socket) -> None:
        """qrexec writes the descriptor itself, at once. From then on, the connection counts against the caller in the descriptor."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LIMITS.connection_seconds
        with peer, contextlib.suppress(OSError, TimeoutError):
            untrusted_header, untrusted_rest = await _receive_header(peer, deadline)
            with self._share(self._kernel.source(untrusted_header)) as is_within:
                if is_within:
                    untrusted_payload = await _receive_payload(peer, untrusted_rest, deadline)
                    answer = self._kernel.answer(untrusted_header, untrusted_payload)
                    async with aclosing(answer) as lines:
                        async for line in lines:
                            async with asyncio.timeout(LIMITS.connection_seconds):
                                await loop.sock_sendall(peer, line)
                else:  # if this closed at once, the caller could connect again at once
                    await asyncio.sleep(LIMITS.refused_connection_seconds)

    @contextlib.contextmanager
    def _share(self, source: str) -> Iterator[bool]:
        self._open[source] += 1
        try:
            yield self._open[source] <= LIMITS.connections
        finally:
            self._open[source] -= 1


async def _receive_header(peer: socket.socket, deadline: float) -> tuple[bytes, bytes]:
    """`(descriptor, the bytes read after it)`. The descriptor is empty if none ends within the limit."""
    untrusted = b""
    while b"\0" not in untrusted and len(untrusted) <= LIMITS.descriptor_bytes:
        async with asyncio.timeout_at(deadline):
            chunk = await asyncio.get_running_loop().sock_recv(peer, LIMITS.descriptor_bytes)
        if not chunk:
            break
        untrusted += chunk
    untrusted_header, nul, untrusted_rest = untrusted.partition(b"\0")
    return (untrusted_header if nul else b""), untrusted_rest


async def _receive_payload(peer: socket.socket, untrusted: bytes, deadline: float) -> bytes | None:
    """Everything up to end of file; reading stops just above the limit. None if the caller does not end in time."""
    try:
        async with asyncio.timeout_at(deadline):
            while len(untrusted) <= LIMITS.request_bytes and (
                chunk := await asyncio.get_running_loop().sock_recv(peer, LIMITS.read_bytes)
            ):
                untrusted += chunk
    except TimeoutError:
        return None
    return untrusted


def _listener(path: Path) -> socket.socket:
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        listener = socket.socket(fileno=3)  # the first socket that systemd passes
    else:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        os.umask(0o117)
        listener.bind(str(path))
    listener.listen(LIMITS.waiting_connections)
    listener.setblocking(False)
    return listener


def _notify(words: str) -> None:
    """Tell systemd, if it started this process and wants to know."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        if path:
            peer.sendto(words.encode("ascii"), "\0" + path[1:] if path[0] == "@" else path)


async def _watchdog() -> None:
    """For ever: as long as this loop runs, systemd hears of it."""
    while True:
        _notify("WATCHDOG=1")
        await asyncio.sleep(LIMITS.watchdog_seconds)


async def _open(kernel: Kernel, after: Path | None) -> None:
    """Until unfinished changes were looked at and that file exists, every call is busy."""
    await kernel.settle_unfinished()
    while after and not after.exists():
        await asyncio.sleep(LIMITS.reconnect_seconds)
    kernel.is_open = True
    say("ready")
    await kernel.retry_unfinished()


async def main() -> None:
    parser = argparse.ArgumentParser(
        prog="qmcpd",
        description="Carries out the calls that the principals of a world make to dom0.",
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), help="where etc, run and var are (default: /)"
    )
    parser.add_argument(
        "--qubesd", type=Path, help="qubesd's socket (default: ROOT/run/qubesd.sock)"
    )
    parser.add_argument(
        "--after", type=Path, help="every call is busy until this file exists", metavar="FILE"
    )
    options = parser.parse_args()
    qubesd = Qubesd(str(options.qubesd or options.root / "run/qubesd.sock"))
    journal = Journal(options.root / "var/lib/qmcp/journal")
    rosters = roster.Rosters(qubesd.limited(roster.METHODS), journal)
    settings = Settings(options.root, rosters.look_for)
    log = AuditLog(options.root / "var/log/qmcp/audit.log")
    plans = Plans(options.root)
    plans.recover()
    kernel = Kernel(settings, qubesd, rosters, journal, log, plans)
    kernel.is_open = False
    listener = _listener(options.root / "run/qmcp/qmcpd.sock")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    work = (stop.wait(), _open(kernel, options.after), Daemon(kernel).serve(listener), _watchdog())
    tasks = [asyncio.create_task(one) for one in work]
    _notify("READY=1")
    ended, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    # None ends but by the signal. After an exception, systemd starts qmcpd again.
    for task in ended:
        task.result()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (Misconfigured, OSError, ValueError) as problem:
        sys.exit(f"qmcpd: {problem}")
