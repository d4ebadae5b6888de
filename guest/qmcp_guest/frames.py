"""What crosses between a tool and a service: PROTOCOL.md."""

import json
import os
import select
import time

from .generated import limits

HEADER = 5


class CallerGone(Exception):
    """Nobody reads what we write any more, or waits for it."""


class BadRequest(Exception):
    """The first line is not a request, or what follows it is no frame."""


class Input:
    """What follows the request: frames of kind `I`, of which an empty one is the last. `ended` says that it was here. The
    caller keeps its side open after that: the end of file is a caller that has gone."""

    def __init__(self, fd, received=b""):
        self.fd, self.ended, self._received = fd, False, bytearray(received)

    def take(self):
        """The bytes of the next frame; none when it is not here yet, or was the last."""
        if self.ended or len(self._received) < HEADER:
            return b""
        length = int.from_bytes(self._received[1:HEADER], "big")
        if self._received[:1] != b"I" or length > limits.FRAME_BYTES:
            raise BadRequest
        if len(self._received) < HEADER + length:
            return b""
        taken = bytes(self._received[HEADER : HEADER + length])
        del self._received[: HEADER + length]
        self.ended = length == 0
        return taken

    def ignore(self):
        """Nobody takes the rest; that the caller goes is heard all the same."""
        self.ended = True
        self._received.clear()

    def register(self, poll):
        """To be told when there is something to hear: the end always, bytes as long as there is room for them. Bytes are
        taken, read or not: while there are some that nobody takes, qrexec says nothing of what is behind them, the end of
        the caller least of all, were it killed."""
        room = len(self._received) < limits.AHEAD_BYTES
        poll.register(self.fd, select.POLLRDHUP | (select.POLLIN if room else 0))

    def hear(self):
        """Wait for bytes of the caller; whatever comes after the last frame is nothing."""
        chunk = os.read(self.fd, limits.FRAME_BYTES)
        if not chunk:
            raise CallerGone
        if not self.ended:
            self._received += chunk

    def read(self):
        """The next bytes, waited for; none when that was all."""
        while not (taken := self.take()) and not self.ended:
            self.hear()
        return taken


def read_request(fd):
    """`(request, input)`: the JSON object of the first line, and what comes after it."""
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
    return request, Input(fd, received)


class Frames:
    """Writes frames to a file descriptor that may be slow or gone; meanwhile it listens to the caller's `received`, if it is
    given that. A frame that has begun when the time is up is finished before the next."""

    def __init__(self, fd):
        self._fd, self._unsent, self.received = fd, b"", None
        os.set_blocking(fd, False)

    def send(self, kind, payload, deadline=None):
        """Raises CallerGone when nobody listens, TimeoutError when the deadline (monotonic) passes first."""
        for start in range(0, max(len(payload), 1), limits.FRAME_BYTES):
            piece = payload[start : start + limits.FRAME_BYTES]
            self._write(kind + len(piece).to_bytes(4, "big") + piece, deadline)

    def reply(self, value):
        self.send(b"X", json.dumps(value, separators=(",", ":")).encode())

    def refuse(self, code, problem=None):
        self.send(
            b"R", json.dumps({"code": code, **({"problem": problem} if problem else {})}).encode()
        )

    def _write(self, data, deadline):
        self._unsent += data
        while self._unsent:
            try:
                self._unsent = self._unsent[os.write(self._fd, self._unsent) :]
            except BlockingIOError:
                self._wait(deadline)
            except OSError:
                raise CallerGone from None

    def _wait(self, deadline):
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
            self.received.hear()


def caller_gone(seconds):
    """Wait that long, or until the caller's end of our standard input or output is closed; True in that case."""
    poll = select.poll()
    poll.register(0, select.POLLRDHUP)
    poll.register(1, 0)
    return bool(poll.poll(seconds * 1000))
