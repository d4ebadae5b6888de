"""What `qmcp-admin check` says of the machine. test/system runs it on one with systemd."""

import os
import sys
import tempfile
import unittest
from collections import namedtuple
from pathlib import Path
from unittest import mock

sys.path.append(str(Path(__file__).parent.parent / "operator"))
import machine

from .host import Dom0

GUEST = (
    *(f"qmcp.exec.{name}" for name in ("FileCopy", "FileList", "FileRead", "FileWrite")),
    *(f"qmcp.exec.{name}" for name in ("Output", "PackageInstall", "Run", "Stop")),
    "qmcp.plan.Approved",
)
Account = namedtuple("Account", "pw_uid pw_gid")


def shown(name: str, load: str = "loaded", active: str = "active", result: str = "success") -> str:
    return f"Result={result}\nId={name}\nLoadState={load}\nActiveState={active}\n"


class Units(unittest.TestCase):
    def found(self, *blocks: str) -> list[tuple[str, str]]:
        return [(what, where) for what, where, _ in machine.units("\n".join(blocks))]

    def test_units_that_run_and_those_that_ended_well_are_no_problem(self) -> None:
        ended = shown("qmcp-reap.service", active="inactive")
        self.assertEqual(self.found(shown("qmcpd.service"), ended), [])

    def test_a_unit_that_is_masked_missing_or_down_is_named_with_the_reason(self) -> None:
        self.assertEqual(
            self.found(
                shown("qmcpd.socket", load="masked", active="inactive"),
                shown("qmcp-refresh.path", load="not-found", active="inactive"),
                shown("qmcpd.service", active="failed", result="exit-code"),
                shown("qmcp-expire.service", active="failed", result="timeout"),
            ),
            [
                ("is masked", "qmcpd.socket"),
                ("is not installed (not-found)", "qmcp-refresh.path"),
                ("does not run (failed, exit-code)", "qmcpd.service"),
                ("failed the last time (timeout)", "qmcp-expire.service"),
            ],
        )


class Files(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        for path in ("etc", "var/lib/qmcp/journal", "var/log/qmcp"):
            (self.root / path).mkdir(parents=True)
        (self.root / "var/log/qmcp").chmod(0o770)
        (self.root / "etc/localtime").touch()

    def folders(self, uid: int | None = None) -> list[str]:
        account = Account(os.getuid() if uid is None else uid, os.getgid())
        with mock.patch("pwd.getpwnam", lambda _: account):
            return [f"{where} {what}" for what, where, _ in machine.folders(self.root)]

    def test_a_folder_that_qmcpd_cannot_write_is_named(self) -> None:
        self.assertEqual(self.folders(), [])
        cannot = "cannot be written by qmcpd: no change is made"
        self.assertEqual(self.folders(uid=12345), [f"var/lib/qmcp/journal {cannot}"])
        (self.root / "var/log/qmcp").chmod(0o700)
        self.assertEqual(self.folders(), [f"var/log/qmcp {cannot}"])
        (self.root / "var/log/qmcp").rmdir()
        self.assertEqual(self.folders(), ["var/log/qmcp does not exist"])

    def test_a_disk_that_is_nearly_full_is_named_with_what_is_left(self) -> None:
        full = mock.Mock(f_bavail=3 * 2**8, f_frsize=2**12, f_flag=0)
        with mock.patch("os.statvfs", return_value=full):
            found = self.folders()
        self.assertEqual(len(found), 2)
        self.assertRegex(found[0], "journal has 3145728 bytes of disk left")

    def test_a_clock_that_went_back_and_a_missing_time_zone_are_named(self) -> None:
        log = self.root / "var/log/qmcp/audit.log"
        log.touch()
        self.assertEqual(list(machine.clock(self.root)), [])
        os.utime(log, (4_000_000_000, 4_000_000_000))
        (self.root / "etc/localtime").unlink()
        whats = [what for what, _, _ in machine.clock(self.root)]
        self.assertRegex(whats[0], "the clock went back")
        self.assertRegex(whats[1], "times in UTC")

    def test_a_release_of_qubes_that_was_not_tested_is_named(self) -> None:
        path = self.root / "etc/qubes-release"
        for text, problems in (
            ("Qubes release 4.3 (R4.3)\n", 0),
            ("Qubes release 9.0 (R9.0)\n", 1),
        ):
            path.write_text(text)
            self.assertEqual(len(list(machine.release(self.root))), problems)


class Guests(Dom0):
    def test_a_qube_whose_template_reports_its_services_and_lacks_ours_is_named(self) -> None:
        self.qubesd.add("ai-work", "ai-managed", "ai-exec", state="Running")
        self.assertNotIn("lacks qmcp", self.admin("check")[1])
        self.qubesd.qubes["ai-work"].features["supported-rpc.qubes.Filecopy"] = "1"
        self.assertRegex(self.admin("check")[1], r"lacks qmcp\.exec\.\w+")
        for name in GUEST:
            self.qubesd.qubes["ai-work"].features[f"supported-rpc.{name}"] = "1"
        self.assertNotIn("lacks qmcp", self.admin("check")[1])


if __name__ == "__main__":
    unittest.main()
