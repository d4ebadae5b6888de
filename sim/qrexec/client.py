"""Behaves as qrexec-client-vm does inside a qube: qrexec-client-vm [options] TARGET SERVICE[+ARGUMENT] [PROGRAM [ARGUMENT...]].

The socket beside this file decides which qube calls: every call on it is that qube's. endpoint.ts, at the other end,
documents the protocol. A connection that ends before the exit code is a call that was dropped.
"""

# Not `socket`: importing the rest of that module takes nearly as long as the whole call.
import _socket
import os
import select
import sys

USAGE = "usage: qrexec-client-vm [options] target_vmname program_ident [local_program [local program arguments]]\n"
FLAGS = (
    "-t",
    "-T",
    "--filter-escape-chars-stdout",
    "--filter-escape-chars-stderr",
    "--no-filter-escape-chars-stdout",
    "--no-filter-escape-chars-stderr",
)
WITH_VALUE = ("--buffer-size", "--agent-socket", "--prefix-data", "-a", "-p")
ACCEPTED, OUT, ERR, EXIT = b"A", b"O", b"E", b"X"
REFUSED = 126


def options(words: list[str]) -> tuple[list[str], bytes] | None:
    """`(words after the options, bytes to send before standard input)`, or None if the usage is wrong."""
    prefix = b""
    while words and words[0].startswith("-") and len(words[0]) > 1:
        word, words = words[0], words[1:]
        if word == "--":
            break
        name, given, value = word.partition("=")
        if word in FLAGS:
            continue
        if name not in WITH_VALUE or (given and not name.startswith("--")) or not (given or words):
            return None
        if not given:
            value, words = words[0], words[1:]
        if name in ("-p", "--prefix-data"):
            prefix = os.fsencode(value)
    return (words, prefix) if len(words) >= 2 else None


class Call:
    """One call over the socket; `stdin` and `stdout` are descriptors, of this process or of its local program."""

    def __init__(self, words: list[str], prefix: bytes) -> None:
        self.program = words[2:]
        self.prefix, self.pending = prefix, b""
        self.stdin, self.stdout = 0, 1
        self.child: int | None = None
        self.peer = _socket.socket(_socket.AF_UNIX)
        self.peer.connect(os.path.join(os.path.dirname(os.path.abspath(__file__)), "socket"))
        self.peer.sendall(
            os.fsencode(words[0].replace("$", "@")) + b"\0" + os.fsencode(words[1]) + b"\0"
        )

    def run(self) -> int:
        """The exit code of the service, or of the local program where there is one."""
        sources: list[_socket.socket | int] = [self.peer] if self.program else [self.peer, 0]
        self.send(self.prefix)
        while True:
            for ready in select.select(sources, [], [])[0]:
                if ready is not self.peer:
                    chunk = os.read(self.stdin, 65536)
                    if not chunk or not self.send(chunk):
                        self.send(b"", end=True)
                        sources.remove(self.stdin)
                    continue
                for kind, payload in self.frames():
                    if kind == EXIT:
                        return self.end(int(payload))
                    if kind == ACCEPTED and self.program:
                        self.start()
                        sources.append(self.stdin)
                    elif kind == OUT:
                        self.deliver(payload)
                    elif kind == ERR:
                        write(2, payload)

    def send(self, chunk: bytes, end: bool = False) -> bool:
        if not chunk and not end:
            return True
        try:
            self.peer.sendall(b"I" + len(chunk).to_bytes(4, "big") + chunk)
        except OSError:
            return False
        return True

    def frames(self) -> list[tuple[bytes, bytes]]:
        chunk = self.peer.recv(65536)
        if not chunk:
            return [(EXIT, b"%d" % REFUSED)]
        self.pending += chunk
        complete = []
        while len(self.pending) >= 5 and len(self.pending) >= 5 + int.from_bytes(
            self.pending[1:5], "big"
        ):
            end = 5 + int.from_bytes(self.pending[1:5], "big")
            complete.append((self.pending[:1], self.pending[5:end]))
            self.pending = self.pending[end:]
        return complete

    def start(self) -> None:
        """The local program: its standard input is what the service writes, its output what the service reads."""
        theirs_in, self.stdout = os.pipe()
        self.stdin, theirs_out = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            for name, fd in (("SAVED_FD_0", 0), ("SAVED_FD_1", 1)):
                copy = os.dup(fd)
                os.set_inheritable(copy, True)
                os.environ[name] = str(copy)
            os.dup2(theirs_in, 0)
            os.dup2(theirs_out, 1)
            try:
                os.execv(self.program[0], [os.path.basename(self.program[0]), *self.program[1:]])
            except OSError as problem:
                os.write(2, f"execv: {problem.strerror}\n".encode())
            os._exit(255)
        os.close(theirs_in)
        os.close(theirs_out)

    def deliver(self, payload: bytes) -> None:
        try:
            write(self.stdout, payload)
        except BrokenPipeError:
            if self.child is None:
                raise
            # A local program that has closed its input may still write output.

    def end(self, code: int) -> int:
        if self.child is None:
            return code
        os.close(self.stdout)
        local = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        return local if local >= 0 else 128 - local


def write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def main() -> int:
    call = options(sys.argv[1:])
    if call is None:
        sys.stderr.write(USAGE)
        return 2
    return Call(*call).run()


try:
    code = main()
except BrokenPipeError:
    code = 141
except OSError as problem:
    sys.stderr.write(f"qrexec-client-vm: {problem}\n")
    code = 125
os._exit(code)
