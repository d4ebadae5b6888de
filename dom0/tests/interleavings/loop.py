"""An event loop in which nothing happens by chance: every call to qubesd waits until the test lets it be carried out, and time
passes only when the test says so. qmcpd runs in it as it is, down to the bytes it puts on qubesd's socket."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from types import SimpleNamespace
from typing import Any, Self

from .model import Exchange, Host


class Gone(BaseException):
    """There is no qmcpd any more: whatever it still tries has no effect."""


class Clock:
    """Seconds, of every kind there is."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.seconds, self.host = now, Host()
        self.asked: list[bytes] = []

    def __call__(self) -> float:
        return self.seconds


class Socket:
    """What qmcpd takes for its socket to qubesd."""

    def __init__(self, *_: object) -> None:
        self.request = b""
        self.reply: bytes | None = None
        self.stream: Stream | None = None
        self.asked: Pending | None = None

    def recv(self, _: int) -> bytes:
        """Without waiting; of a request that was made and for whose reply nobody waits any more."""
        if self.asked and not self.asked.is_over:
            raise BlockingIOError
        return b""

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def setblocking(self, _: bool) -> None:
        pass

    def shutdown(self, _: object) -> None:
        pass


SOCKETS = SimpleNamespace(socket=Socket, AF_UNIX=None, SHUT_WR=None)


class Pending:
    """One call to qubesd that has been made. It may take several steps: others have their turn in between. `request` names the qube
    that it is about, however it was addressed."""

    def __init__(self, loop: "Loop", actor: str, request: bytes) -> None:
        self.actor, self.request, self._sent = actor, loop.host.named(request), request
        self._loop = loop
        self._exchange: Exchange | None = None
        self.reply: asyncio.Future[bytes] = loop.create_future()

    def __str__(self) -> str:
        return said(self.request)

    @property
    def is_begun(self) -> bool:
        return self._exchange is not None

    @property
    def is_over(self) -> bool:
        return self.reply.done()

    def step(self) -> bool:
        """True when it is over, and its caller has the reply."""
        host = self._loop.host
        host.actor = self.actor
        self._exchange = self._exchange or host.exchange(self._sent)
        try:
            next(self._exchange)
        except StopIteration as done:
            if not self.reply.done():
                self.reply.set_result(done.value)
            return True
        return False

    def finish(self) -> None:
        while not self.step():
            pass


def said(request: bytes) -> str:
    """`admin.vm.tag.Set+ai-full on ai-new`, for people."""
    head = request.partition(b"\0")[0].decode().split(" ")
    return f"{head[0].rstrip('+')} on {head[3]}"


class Loop(asyncio.BaseEventLoop):
    """With `at_once`, qubesd answers immediately; that is the operator's own loop."""

    # What the stubs leave out of BaseEventLoop.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _run_once: Callable[[], None]

    def __init__(self, host: Host, clock: Clock, at_once: bool = False) -> None:
        self._selector = SimpleNamespace(select=self._select, close=lambda: None)
        super().__init__()
        self.host, self.clock, self.is_gone = host, clock, False
        self.pending: list[Pending] = []
        self._at_once = at_once

    def time(self) -> float:
        return self.clock.seconds

    def _process_events(self, _: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _select(self, timeout: float | None) -> list[object]:
        """Nothing comes from outside: when nothing is ready, time passes until something is due."""
        if timeout is None:
            raise RuntimeError("everybody waits for somebody else")
        self.clock.seconds += timeout
        return []

    # ---- what qmcpd asks of a loop; every socket it hands over is a Socket

    def create_task(
        self, coro: Any, *, name: Any = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """What a call does at the same time as something else is still that call's; what follows the events is nobody's."""
        parent = asyncio.current_task(self) if asyncio._get_running_loop() is self else None
        if name is None and parent is not None and coro.__qualname__ != "Roster.follow":
            name = parent.get_name()
        return super().create_task(coro, name=name, context=context)

    async def sock_connect(self, sock: Any, address: object) -> None:
        if self.is_gone:
            raise Gone

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        sock.request += data

    async def sock_recv(self, sock: Any, nbytes: int) -> bytes:
        if sock.request.startswith(b"admin.Events"):
            return await self._event(sock)
        if sock.reply is None and self._at_once:
            self.host.actor = "operator"
            self.clock.asked.append(sock.request)
            sock.reply = self.host.ask(sock.request)
        elif sock.reply is None:
            if sock.asked is None:
                task = asyncio.current_task(self)
                assert task
                sock.asked = Pending(self, task.get_name(), sock.request)
                self.pending.append(sock.asked)
            sock.reply = await asyncio.shield(sock.asked.reply)
        chunk, sock.reply = sock.reply[:nbytes], sock.reply[nbytes:]
        return chunk

    async def _event(self, sock: Socket) -> bytes:
        if sock.stream is None:
            sock.stream = Stream(self)
            return b"1\0\0connection-established\0\0"
        return await sock.stream.next()

    # ---- what the test asks of it

    def drain(self) -> None:
        """Until everybody waits for qubesd, for time to pass, or for somebody who does."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while self._ready or (self._scheduled and self._scheduled[0].when() <= self.time()):
                self._run_once()
        finally:
            asyncio._set_running_loop(before)

    def wait(self) -> bool:
        """Time passes until something is due. False when nothing ever will be."""
        due = [timer.when() for timer in self._scheduled if not timer.cancelled()]
        if not due:
            return False
        self.clock.seconds = max(self.clock.seconds, min(due))
        self.drain()
        return True


class Stream:
    """Events on their way to one subscriber."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._came: deque[bytes] = deque()
        self._waiting: asyncio.Future[None] | None = None
        loop.host.subscribers.append(self._hear)

    def _hear(self, event: bytes) -> None:
        self._came.append(event)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def next(self) -> bytes:
        while not self._came:
            self._waiting = self._loop.create_future()
            await self._waiting
        return self._came.popleft()
