"""Each caller has its own share of qmcpd: of connections, of refusals, and of lines in the audit log."""

import ast
import asyncio
import contextlib
import json
import socket
import unittest
from collections.abc import AsyncGenerator
from pathlib import Path
from unittest import mock

from qmcpd.__main__ import Daemon
from qmcpd.kernel import Kernel
from spec import LIMITS

from .interleavings.machine import CLOCK, Machine, one_process
from .interleavings.model import Host

WORLDS = """
[world.ai]
prefix = "ai-"
[world.ai.budget]
calls_per_minute = 20
[world.ai.principal.mcp-control]
plugins = ["inspect", "spawn"]
[world.lab]
prefix = "lab-"
[world.lab.budget]
calls_per_minute = 1000
[world.lab.principal.lab-control]
plugins = ["inspect"]
"""


def header(source: str, service: str = "qmcp.Catalog+") -> bytes:
    return f"{service} {source} keyword adminvm\0".encode()


class AnsweringKernel(Kernel):
    """Answers at once. `received` has every request that came to it."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, bytes | None]] = []

    def source(self, untrusted_header: bytes) -> str:
        words = untrusted_header.split()
        return words[1].decode() if len(words) > 1 else ""

    async def answer(
        self, untrusted_header: bytes, untrusted_payload: bytes | None
    ) -> AsyncGenerator[bytes, None]:
        self.received.append((untrusted_header, untrusted_payload))
        yield b"answer\n"


class Connections(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.kernel = AnsweringKernel()
        self.daemon = Daemon(self.kernel)
        self.tasks: list[asyncio.Task[None]] = []

    async def asyncTearDown(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def connect(self, *chunks: bytes, ends: bool = True) -> socket.socket:
        """Our end of a new connection, on which these bytes have been sent."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        for end in (ours, theirs):
            end.setblocking(False)
        for chunk in chunks:
            ours.sendall(chunk)
        if ends:
            ours.shutdown(socket.SHUT_WR)
        self.tasks.append(asyncio.get_running_loop().create_task(self.daemon.call(theirs)))
        return ours

    async def reply(self, end: socket.socket) -> bytes:
        said = b""
        while chunk := await asyncio.get_running_loop().sock_recv(end, 4096):
            said += chunk
        return said

    async def test_half_open_connections_of_one_principal_take_none_from_another(self) -> None:
        half_open = [
            self.connect(header("mcp-control"), ends=False) for _ in range(LIMITS.connections)
        ]
        for _ in range(LIMITS.connections):
            self.assertEqual(
                await self.reply(self.connect(header("lab-control"), b"{}")), b"answer\n"
            )
        # Its own further connections are closed without an answer, until one of the others ends.
        with mock.patch.object(LIMITS, "refused_connection_seconds", 0):
            self.assertEqual(await self.reply(self.connect(header("mcp-control"), b"{}")), b"")
        half_open[0].sendall(b"{}")
        half_open[0].shutdown(socket.SHUT_WR)
        self.assertEqual(await self.reply(half_open[0]), b"answer\n")
        self.assertEqual(await self.reply(self.connect(header("mcp-control"), b"{}")), b"answer\n")

    async def test_a_request_that_does_not_end_in_time_reaches_the_kernel_as_one_without_a_payload(
        self,
    ) -> None:
        with mock.patch.object(LIMITS, "connection_seconds", 0.01):
            await self.reply(self.connect(header("mcp-control"), b"{", ends=False))
        self.assertEqual(self.kernel.received, [(header("mcp-control")[:-1], None)])

    async def test_a_request_is_read_whole_however_its_bytes_arrive(self) -> None:
        for chunks in (
            [header("mcp-control") + b'{"a":1}'],
            [header("mcp-control")[:9], header("mcp-control")[9:] + b'{"a"', b":1}"],
        ):
            await self.reply(self.connect(*chunks))
        self.assertEqual(self.kernel.received, [(header("mcp-control")[:-1], b'{"a":1}')] * 2)

    async def test_a_descriptor_beyond_its_limit_is_none(self) -> None:
        await self.reply(self.connect(b"q" * (LIMITS.descriptor_bytes + 1)))
        self.assertEqual([one for one, _ in self.kernel.received], [b""])


class Refusals(unittest.TestCase):
    def setUp(self) -> None:
        held = contextlib.ExitStack()
        self.addCleanup(held.close)
        held.enter_context(one_process())
        self.machine = Machine(Host(), WORLDS)
        self.addCleanup(self.machine.close)
        self.told: list[tuple[float, str]] = []

    def calls(
        self, count: int, source: str, service: str = "qmcp.Catalog+", payload: bytes | None = b"{}"
    ) -> None:
        """So many calls at once. `told` has `(second, code)` of each answer."""
        begin = CLOCK.seconds

        async def one() -> None:
            async for line in self.machine.kernel.answer(header(source, service)[:-1], payload):
                error = json.loads(line).get("error", {"code": "ok"})
                self.told.append((CLOCK.seconds - begin, error["code"]))

        self.told.clear()
        loop = self.machine.loop
        tasks = [loop.create_task(one(), name=f"call {at}") for at in range(count)]
        loop.drain()
        while not all(task.done() for task in tasks):
            self.machine.wait()

    def logged(self) -> list[tuple[str, str]]:
        return [(one["principal"], one["code"]) for one in self.machine.audit()]

    def codes(self) -> set[str]:
        return {code for _, code in self.told}

    def test_a_service_with_an_argument_counts_as_its_callers(self) -> None:
        self.calls(300, "mcp-control", "qmcp.Catalog+x")
        self.assertEqual(self.codes(), {"not-found", "rate-limited"})
        self.assertEqual(
            self.logged(), [("mcp-control", "not-found")] * 20 + [("mcp-control", "rate-limited")]
        )

    def test_unknown_callers_have_one_rate_of_log_lines_together_and_hear_nothing_of_it(
        self,
    ) -> None:
        for source in ("gone-control", "other-control", "dom0"):
            self.calls(100, source)
            self.assertEqual(self.codes(), {"invalid-request" if source == "dom0" else "not-found"})
        lines = LIMITS.unknown_callers_per_minute
        self.assertEqual(
            self.logged(),
            [("gone-control", "not-found")] * lines + [("gone-control", "rate-limited")],
        )

    def test_refusals_beyond_the_rate_are_paced_for_one_caller_and_delay_no_other(self) -> None:
        rush = LIMITS.refusals_per_second * LIMITS.refusal_rush_seconds
        for source in ("mcp-control", "gone-control"):
            with self.subTest(source=source):
                self.calls(rush + 200, source)
                at_once = sum(second == 0 for second, _ in self.told)
                self.assertIn(at_once, range(rush, rush + 21))
                self.assertAlmostEqual(
                    self.told[-1][0], (rush + 200 - at_once) / LIMITS.refusals_per_second, delta=0.1
                )
                self.calls(100, "lab-control")
                self.assertEqual(set(self.told), {(0, "ok")})

    def test_a_request_that_did_not_end_in_time_is_busy_and_counts(self) -> None:
        self.calls(21, "mcp-control", payload=None)
        self.assertEqual([code for _, code in self.told], ["busy"] * 20 + ["rate-limited"])

    def test_a_refusal_is_logged_with_the_names_asked_for_and_the_reason_in_words(self) -> None:
        request = json.dumps({"qube": "vault"}).encode()
        for service, target, payload in (
            ("qmcp.inspect.State+vault", "name vault", b"{}"),
            ("qmcp.spawn.Restore+", "keyword adminvm", request),
            ("qmcp.spawn.Create+", "keyword adminvm", b'{"name":"vault","template":"ai-x"}'),
        ):
            head = f"{service} mcp-control {target}".encode()
            loop = self.machine.loop

            async def play(head: bytes = head, payload: bytes = payload) -> list[bytes]:
                return [line async for line in self.machine.kernel.answer(head, payload)]

            task = loop.create_task(play(), name=service)
            self.machine._tasks[service] = task
            self.machine.finish(service)
            line = self.machine.audit()[-1]
            with self.subTest(service=service):
                self.assertEqual(line["kind"], "refusal")
                self.assertIn("vault", [line["target"], *line["names"]])
                self.assertRegex(line["why"], "^(the world has no such|the name does not start)")
                self.assertNotIn(line["why"].encode(), b"".join(task.result()))

    def test_the_share_of_a_call_is_its_principals_and_all_others_have_one(self) -> None:
        source = self.machine.kernel.source
        self.assertEqual(source(header("mcp-control", "qmcp.Catalog+x")[:-1]), "mcp-control")
        self.assertEqual(
            [source(header("vault")[:-1]), source(b""), source(b"noise")], ["", "", ""]
        )


class Reasons(unittest.TestCase):
    def test_every_refusal_of_qmcpd_has_a_reason_in_words(self) -> None:
        counted = 0
        for path in sorted((Path(__file__).parent.parent / "qmcpd").glob("*.py")):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refused":
                    counted += 1
                    self.assertGreater(len(node.args), 1, f"{path.name}:{node.lineno}")
        self.assertGreater(counted, 40)


if __name__ == "__main__":
    unittest.main()
