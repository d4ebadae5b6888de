"""The daemon: a qrexec socket service. One connection is one call: descriptor, NUL, payload, end of file, one line back."""

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from . import config, contracts, wire
from .audit import AuditLog
from .errors import Misconfigured
from .journal import Journal
from .kernel import Kernel
from .qubesd import Qubesd
from .roster import METHODS as ROSTER_METHODS
from .roster import Roster

# A caller that sends nothing, or never reads, holds one connection and no more than this many seconds.
RECEIVE_TIMEOUT = 10
SEND_TIMEOUT = 10
MAX_CONNECTIONS = 128
FIRST_INHERITED_FD = 3  # systemd socket activation


def arguments():
    parser = argparse.ArgumentParser(prog="qmcpd", description="Carries out what a world's principals may ask of dom0.")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where etc, run and var are (default: /)")
    parser.add_argument("--config", type=Path, help="default: ROOT/etc/qmcp/qmcp.toml")
    parser.add_argument("--qubesd", type=Path, help="qubesd's socket (default: ROOT/run/qubesd.sock)")
    return parser.parse_args()


class Daemon:
    def __init__(self, kernel):
        self._kernel = kernel
        self._connections = 0

    async def serve(self, listener):
        server = await asyncio.start_unix_server(self._call, sock=listener, limit=wire.MAX_PAYLOAD + wire.MAX_DESCRIPTOR)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print("qmcpd: ready", file=sys.stderr, flush=True)
        await stop.wait()
        server.close()

    async def _call(self, reader, writer):
        if self._connections >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        try:
            untrusted_header, untrusted_payload = await _receive(reader)
            writer.write(await self._kernel.answer(untrusted_header, untrusted_payload))
            async with asyncio.timeout(SEND_TIMEOUT):
                await writer.drain()
        except (OSError, TimeoutError):
            writer.transport.abort()
        finally:
            self._connections -= 1
            writer.close()


async def _receive(reader):
    """Everything up to end of file, and never more than one byte beyond the limits; late bytes are no bytes."""
    untrusted = b""
    try:
        async with asyncio.timeout(RECEIVE_TIMEOUT):
            while len(untrusted) <= wire.MAX_PAYLOAD + wire.MAX_DESCRIPTOR:
                chunk = await reader.read(65536)
                if not chunk:
                    break
                untrusted += chunk
    except TimeoutError:
        untrusted = b""
    untrusted_header, nul, untrusted_payload = untrusted.partition(b"\0")
    return (untrusted_header if nul else b""), untrusted_payload


def _listener(path):
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return socket.socket(fileno=FIRST_INHERITED_FD)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    old = os.umask(0o117)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old)
    return listener


def _frozen(directory):
    """The operator freezes a world by a file of its name, or every world by `all`."""
    return lambda world: any((directory / name).exists() for name in (world, "all"))


def _policy(path):
    def read():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""
    return read


async def main():
    options = arguments()
    etc, var = options.root / "etc/qmcp", options.root / "var/lib/qmcp"
    worlds = config.load(options.config or etc / "qmcp.toml")
    installed, unusable = contracts.load(etc / "contracts")
    for service, why in unusable.items():
        print(f"qmcpd: contract {service} is left out: {why}", file=sys.stderr, flush=True)
    qubesd = Qubesd(str(options.qubesd or options.root / "run/qubesd.sock"))
    roster = Roster(qubesd.limited(ROSTER_METHODS), (world.umbrella for world in worlds.worlds.values()))
    kernel = Kernel(
        worlds, installed, unusable, qubesd, roster,
        Journal(var / "journal"),
        AuditLog(options.root / "var/log/qmcp/audit.log"),
        _frozen(var / "frozen"),
        _policy(options.root / "etc/qubes/policy.d/30-qmcp.policy"),
    )
    await kernel.recover()
    following = asyncio.create_task(roster.follow())
    await Daemon(kernel).serve(_listener(options.root / "run/qmcp/qmcpd.sock"))
    following.cancel()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (Misconfigured, OSError, ValueError) as problem:
        sys.exit(f"qmcpd: {problem}")
