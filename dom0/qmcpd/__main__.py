"""The daemon: a qrexec socket service. One connection is one call: descriptor, NUL, payload, end of file, one line back, or a line
an event."""

import argparse
import asyncio
import os
import signal
import socket
import sys
from contextlib import aclosing
from pathlib import Path

from settings.current import Settings
from spec import LIMITS

from . import roster
from .audit import AuditLog
from .errors import Misconfigured, say
from .journal import Journal
from .kernel import Kernel
from .qubesd import Qubesd


class Daemon:
    def __init__(self, kernel):
        self._kernel, self._connections = kernel, 0

    async def call(self, reader, writer):
        self._connections += 1
        try:
            if self._connections > LIMITS.connections:
                return
            async with aclosing(self._kernel.answer(*await _receive(reader))) as lines:
                async for line in lines:
                    writer.write(line)
                    async with asyncio.timeout(LIMITS.connection_seconds):
                        await writer.drain()
        except (OSError, TimeoutError):
            writer.transport.abort()
        finally:
            self._connections -= 1
            writer.close()


async def _receive(reader):
    """Header and payload: everything up to end of file, and never more than one byte beyond the limits; late bytes are no bytes."""
    untrusted = b""
    try:
        async with asyncio.timeout(LIMITS.connection_seconds):
            while len(untrusted) <= LIMITS.request_bytes + LIMITS.descriptor_bytes and (
                chunk := await reader.read(LIMITS.read_bytes)
            ):
                untrusted += chunk
    except TimeoutError:
        untrusted = b""
    untrusted_header, nul, untrusted_payload = untrusted.partition(b"\0")
    return (untrusted_header if nul else b""), untrusted_payload


def _listener(path):
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return socket.socket(fileno=3)  # the first that systemd hands over
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    os.umask(0o117)
    listener.bind(str(path))
    return listener


async def main():
    parser = argparse.ArgumentParser(
        prog="qmcpd", description="Carries out what a world's principals may ask of dom0."
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), help="where etc, run and var are (default: /)"
    )
    parser.add_argument(
        "--qubesd", type=Path, help="qubesd's socket (default: ROOT/run/qubesd.sock)"
    )
    options = parser.parse_args()
    qubesd = Qubesd(str(options.qubesd or options.root / "run/qubesd.sock"))
    journal = Journal(options.root / "var/lib/qmcp/journal")
    known = roster.Rosters(qubesd.limited(roster.METHODS), journal)
    settings = Settings(options.root, known.look_for)
    log = AuditLog(options.root / "var/log/qmcp/audit.log")
    kernel = Kernel(settings, qubesd, known, journal, log)
    await kernel.settle_unfinished()
    housekeeper = asyncio.create_task(kernel.keep_house())  # a task lives while somebody holds it
    server = await asyncio.start_unix_server(
        Daemon(kernel).call,
        sock=_listener(options.root / "run/qmcp/qmcpd.sock"),
        limit=LIMITS.request_bytes,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    say("ready")
    await stop.wait()
    server.close()
    housekeeper.cancel()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (Misconfigured, OSError, ValueError) as problem:
        sys.exit(f"qmcpd: {problem}")
