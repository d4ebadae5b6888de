"""Runs a program on a terminal with that many columns, and copies its output to standard output:
terminal.py COLUMNS PROGRAM ARGUMENT..."""

import fcntl
import os
import pty
import struct
import sys
import termios


def main() -> int:
    columns, *command = sys.argv[1:]
    child, terminal = pty.fork()
    if child == 0:
        size = struct.pack("HHHH", 50, int(columns), 0, 0)
        fcntl.ioctl(1, termios.TIOCSWINSZ, size)
        os.execv(command[0], command)
    while chunk := read(terminal):
        os.write(1, chunk)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux reports a closed other end with an error.
        return b""


if __name__ == "__main__":
    sys.exit(main())
