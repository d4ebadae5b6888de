"""qmcp.exec.PackageInstall: installs packages with the distribution's package manager, as root; sends its output as it comes,
then its exit code."""

from __future__ import annotations

import re
import shutil
import sys
import time
from typing import Any

from . import process
from .frames import Frames, Input
from .generated import limits
from .service import REQUIRED, Problem, Reply, Request, fields, integer, is_text, main

# A package's name only: no option, no version, no file, and not apt's `name-`, which removes a package.
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9+._-]*[A-Za-z0-9+])?")

# The commands of each, in order. Only the last exit code counts: an old package list may still be good enough.
MANAGERS = {
    "apt-get": (
        ["-q", "update"],
        # Without the first option, apt takes an unknown name with a dot in it for a pattern.
        ["-o", "APT::Cmd::Pattern-Only=true", "-o", "Dpkg::Use-Pty=0", "-q", "-y", "install"],
    ),
    "dnf": (["-y", "install"],),
    "pacman": (["-Sy", "--noconfirm", "--needed", "--noprogressbar"],),
}
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "a"}


def are_names(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= limits.PACKAGES
        and all(map(_is_package, value))
    )


def _is_package(value: Any) -> bool:
    return (
        is_text(value) and len(value) <= limits.PACKAGE_NAME and NAME.fullmatch(value) is not None
    )


def install(request: Request, received: Input, frames: Frames) -> Reply:
    packages, timeout = fields(
        request,
        packages=(are_names, REQUIRED),
        timeout=(integer(1, limits.COMMAND_SECONDS), limits.DEFAULT_INSTALL_SECONDS),
    )
    deadline = time.monotonic() + timeout
    manager, program = next(
        ((name, path) for name in MANAGERS if (path := shutil.which(name))), (None, None)
    )
    if manager is None or program is None:
        raise Problem("no-package-manager")
    *first, last = MANAGERS[manager]
    result: dict[str, Any] = {}
    for words in [*first, [*last, *packages]]:
        try:
            running = process.start([program, *words], "/", QUIET, "root")
        except process.CannotStart:
            raise Problem("access-denied") from None
        result = process.run(running, frames, deadline, received)
        if result["timed_out"]:
            break
    return {"manager": manager, **result}


if __name__ == "__main__":
    sys.exit(main(install))
