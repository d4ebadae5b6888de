"""What `qmcp-admin check` looks at beside qmcp's own files: units, sockets, folders, the disk, the clock and the release."""

import os
import pwd
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from spec import LIMITS

Row = tuple[str, str, str]  # what is wrong, where, and the fix
# They have to run; the last two are the platform's.
RUNNING = (
    *("qmcpd.service", "qmcpd.socket", "qmcp-refresh.path", "qmcp-expire.timer", "qmcp-reap.timer"),
    *("qubesd.service", "qubes-qrexec-policy-daemon.service"),
)
# They end; the last time has to have been a success.
ENDING = ("qmcp-expire.service", "qmcp-reap.service", "qmcp-refresh.service")
# Those whose qubesd the tests know.
RELEASES = ("4.2", "4.3", "4.4")


def problems(root: Path) -> Iterator[Row]:
    yield from release(root)
    if root != Path("/"):
        return  # nothing says what runs there
    words = ["systemctl", "show", "--no-pager", "-p", "Id,LoadState,ActiveState,Result"]
    shown = subprocess.run([*words, *RUNNING, *ENDING], check=False, capture_output=True, text=True)
    yield from units(shown.stdout)
    if not Path("/run/qmcp/qmcpd.sock").is_socket():
        yield (
            "is no socket: no call arrives",
            "run/qmcp/qmcpd.sock",
            "systemctl restart qmcpd.socket",
        )
    yield from folders(root)
    yield from clock(root)


def release(root: Path) -> Iterator[Row]:
    path = root / "etc/qubes-release"
    found = re.search(r"\d+\.\d+", path.read_text(encoding="utf-8")) if path.exists() else None
    if found and found[0] not in RELEASES:
        fix = "read the changelog of a newer qmcp before you rely on it"
        yield f"is {found[0]}; qmcp was tested with {', '.join(RELEASES)}", "etc/qubes-release", fix


def units(shown: str) -> Iterator[Row]:
    """From what `systemctl show` prints: a block of lines for each."""
    for block in shown.strip().split("\n\n"):
        lines = [line.partition("=") for line in block.splitlines()]
        unit = {key: value for key, _, value in lines}
        name, load, active = (unit.get(key, "") for key in ("Id", "LoadState", "ActiveState"))
        if load == "masked":
            yield "is masked", name, f"systemctl unmask --now {name}"
        elif load != "loaded":
            yield f"is not installed ({load})", name, "qmcp-dom0 install, with the same bundle"
        elif name in RUNNING and active not in ("active", "activating"):
            yield f"does not run ({active}, {unit['Result']})", name, f"systemctl status {name}"
        elif name in ENDING and unit["Result"] != "success":
            yield f"failed the last time ({unit['Result']})", name, f"systemctl status {name}"


def folders(root: Path) -> Iterator[Row]:
    """qmcpd has to be able to write its journal and its log, and needs room there for a change."""
    again = "systemd-tmpfiles --create /usr/lib/tmpfiles.d/qmcp.conf; systemctl restart qmcpd"
    try:
        account = pwd.getpwnam("qmcpd")
    except KeyError:
        yield "has no account qmcpd", "etc/passwd", "systemd-sysusers /usr/lib/sysusers.d/qmcp.conf"
        return
    for path, mode in (("var/lib/qmcp/journal", 0o300), ("var/log/qmcp", 0o030)):
        if not (root / path).is_dir():
            yield "does not exist", path, again
            continue
        status, disk = (root / path).stat(), os.statvfs(root / path)
        owner = (
            status.st_uid == account.pw_uid if mode == 0o300 else status.st_gid == account.pw_gid
        )
        if not owner or status.st_mode & mode != mode or disk.f_flag & os.ST_RDONLY:
            yield "cannot be written by qmcpd: no change is made", path, again
        if (free := disk.f_bavail * disk.f_frsize) < LIMITS.check_free_bytes:
            what = f"has {free} bytes of disk left: without room no change is made"
            yield what, path, "remove files from that disk"


def clock(root: Path) -> Iterator[Row]:
    log = root / "var/log/qmcp/audit.log"
    if log.exists() and log.stat().st_mtime > time.time() + 60:
        what = "was written later than now: the clock went back"
        yield what, "var/log/qmcp/audit.log", "timedatectl; set the clock"
    if not (root / "etc/localtime").exists():
        what = "does not exist: qmcp-admin shows times in UTC"
        yield what, "etc/localtime", "timedatectl set-timezone ZONE"
