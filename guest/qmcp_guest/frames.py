"""The frames that a tool and a service exchange. PROTOCOL.md specifies them."""

from __future__ import annotations

import json
import os
import select
import time
from typing import Any

from .generated import limits

HEADER = 5
Request = dict[str, Any]
Reply = dict[str, Any]


class CallerGone(Exception):
    """The caller has closed its end: nobody reads our output or waits for it."""


class BadRequest(Exception):
    """The first line is not a request, or the bytes after it are not frames."""


class Input:
    """The input after the request: frames of kind `I`, ended by an empty one. `ended` is true once that one has arrived. The
    caller keeps its side open after it: end of file means that the caller has gone."""

    def __init__(self, fd: int, received: bytes = b"", request: bytes = b"") -> None:
        """`request`: the very bytes of the request's line."""
        self.fd, self.ended, self._received = fd, False, bytearray(received)
        self.request = request

    def take(self) -> bytes:
        """The bytes of the next frame; empty when the frame is incomplete, or is the last."""
        if self.ended or len(self._received) < HEADER:
            return b""
        length = int.from_bytes(self._received[1:HEADER], "big")
        if self._received[:1] != b"I" or length > limits.FRAME_BYTES:
            raise BadRequest
        if len(self._received) < HEADER + length:
            return b""
        payload = bytes(self._received[HEADER : HEADER + length])
        del self._received[: HEADER + length]
        self.ended = length == 0
        return payload

    def ignore(self) -> None:
        """Discard the rest of the input, but still notice when the caller goes."""
        self.ended = True
        self._received.clear()

    def register(self, poll: select.poll) -> None:
        """Wake the poll when the caller's end closes and, while there is room, when bytes come. Bytes are read even if nobody
        has asked for them: qrexec does not report that a killed caller has gone while unread bytes are in front of that."""
        room = len(self._received) < limits.AHEAD_BYTES
        poll.register(self.fd, select.POLLRDHUP | (select.POLLIN if room else 0))

    def receive(self) -> None:
        """Wait for bytes from the caller. Bytes after the last frame are ignored."""
        chunk = os.read(self.fd, limits.FRAME_BYTES)
        if not chunk:
            raise CallerGone
        if not self.ended:
            self._received += chunk

    def read(self) -> bytes:
        """Wait for the next bytes; empty at the end of the input."""
        while not (payload := self.take()) and not self.ended:
            self.receive()
        return payload


def read_request(fd: int) -> tuple[Request, Input]:
    """`(request, input)`: the JSON object of the first line, and the input after it."""
    data = b""
    while b"\n" not in data:
        chunk = os.read(fd, limits.FRAME_BYTES)
        data += chunk
        if not chunk or (b"\n" not in data and len(data) >= limits.REQUEST_BYTES):
            raise BadRequest
    line, _, received = data.partition(b"\n")
    if len(line) >= limits.REQUEST_BYTES:
        raise BadRequest
    try:
        request = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadRequest from None
    if not isinstance(request, dict):
        raise BadRequest
    return request, Input(fd, received, line)


class Frames:
    """Writes frames to a file descriptor whose reader may be slow or gone. While it waits, it reads `received`, the caller's
    input, if there is one. A frame that is half written at a deadline is finished before the next."""

    def __init__(self, fd: int) -> None:
        self._fd, self._unsent = fd, b""
        self.received: Input | None = None
        os.set_blocking(fd, False)

    def send(self, kind: bytes, payload: bytes, deadline: float | None = None) -> None:
        """Raises CallerGone when nobody listens, TimeoutError when the deadline (monotonic) passes first."""
        for start in range(0, max(len(payload), 1), limits.FRAME_BYTES):
            piece = payload[start : start + limits.FRAME_BYTES]
            self._write(kind + len(piece).to_bytes(4, "big") + piece, deadline)

    def reply(self, value: Reply) -> None:
        self.send(b"X", json.dumps(value, separators=(",", ":")).encode())

    def refuse(self, code: str, problem: str | None = None) -> None:
        self.send(
            b"R", json.dumps({"code": code, **({"problem": problem} if problem else {})}).encode()
        )

    def _write(self, data: bytes, deadline: float | None) -> None:
        self._unsent += data
        while self._unsent:
            try:
                self._unsent = self._unsent[os.write(self._fd, self._unsent) :]
            except BlockingIOError:
                self._wait(deadline)
            except OSError:
                raise CallerGone from None

    def _wait(self, deadline: float | None) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        if self.received is not None:
            self.received.register(poll)
        events = dict(
            poll.poll(None if deadline is None else max(deadline - time.monotonic(), 0) * 1000)
        )
        if self._fd not in events and deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError
        if self.received is not None and self.received.fd in events:
            self.received.receive()


def caller_gone(seconds: float) -> bool:
    """Wait that long, or until the caller's end of our standard input or output is closed; True in that case."""
    poll = select.poll()
    poll.register(0, select.POLLRDHUP)
    poll.register(1, 0)
    return bool(poll.poll(seconds * 1000))
