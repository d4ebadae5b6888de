"""What crosses between a tool and a service: PROTOCOL.md."""

import json
import os
import select
import time

MAX_REQUEST = 65536
MAX_PAYLOAD = 65536


class CallerGone(Exception):
    """Nobody reads what we write any more."""


class BadRequest(Exception):
    """The first line is not a request."""


def read_request(fd):
    """`(request, rest)`: the JSON object of the first line, and what of standard input was read with it."""
    data = b""
    while b"\n" not in data:
        chunk = os.read(fd, 65536)
        data += chunk
        if not chunk or (b"\n" not in data and len(data) >= MAX_REQUEST):
            raise BadRequest
    line, _, rest = data.partition(b"\n")
    if len(line) >= MAX_REQUEST:
        raise BadRequest
    try:
        request = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadRequest from None
    if not isinstance(request, dict):
        raise BadRequest
    return request, rest


class Frames:
    """Writes frames to a file descriptor that may be slow or gone."""

    def __init__(self, fd):
        self._fd = fd
        os.set_blocking(fd, False)

    def send(self, kind, payload, deadline=None):
        """Raises CallerGone when nobody listens, TimeoutError when the deadline (monotonic) passes first."""
        for start in range(0, max(len(payload), 1), MAX_PAYLOAD):
            piece = payload[start:start + MAX_PAYLOAD]
            self._write(kind + len(piece).to_bytes(4, "big") + piece, deadline)

    def reply(self, value):
        self.send(b"X", json.dumps(value, separators=(",", ":")).encode())

    def refuse(self, code, problem=None):
        self.send(b"R", json.dumps({"code": code, **({"problem": problem} if problem else {})}).encode())

    def _write(self, data, deadline):
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while data:
            left = None if deadline is None else max(deadline - time.monotonic(), 0) * 1000
            if not poll.poll(left):
                raise TimeoutError
            try:
                data = data[os.write(self._fd, data):]
            except BlockingIOError:
                continue
            except OSError:
                raise CallerGone from None


def caller_gone(fd, seconds):
    """Wait that long, or until nobody reads what is written to `fd`; True in that case."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(seconds * 1000))
