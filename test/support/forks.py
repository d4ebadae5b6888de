"""Runs Python programs in processes that are forked from this one, which has loaded Python's library and dom0's code: the same
code, unmodified, for a tenth of what a start of the interpreter costs.

    python3 -IB forks.py SOCKET DOM0

Over a connection to SOCKET come lines of JSON: a program to run,
    {"id", "words": what follows `python3`, "cwd", "env", "stdio": "pipe" or "ignore" for descriptors 0 to 2, "streams": PATH}
or {"id", "kill": SIGNAL}. Back go {"id", "pid"} and then {"id", "code"} or {"id", "signal"}. For each pipe, there is a
connection to the socket PATH whose first line is `ID DESCRIPTOR`; who can send descriptors sends them instead. Programs end
with the connection that started them, and all of them with our standard input.

What a program takes for the interpreter is interpreter.py: what it starts is forked from here as well. Variables whose names
begin with PYTHON mean nothing to the interpreter of any of them.
"""

import _imp
import contextlib
import gc
import importlib
import itertools
import json
import os
import runpy
import selectors
import shlex
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

Asked = dict[str, Any]  # a line of JSON, as above
Key = tuple[str, str, bool]  # what makes two programs the same
Modules = dict[str, ModuleType]
FLAGS = {"-B", "-I", "-IB", "-E", "-s"}


def remember_code() -> None:
    """The code of a file that is a copy of another is that one's, under another name."""
    compiled: dict[bytes, CodeType] = {}
    compile_source = SourceFileLoader.source_to_code

    def source_to_code(loader: SourceFileLoader, data: bytes, path: str, **how: Any) -> CodeType:
        if data not in compiled:
            compiled[data] = compile_source(loader, data, path, **how)
        # What Python itself calls for this is not in the stubs.
        _imp._fix_co_filename(compiled[data], path)  # pyright: ignore[reportAttributeAccessIssue]
        return compiled[data]

    every_loader: Any = SourceFileLoader
    every_loader.source_to_code = source_to_code


class Program:
    """What follows `python3`: `-m MODULE` or the path of a script, and its arguments."""

    def __init__(self, words: list[str], cwd: str) -> None:
        flags = list(itertools.takewhile(FLAGS.__contains__, words))
        self.is_module, words = words[len(flags)] == "-m", words[len(flags) :]
        if self.is_module:
            self.what, self.arguments, self.folder = words[1], words[2:], cwd
        else:
            self.what, self.arguments = os.path.realpath(os.path.join(cwd, words[0])), words[1:]
            self.folder = os.path.dirname(self.what)
        self.is_isolated = any("I" in flag for flag in flags)
        self.key: Key = (self.what, self.folder, self.is_isolated)

    def run(self, name: str) -> None:
        """In this process. `name` is `__main__`, or another one for only what it defines and imports."""
        sys.argv = [self.what, *self.arguments]
        if not self.is_isolated:
            sys.path.insert(0, self.folder)
        if not self.is_module:
            runpy.run_path(self.what, run_name=name)
        elif name == "__main__":
            sys.modules.pop(f"{self.what}.__main__", None)
            runpy.run_module(self.what, run_name=name, alter_sys=True)
        else:
            importlib.import_module(f"{self.what}.__main__")


def load(programs: list[Program]) -> dict[Key, Modules]:
    """`{key: modules}` of programs that many processes will run. No program sees the modules of another."""
    loaded: dict[Key, Modules] = {}
    for program in programs:
        before, path = set(sys.modules), sys.path[:]
        program.run("loaded")
        new = set(sys.modules) - before
        loaded[program.key] = {
            name: sys.modules.pop(name)
            for name in new
            if name.split(".")[0] not in sys.stdlib_module_names
        }
        sys.path[:] = path
    return loaded


def end(program: Program) -> int:
    """Runs it to its end, as the interpreter would. Returns the exit code."""
    code = 0
    try:
        program.run("__main__")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
        if code and not isinstance(stop.code, int):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as problem:
            code = 120
            print(
                f"Exception ignored in: {stream!r}\n{type(problem).__name__}: {problem}",
                file=sys.stderr,
            )
    return code & 0xFF


def files_of(folder: str) -> list[tuple[str, str, int, int, int]]:
    """What tells whether one of them has changed."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            status = os.stat(os.path.join(place, name))
            found.append((place, name, status.st_ino, status.st_mtime_ns, status.st_size))
    return found


class Forks:
    def __init__(self, path: str, programs: list[Program], dom0: str) -> None:
        self.interpreter = f"{path}-python3"
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "interpreter.py")
        words = " ".join(map(shlex.quote, (sys.executable, "-ISB", script, path)))
        with open(
            self.interpreter, "w", opener=lambda name, flags: os.open(name, flags, 0o700)
        ) as file:
            file.write(f'#!/bin/sh\nexec {words} "$@"\n')
        self.dom0, self.files, self.loaded = dom0, files_of(dom0), load(programs)
        for modules in self.loaded.values():
            if "settings.contracts" in modules:  # it remembers what the usual contracts say
                modules["settings.contracts"].load(f"{dom0}/contracts")
        self.children: dict[int, tuple[socket.socket, int]] = {}  # pid → (connection, id)
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.woken, wake = os.pipe()
        for end_of_it in (self.woken, wake):
            os.set_blocking(end_of_it, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.selector.register(0, selectors.EVENT_READ, sys.exit)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(self.woken, selectors.EVENT_READ, self.reap)

    def serve(self) -> None:
        try:
            while True:
                for key, _ in self.selector.select():
                    key.data()
        finally:
            self.kill(self.children)

    def accept(self) -> None:
        connection, pending = self.listener.accept()[0], bytearray()

        def read() -> None:
            chunk, descriptors = b"", list[int]()
            with contextlib.suppress(OSError):
                chunk, descriptors, *_ = socket.recv_fds(connection, 1 << 20, 3)
            pending.extend(chunk)
            if not chunk:
                self.selector.unregister(connection)
                self.kill([pid for pid, (whose, _) in self.children.items() if whose is connection])
                connection.close()
                return
            *lines, rest = bytes(pending).split(b"\n")
            pending[:] = rest
            for line in lines:
                self.do(connection, json.loads(line), descriptors)

        self.selector.register(connection, selectors.EVENT_READ, read)

    def do(self, connection: socket.socket, asked: Asked, descriptors: list[int]) -> None:
        if "kill" in asked:
            # Whoever is in `children` has not been waited for: its number is nobody else's.
            for pid in [
                pid for pid, child in self.children.items() if child == (connection, asked["id"])
            ]:
                os.kill(pid, signal.Signals[asked["kill"]])
            return
        try:
            program = Program(asked["words"], asked["cwd"])
            streams = descriptors or [self.stream(asked, number) for number in range(3)]
        except (OSError, ValueError) as problem:
            self.tell(connection, asked["id"], error=str(problem))
            return
        pid = os.fork()
        if not pid:
            code = 1
            try:
                code = self.become(program, asked, streams)
            finally:
                os._exit(code)
        self.children[pid] = connection, asked["id"]
        for stream in streams:
            os.close(stream)
        self.tell(connection, asked["id"], pid=pid)

    def stream(self, asked: Asked, number: int) -> int:
        if asked["stdio"][number] == "ignore":
            return os.open(os.devnull, os.O_RDWR)
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(asked["streams"])
        stream.sendall(b"%d %d\n" % (asked["id"], number))
        return stream.detach()

    def become(self, program: Program, asked: Asked, streams: list[int]) -> int:
        """In the child: what the interpreter is when it starts that program."""
        gc.freeze()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, 4096)
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        sys.executable = self.interpreter
        # In somebody's editor, the code may be another by now.
        if files_of(self.dom0) == self.files:
            sys.modules.update(self.loaded.get(program.key, {}))
        return end(program)

    def reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.woken, 4096)
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                connection, identity = self.children.pop(found[0])
                code = os.waitstatus_to_exitcode(found[1])
                self.tell(
                    connection,
                    identity,
                    **({"code": code} if code >= 0 else {"signal": signal.Signals(-code).name}),
                )

    def tell(self, connection: socket.socket, identity: int, **what: object) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps({"id": identity, **what}).encode() + b"\n")

    def kill(self, pids: Iterable[int]) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    where, dom0 = sys.argv[1:]
    remember_code()
    timeless = f"{os.path.dirname(dom0)}/test/support/timeless.py"  # not beside a copy of dom0
    forks = Forks(
        where,
        [
            Program(["-m", "qmcpd"], dom0),
            Program([f"{dom0}/operator/qmcp-admin"], dom0),
            Program(["-I", f"{dom0}/packaging/qmcp-dom0"], dom0),
            *(Program([path], dom0) for path in [timeless] if os.path.exists(path)),
        ],
        dom0,
    )
    gc.freeze()
    print("ready", file=sys.stderr, flush=True)
    forks.serve()
