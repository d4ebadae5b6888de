"""A dom0 in a directory, and a qubesd that remembers: enough of both for qmcp-admin, and as fast as a function call."""

import contextlib
import io
import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from policy.generate import generate
from qmcpd import plans, qubesd
from qmcpd.audit import AuditLog
from settings import config, contracts
from settings.config import Json
from spec import NAMES

DOM0 = Path(__file__).parent.parent
# Seconds, since 1970 or since the boot, that no test reaches.
LATER = 4_000_000_000
sys.path.append(str(DOM0 / "operator"))

import verbs  # noqa: E402

Code = int | str | None  # of a command: its exit code, or the message that it stops with
Outcome = tuple[Code, str]  # with what was printed
Facts = tuple[tuple[str, str], ...]
Truth = tuple[frozenset[str], Facts, Facts, str | None]  # tags, features, properties, state


class Qube(NamedTuple):
    tags: set[str]
    features: dict[str, str]
    properties: dict[str, str]


class Killed(BaseException):
    """kill -9, in the middle."""


class Qubesd:
    """`states`, `classes`: of those that are not halted, or no AppVM. `left`: calls until it is killed, before that call has an
    effect."""

    def __init__(self) -> None:
        self.qubes: dict[str, Qube] = {}
        self.left: int | None = None
        self.calls = 0
        self.states: dict[str, str] = {}
        self.classes: dict[str, str] = {}
        self.defaults: dict[str, str] = {}

    def add(
        self, name: str, *tags: str, state: str = "Halted", klass: str = "AppVM", **properties: str
    ) -> None:
        values = {"netvm": "", "provides_network": "False", **properties}
        self.qubes[name] = Qube(set(tags), {}, values)
        self.states[name], self.classes[name] = state, klass

    def truth(self) -> dict[str, Truth]:
        return {
            name: (
                frozenset(tags),
                tuple(sorted(features.items())),
                tuple(sorted(properties.items())),
                self.states.get(name),
            )
            for name, (tags, features, properties) in self.qubes.items()
        }

    def _called(self) -> None:
        self.calls += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed

    async def list(self, name: str | None = None) -> dict[str, tuple[str, str]]:
        self._called()
        return {
            one: (self.classes.get(one, "AppVM"), self.states.get(one, "Halted"))
            for one in self.qubes
            if name in (None, "dom0", one)
        }

    async def tags(self, name: str) -> frozenset[str] | None:
        self._called()
        return frozenset(self.qubes[name][0]) if name in self.qubes else None

    async def listed(self, name: str) -> dict[str, tuple[str, str, str]]:
        return {one: (*words, "") for one, words in (await self.list(name)).items()}

    look, state = qubesd.Qubesd.look, qubesd.Qubesd.state

    async def get(self, name: str, kind: str, key: str = "") -> str | None:
        self._called()
        return self.qubes[name][1].get(key)

    async def inherited(self, name: str, feature: str) -> str:
        self._called()
        return self.qubes[name].features.get(feature, "") if name in self.qubes else ""

    async def put(self, name: str, kind: str, key: str, value: str | None) -> None:
        self._called()
        qube = self.qubes[name]
        written = qube.properties if kind == "property" else qube.features
        written.pop(key, None)
        written.update({} if value is None else {key: value})

    async def tag(self, name: str, tag: str) -> None:
        self._called()
        self.qubes[name][0].add(tag)

    async def untag(self, name: str, tag: str) -> None:
        self._called()
        self.qubes[name][0].discard(tag)

    async def properties(
        self, name: str, method: str = "admin.vm.property.GetAll"
    ) -> dict[str, tuple[str, bool]]:
        self._called()
        if method == "admin.property.GetAll":
            return {key: (value, False) for key, value in self.defaults.items()}
        return {key: (value, False) for key, value in self.qubes[name][2].items()}

    async def volume(self, name: str, volume: str = "private") -> dict[str, str]:
        self._called()
        return {"size": "2147483648"}

    async def halt(self, name: str) -> None:
        self._called()
        self.states[name] = "Halted"

    async def change_power(self, method: str, name: str) -> bool:
        self._called()
        before, after = {"Pause": ("Running", "Paused"), "Unpause": ("Paused", "Running")}[method]
        possible = self.states[name] == before
        self.states[name] = after if possible else self.states[name]
        return possible

    async def remove(self, name: str) -> None:
        self._called()
        for of in (self.qubes, self.states, self.classes):
            of.pop(name, None)


class Dom0(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        for path in (
            "etc/qmcp",
            "etc/qubes/policy.d",
            "etc/qubes-rpc",
            "var/lib/qmcp",
            "var/log/qmcp",
        ):
            (self.root / path).mkdir(parents=True)
        shutil.copy(DOM0 / "qmcp.toml", self.root / "etc/qmcp")
        shutil.copytree(DOM0 / "contracts", self.root / "etc/qmcp/contracts")
        self.policy = self.root / "etc/qubes/policy.d/30-qmcp.policy"
        worlds, (installed, _) = (
            config.load(DOM0 / "qmcp.toml").worlds,
            contracts.load(DOM0 / "contracts"),
        )
        self.policy.write_text(generate(worlds, installed))
        for service in ("qmcp.Catalog", *installed):
            (self.root / "etc/qubes-rpc" / service).symlink_to("/run/qmcp/qmcpd.sock")
        AuditLog(self.root / "var/log/qmcp/audit.log")
        self.qubesd = Qubesd()
        self.qubesd.add("mcp-control")
        self.qubesd.qubes["mcp-control"][1]["tag-created-vm-with"] = "ai-managed"
        self.qubesd.add("sys-ai-net", provides_network="True")
        self.qubesd.qubes["sys-ai-net"][1]["qubes-firewall"] = "1"
        self.qubesd.add("work", "ai-managed", "ai-exec")
        self.qubesd.add("vault")
        for module in (
            "worlds",
            "membership",
            "grants",
            "check",
            "policy_admin",
            "freezing",
            "questions",
            "gateway_admin",
            "plan_admin",
        ):
            patch = mock.patch(f"{module}.open_qubesd", lambda root: self.qubesd)
            patch.start()
            self.addCleanup(patch.stop)

    def add_plan(self, *steps: Json, **more: Any) -> str:
        """A plan of the principal, as qmcpd keeps it. Returns its digest."""
        plan: Json = {
            "format": 1,
            "world": "ai",
            "principal": "mcp-control",
            "proposed": LATER,
            "nonce": "0",
            "title": "Tidy up",
            "reason": "It is full.",
            "steps": list(steps),
        } | more
        found = {one: self.recorded(one) for one in self.qubesd.qubes}
        record = {"plan": plan, "found": found, "steps": ["waiting"] * len(steps), "born": {}}
        plans.Plans(self.root).write(record)
        return plans.name_of(record)

    def approve(self, digest: str) -> None:
        """As `qmcp-admin plan approve` leaves it, for a plan that names no qube."""
        decisions, marks = self.root / plans.DECISIONS, self.root / plans.IN_FORCE
        for directory in (decisions, marks):
            directory.mkdir(parents=True, exist_ok=True)
        decision = {"decision": "approved", "over": LATER, "qubes": {}, "requests": {}}
        (decisions / f"{digest}.json").write_text(json.dumps(decision))
        (marks / digest).touch()

    def recorded(self, name: str) -> Json:
        tags, _, properties = self.qubesd.qubes[name]
        about = {key: properties.get(key, "") for key in NAMES.plan_properties}
        named = {"uuid": properties.get("uuid", ""), "class": self.qubesd.classes[name]}
        return named | {"tags": sorted(tags)} | about

    def tags(self, name: str = "work") -> set[str]:
        return set(self.qubesd.qubes[name][0])

    def admin(self, *words: str | Path) -> Outcome:
        """`(exit code or message, what was printed)`."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            try:
                code = verbs.main(["--root", str(self.root), *map(str, words)])
            except SystemExit as stop:
                code = stop.code
        return code, printed.getvalue()

    def json(self, *words: str | Path) -> tuple[Code, Any]:
        code, printed = self.admin(*words, "--json")
        return code, json.loads(printed)

    def everything(self) -> tuple[dict[Path, bytes], dict[Path, Path], dict[str, Truth]]:
        """All there is to change: files with what is in them, links, and qubes. Not the log, and not an empty folder."""
        there = [path for path in sorted(self.root.rglob("*")) if "log" not in path.parts]
        files = {
            path: path.read_bytes() for path in there if path.is_file() and not path.is_symlink()
        }
        return (
            files,
            {path: path.readlink() for path in there if path.is_symlink()},
            self.qubesd.truth(),
        )
