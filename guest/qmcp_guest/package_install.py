"""qmcp.exec.PackageInstall: packages by the distribution's own means, as root; its output as it comes, its end in band."""

import re
import shutil
import sys
import time

from . import process
from .generated import limits
from .service import REQUIRED, Problem, fields, is_text, main, whole

# A name and nothing else: no option, no version, no file, and not apt's `name-`, which takes a package out.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*[A-Za-z0-9+]")

# What each runs, in this order. Only the last one's end counts: a list that cannot be fetched anew may still do.
MANAGERS = {
    "apt-get": (
        ["-q", "update"],
        # Without the first, a name with a dot in it that is no package is a pattern.
        ["-o", "APT::Cmd::Pattern-Only=true", "-o", "Dpkg::Use-Pty=0", "-q", "-y", "install"],
    ),
    "dnf": (["-y", "install"],),
    "pacman": (["-Sy", "--noconfirm", "--needed", "--noprogressbar"],),
}
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "a"}


def are_names(value):
    return (
        isinstance(value, list)
        and 0 < len(value) <= limits.PACKAGES
        and all(map(_is_package, value))
    )


def _is_package(value):
    return (
        is_text(value)
        and 1 < len(value) <= limits.PACKAGE_NAME
        and NAME.fullmatch(value) is not None
    )


def install(request, received, frames):
    packages, timeout = fields(
        request,
        packages=(are_names, REQUIRED),
        timeout=(whole(1, limits.COMMAND_SECONDS), limits.DEFAULT_INSTALL_SECONDS),
    )
    deadline = time.monotonic() + timeout
    manager = next(filter(shutil.which, MANAGERS), None)
    if manager is None:
        raise Problem("no-package-manager")
    program, calls = shutil.which(manager), MANAGERS[manager]
    for at, words in enumerate(calls):
        last = at == len(calls) - 1
        try:
            running = process.start(
                [program, *words, *(packages if last else ())], "/", QUIET, "root"
            )
        except process.CannotStart:
            raise Problem("access-denied") from None
        result = process.run(running, frames, deadline, received)
        if result["timed_out"]:
            break
    return {"manager": manager, **result}


if __name__ == "__main__":
    sys.exit(main(install))
