"""The qrexec policy of a host as qrexec reads it: what its files say, where they cannot be read, and what becomes of a call.
Held against verdicts recorded of the real engine by tests/test_policy_rules.py. Two things it does not know: relays of remote
qubes, and that a question with nothing to choose from is a denial."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spec import LIMITS

DIRECTORIES = (
    "run/qubes/policy.d",
    "etc/qubes/policy.d",
)  # a name in the first stands for the same name in the second
OLD = "etc/qubes-rpc/policy"  # one file a service, as before 4.1
ADMINVM = ("@adminvm", "dom0", "uuid:00000000-0000-0000-0000-000000000000")
FILE = re.compile(r"[a-z0-9_.-]+")
_SOURCE = r"@adminvm|@anyvm|@type:[^@].*|@tag:[^@].*|@dispvm:@tag:[^@].*|@dispvm:[^@].*|[^@].*"
COLUMNS = {
    "name of a service": re.compile(r"\*|[A-Za-z0-9._-]+"),
    "argument": re.compile(r"\*|\+[A-Za-z0-9._+-]*"),
    "source": re.compile(_SOURCE),
    "target": re.compile(rf"@default|@dispvm|{_SOURCE}"),
    "action: there are allow, ask and deny": re.compile("allow|ask|deny"),
}
_TO = r"target=(?:@adminvm|@dispvm|@dispvm:[^@].*|(?!\*$)[^@].*)"
_NOTIFY = "notify=(?:yes|no)"
PARAMETERS = {
    "deny": re.compile(_NOTIFY),
    "allow": re.compile(rf"{_TO}|user=.*|autostart=(?:yes|no)|{_NOTIFY}"),
    "ask": re.compile(rf"(?:default_)?{_TO}|user=.*|autostart=(?:yes|no)|{_NOTIFY}"),
}

# A host as the policy daemon has it: see `concerning`.
System = Mapping[str, Mapping[str, Any]]


class Rule(NamedTuple):
    service: str
    argument: str
    source: str
    target: str
    action: str
    given: dict  # parameter → value
    where: str  # FILE:LINE


class Policy:
    """`rules`, in the order they are tried. `problems`, `(where, what)`: while there is one, qrexec denies every call.
    `unread`: what is not followed here, though qrexec does."""

    def __init__(self, root: Path, instead: dict[str, str] | None = None) -> None:
        """`instead`: texts that stand for files of these names, there or not."""
        self.rules, self.problems, self.unread = [], [], []
        self._root, self._home, self._instead = root, root / DIRECTORIES[-1], instead or {}
        files = {name: self._home / name for name in self._instead}
        for directory in reversed(DIRECTORIES):
            files |= {path.name: path for path in _policies(root / directory)}
        for _, path in sorted(files.items()):
            self._file(path, 0)

    def _file(self, path: Path, depth: int, service: tuple[str, ...] = ()) -> None:
        """`service`: the two columns that a file of before 4.1 leaves out."""
        where = str(path).removeprefix(f"{self._root}/")
        if path.suffix == ".policy" and not FILE.fullmatch(path.name):
            self.problems.append((where, "a bad file name: it denies every call of this host"))
        try:
            text = (
                self._instead[path.name]
                if path.name in self._instead
                else path.read_text(encoding="utf-8")
            )
        except (OSError, ValueError) as error:
            self.problems.append((where, f"cannot be read: {error}"))
            return
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
            if service:
                line = line.replace("$include:", "!include ").replace("$", "@").replace(",", " ")
            if line.strip() and not line.lstrip().startswith("#"):
                problem = self._line(line.split(), f"{where}:{number}", depth, service)
                self.problems += [(f"{where}:{number}", problem)] if problem else []

    def _line(
        self, words: list[str], where: str, depth: int, service: tuple[str, ...]
    ) -> str | None:
        """What is wrong with it."""
        match words:
            case ["!include", path] if depth < LIMITS.policy_includes:
                self._file(self._home / path, depth + 1, service)
            case ["!include-service", name, argument, path] if (
                depth < LIMITS.policy_includes and not service
            ):
                self._file(self._home / path, depth + 1, (name, argument))
            case ["!include-dir", path] if (
                depth < LIMITS.policy_includes and not service and (self._home / path).is_dir()
            ):
                for each in _policies(self._home / path):
                    self._file(each, depth + 1)
            case ["!compat-4.0"] if not service:
                self.unread += [
                    (where, str(path))
                    for path in sorted((self._root / OLD).glob("*"))
                    if path.is_file()
                ]
            case [directive, *_] if directive.startswith("!"):
                return f"{' '.join(words)}: no such directive here"
            case _:
                return self._rule([*service, *words], where)
        return None

    def _rule(self, words: list[str], where: str) -> str | None:
        if len(words) < 5:
            return "a rule has at least five words: SERVICE ARGUMENT SOURCE TARGET ACTION"
        service, argument, source, target, action = words[:5]
        wrong = [
            f"{text} is no {kind}"
            for (kind, shape), text in zip(COLUMNS.items(), words, strict=False)
            if not shape.fullmatch(text)
        ]
        wrong += [
            f"{action} takes no {word}"
            for word in words[5:]
            if not wrong and not PARAMETERS[action].fullmatch(word)
        ]
        given = {key: value for key, _, value in (word.partition("=") for word in words[5:])}
        wrong += ["a parameter is given twice"] if len(given) < len(words[5:]) else []
        wrong += ["the service * takes the argument * only"] if service == "*" != argument else []
        wrong += (
            ["allow on @default needs target="]
            if (action, target) == ("allow", "@default") and "target" not in given
            else []
        )
        if not wrong:
            self.rules.append(Rule(service, argument, source, target, action, given, where))
        return wrong[0] if wrong else None


def _policies(directory: Path) -> list[Path]:
    return sorted(
        path
        for path in directory.glob("*.policy")
        if path.is_file() and not path.name.startswith(".")
    )


class Verdict(NamedTuple):
    action: str  # allow, ask or deny
    to: str | None  # where an allowed call arrives
    rule: Rule | None


def concerning(
    rules: list[Rule], system: System, service: str, argument: str, source: str
) -> list[Rule]:
    """The rules that decide of this source's calls of this service, without those after the ones that leave nothing to decide.
    `system`: name → `{type, tags, power_state, default_dispvm, template_for_dispvms}`, as the policy daemon has it. `argument`
    without its `+`."""
    found, left = [], {"@anyvm", "@adminvm"}
    for rule in rules:
        if (
            left
            and rule.service in ("*", service)
            and rule.argument in ("*", f"+{argument}")
            and matches(rule.source, source, system, source)
        ):
            found.append(rule)
            left.discard(rule.target)
    return found


def decide(rules: list[Rule], system: System, source: str, target: str) -> Verdict:
    """What becomes of a call that these rules concern: first match wins, no match is deny."""
    rule = None
    try:
        asked = _verified(system, target)
        rule = next(rule for rule in rules if matches(rule.target, asked, system, source))
        if rule.action != "deny":
            to = rule.given.get("target", asked)
            return Verdict(
                rule.action,
                to if rule.action == "ask" else _arrives(rule, system, source, to),
                rule,
            )
    except (LookupError, StopIteration):
        pass  # where the daemon stumbles, it denies
    return Verdict("deny", None, rule)


def _verified(system: System, target: str) -> str:
    """A name that does not exist is @default; a disposable of what is no template for them is nothing."""
    if target.startswith("@dispvm:") and not system[target[8:]].get("template_for_dispvms"):
        raise LookupError(target)
    return target if target in system or target.startswith("@") or target in ADMINVM else "@default"


def _arrives(rule: Rule, system: System, source: str, to: str) -> str:
    to = _verified(system, to)
    to = (
        "dom0"
        if to in ADMINVM
        else f"@dispvm:{system[source].get('default_dispvm')}"
        if to == "@dispvm"
        else to
    )
    there = to == "dom0" or to.removeprefix("@dispvm:") in system
    ready = to == "dom0" or (to in system and system[to].get("power_state", "Running") == "Running")
    if (
        to in ("@default", source)
        or not there
        or (not ready and rule.given.get("autostart") == "no")
    ):
        raise LookupError(to)
    return to


def matches(token: str, asked: str, system: System, source: str) -> bool:
    """Whether this word of a rule means what was asked for."""
    if asked == "@dispvm" and token.startswith("@dispvm:"):
        asked = f"@dispvm:{system[source].get('default_dispvm') or ''}"
        if asked == "@dispvm:" and not token.startswith("@dispvm:@tag:"):
            raise LookupError(token)
    qube = system.get(asked.removeprefix("@dispvm:"), {})
    if token.startswith("@dispvm:@tag:"):
        return (
            asked.startswith("@dispvm:")
            and bool(qube.get("template_for_dispvms"))
            and token[13:] in qube["tags"]
        )
    if token.startswith("@tag:"):
        return asked in system and token[5:] in qube["tags"]
    if token.startswith("@type:"):
        return asked in system and token[6:] == qube.get("type", "AppVM")
    if token == "@anyvm" or token in ADMINVM:
        return (asked in ADMINVM) == (token != "@anyvm")
    return token in ("*", asked)
