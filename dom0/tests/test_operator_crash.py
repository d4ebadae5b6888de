"""Every command of the operator, killed before each of its effects on files and on qubesd: the host is then at most as open as
before or as after, `check` names what is half done, and the same command again finishes it."""

import json
import os
import random
import secrets
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

from policy.rules import Policy, Verdict, concerning, decide
from qmcpd import audit
from settings import config, contracts

from .host import DOM0, Dom0, Killed

START, RUN, COPY = "qmcp.spawn.Start", "qmcp.exec.Run", "qubes.Filecopy"
# What the platform's own policy lets every qube do that no line closes.
DEFAULTS = "qubes.VMShell * @anyvm @dispvm allow\nadmin.vm.Other * @anyvm @adminvm deny\n"
WRITES = ("tag", "untag", "put", "halt", "remove", "change_power")
EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "open")
WRITING = 0o1101  # O_WRONLY, O_CREAT, O_TRUNC

# Each command that changes something, with what is done first. A name in braces is a file of the host.
SWEPT = {
    "enroll vault --world ai --tier net": [],
    "enroll vault --world ai --tier exec --for 1h": [],
    "enroll half --world ai --tier exec": [],
    "tier work full": [],
    "tier work read": [],
    "tier work full --for 1h": [],
    "guard work": [],
    "guard guarded --off": [],
    "manage work --tier net --guard on --egress-lock on --sink on": [],
    "manage guarded --tier exec --guard off --sink on": [],
    "expel work": [],
    "expel running": [],
    "expel guarded": [],
    "expel gone": [],
    "expel net": [],
    "restore gone": [],
    "reap": [],
    "expire --all": ["tier work full --for 1h", "enroll vault --world ai --tier net --for 1h"],
    "freeze": [],
    "freeze ai --pause --cut": [],
    "freeze --kill": [],
    "thaw": ["freeze --pause --cut"],
    "thaw ai": ["freeze ai --pause --cut"],
    "contract install {start} {run}": [],
    "contract remove qmcp.spawn.Start qmcp.exec.Run": [],
    "policy install": [],
    "policy install --frozen": ["freeze"],
    "gateway add sys-vpn --world ai": [],
    "gateway change sys-ai-net --world ai --label home": [],
    "gateway remove sys-vpn --world ai": ["gateway add sys-vpn --world ai"],
    "ask destroy": [],
    "ask exec --qube work": ["ask destroy"],
    "ask destroy --off": ["ask destroy"],
    "plan approve {plan}": [],
    "plan reject {plan}": [],
    "plan revoke {plan}": ["plan approve {plan}"],
}
# They change nothing.
READ = {
    *("status", "world", "check", "watch", "tombstones", "contract list", "contract review"),
    *("policy render", "policy lint", "plan list", "plan show", "gateway list"),
    *("audit tail", "audit show", "audit verify", "audit report"),
}


MANY = 10_000
# A command is killed at a share of its points, drawn anew in every run; with QMCP_SWEEP=all, at all of them.
STRIDE = 1 if os.environ.get("QMCP_SWEEP") == "all" else 6
SEED = int(os.environ.get("QMCP_SEED", random.randrange(2**31)))


Things = list[tuple[str, object]]  # all there is, by name
Openness = dict[str, set[str]]  # qube or service → what is possible with it


class Effects:
    """Counts the effects of this process below a folder, and ends it before one of them: from then on it has none."""

    def __init__(self) -> None:
        self.below: str | None = None
        self.left = 0
        sys.addaudithook(self._file)

    def _file(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.below is None or event not in EVENTS:
            return
        path = arguments[1] if event == "os.symlink" else arguments[0]
        reads = event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING)
        if not reads and str(path).startswith(self.below) and "/log/" not in str(path):
            self.happens()

    def happens(self) -> None:
        if self.below is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


EFFECTS = Effects()


class Sweep(Dom0):
    def setUp(self) -> None:
        EFFECTS.below = None
        super().setUp()
        host = self.qubesd
        host.states["work"] = "Halted"
        host.add("running", "ai-managed", "ai-full", state="Running", netvm="sys-ai-net")
        host.add("guarded", "ai-managed", "ai-net", "ai-guard", "ai-egress-lock")
        host.add("half", "ai-exec", "ai-guard")
        host.add("net", "ai-managed", "ai-net", state="Running", provides_network="True")
        host.add("gone", "ai-managed", "ai-exec", "ai-tombstone")
        host.qubes["gone"][1]["qmcp-entombed"] = "1000000000"
        host.states["mcp-control"] = "Running"
        host.qubes["work"].properties["uuid"] = "uuid-of-work"
        self.plan = self.add_plan({"qube": "work", "command": "rm -r /tmp/old"})
        host.add("sys-vpn", provides_network="True", netvm="sys-ai-net")
        (self.root / "etc/qubes/policy.d/90-default.policy").write_text(DEFAULTS)
        for service in (START, RUN):
            text = (DOM0 / f"contracts/{service}.json").read_text()
            text = text.replace('"capability": "exec"', '"capability": "net"')
            (self.root / f"{service}.json").write_text(text)
        for method in WRITES:
            self._counted(host, method)
        clock = mock.patch("time.clock_gettime", lambda clock: 1_000_000.0)
        clock.start()
        self.addCleanup(clock.stop)
        self._counted(audit.AuditLog, "append")
        # An approval has the same key in every run; names of files stay apart.
        drawn = secrets.token_hex
        keys = mock.patch("secrets.token_hex", lambda size=None: drawn(size) if size else "0" * 64)
        keys.start()
        self.addCleanup(keys.stop)
        # Whether the policy keeps its claims is not in question here, and costs most.
        patch = mock.patch("policy_admin.findings", return_value=[])
        patch.start()
        self.addCleanup(patch.stop)

    def _counted(self, of: object, method: str) -> None:
        original = getattr(of, method)

        def counted(*arguments: Any, **options: Any) -> Any:
            EFFECTS.happens()
            return original(*arguments, **options)

        patch = mock.patch.object(of, method, counted)
        patch.start()
        self.addCleanup(patch.stop)

    def prepared(self, command: str) -> None:
        self.doCleanups()
        self.setUp()
        for words in SWEPT[command]:
            self.assertEqual(self.admin(*words.format(plan=self.plan).split(), "--yes")[0], 0)
        if command == "policy install --frozen":
            toml = self.root / "etc/qmcp/qmcp.toml"
            toml.write_text(
                toml.read_text() + '\n[world.ai.principal.mcp-two]\nplugins = ["exec"]\n'
            )
            self.qubesd.add("mcp-two", state="Running")
        elif command == "policy install":
            self.policy.write_text(self.policy.read_text().replace("@tag:ai-guard ", "@tag:none "))

    def words(self, command: str) -> list[str]:
        files = {
            "start": self.root / f"{START}.json",
            "run": self.root / f"{RUN}.json",
            "plan": self.plan,
        }
        return [*command.removesuffix(" --frozen").format(**files).split(), "--yes"]

    def killed(self, command: str, left: int) -> bool:
        """Whether it came to that."""
        EFFECTS.left, EFFECTS.below = left, str(self.root)
        try:
            self.admin(*self.words(command))
        except Killed:
            return True
        finally:
            EFFECTS.below = None
        return False

    def truth(self) -> Things:
        """All there is, without drafts that nothing reads, and without names and times that are drawn anew."""
        files, links, qubes = self.everything()
        there = [
            (str((path.parent if path.suffix == ".intent" else path).relative_to(self.root)), data)
            for path, data in files.items()
            if path.suffix != ".draft"
        ]
        links = {str(path.relative_to(self.root)): str(target) for path, target in links.items()}
        return [*sorted(there), *sorted(links.items()), *sorted(qubes.items())]

    def openness(self) -> Openness:
        """By the kernel, by the policy, and what runs."""
        host, root = self.qubesd, self.root
        system: dict[str, dict[str, object]] = {
            name: {
                "type": host.classes[name],
                "tags": tags,
                "power_state": "Running",
                "default_dispvm": "dvm",
            }
            for name, (tags, _, _) in host.qubes.items()
        }
        system["dvm"] = {"type": "AppVM", "tags": set(), "template_for_dispvms": True}
        found: Openness = {name: set() for name in [*system, "dom0", "@dispvm"]}
        worlds = config.load(root / "etc/qmcp/qmcp.toml").worlds.values()
        installed, rules = contracts.load(root / "etc/qmcp/contracts")[0], Policy(root).rules
        frozen = any((root / "var/lib/qmcp/frozen").glob("*"))
        running = [name for name, state in host.states.items() if state == "Running"]

        def decided(service: str, source: str, target: str) -> Verdict:
            here = concerning(rules, system, service, "", source)
            return decide(here, system, source, target)

        for source in running:
            for service in (RUN, COPY, "qubes.VMShell"):
                for target in [*host.qubes, "@dispvm"]:
                    if decided(service, source, target).action == "allow":
                        found[target].add(f"{service} from {source}")
        for world in worlds:
            for principal in world.principals:
                for service, contract in installed.items():
                    linked = (root / "etc/qubes-rpc" / service).is_symlink() and not frozen
                    for name, (tags, _, _) in host.qubes.items() if linked else ():
                        reach = world.reach(host.classes[name], frozenset(tags))
                        need = contract.target and contract.target["capability"]
                        asks = decided(service, principal, name).to == "dom0"
                        if need and asks and reach and reach in self.at_least(need):
                            found[name].add(f"{service} by {principal}")
                    if linked and decided(service, principal, "@adminvm").action == "allow":
                        found["dom0"].add(f"{service} by {principal}")
            for name, (tags, _, _) in host.qubes.items():
                reach = world.reach(host.classes[name], frozenset(tags))
                found[name].update(f"reach {one}" for one in self.up_to(reach))
        for name in running:
            found[name].update(("runs", f"network {host.qubes[name][2]['netvm']}"))
            found[name].discard("network ")
        return found

    def at_least(self, tier: str) -> tuple[str, ...]:
        return ("read", "exec", "net", "full")[("read", "exec", "net", "full").index(tier) :]

    def up_to(self, tier: str | None) -> tuple[str, ...]:
        tiers = ("read", "exec", "net", "full")
        return tiers[: tiers.index(tier) + 1] if tier else ()

    def problems(self) -> set[str]:
        return {json.dumps(row, sort_keys=True) for row in self.json("check")[1]}


class KilledBeforeEachEffect(Sweep):
    def test_every_command_that_changes_something_is_swept(self) -> None:
        import verbs

        swept = {command.split(" -")[0] for command in SWEPT}
        missing = [
            verb
            for verb in verbs.TABLE["verb"]
            if verb not in READ and not any(f"{one} ".startswith(f"{verb} ") for one in swept)
        ]
        self.assertEqual(missing, [])

    def test_a_command_leaves_the_host_at_most_as_open_as_before_or_after_and_again_it_finishes(
        self,
    ) -> None:
        points: dict[str, int] = {}
        wrong: list[str] = []
        for command in SWEPT:
            self.prepared(command)
            before = self.truth(), self.openness(), self.problems()
            self.assertFalse(self.killed(command, MANY), command)
            after = self.truth(), self.openness()
            self.assertFalse(after[0] == before[0], command)
            points[command] = MANY - EFFECTS.left
            for left in range(SEED % STRIDE, points[command], STRIDE):
                self.prepared(command)
                self.assertTrue(self.killed(command, left), command)
                wrong += [
                    f"{command}, {left}: {why}" for why in self.judged(command, before, after)
                ]
        print(f"operator's commands: 1 of {STRIDE} of {sum(points.values())} points, seed {SEED}")
        self.assertFalse(wrong, "\n".join(wrong))
        self.assertGreater(min(points.values()), 2)

    def judged(
        self,
        command: str,
        before: tuple[Things, Openness, set[str]],
        after: tuple[Things, Openness],
    ) -> Iterator[str]:
        for name, has in self.openness().items():
            more = [has - opened.get(name, set()) for opened in (before[1], after[1])]
            if all(more):
                yield f"{name} has {more}"
        if self.truth() not in (before[0], after[0]) and not self.problems() - before[2]:
            yield "check names nothing"
        code, printed = self.admin(*self.words(command))
        if code != (1 if command == "expel net" else 0):
            yield f"again, it fails: {code} {printed}"
        left = [one for one in self.truth() if one not in after[0]]
        if left or len(self.truth()) != len(after[0]):
            yield f"again, it leaves {left}"
        if code == 0 and any("was interrupted, or failed" in one for one in self.problems()):
            yield "again, check still names it"
