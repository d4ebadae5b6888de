import ast
import re
import unittest
from collections.abc import Iterator
from pathlib import Path

import spec
from tests.test_size import programs

DOM0 = Path(__file__).parent.parent
# The installer has to run when the rest of a version is missing or half replaced, so it reads nothing of it.
SOURCES = [
    path
    for folder in ("qmcpd", "settings", "policy", "operator")
    for path in programs(DOM0 / folder)
]
SPACES = ("LIMITS", "NAMES", "REFUSAL", "FEATURE", "SERVICE")

# Words of the spec that mean something else where they are.
OTHER_MEANING = {
    ("operator/check.py", "frozen"): "the state of a world",
    ("operator/watching.py", "frozen"): "the state of a world",
    ("operator/worlds.py", "frozen"): "the state of a world",
    ("policy/claims.py", "default_dispvm"): "a key of what the policy daemon knows of a qube",
    ("policy/rules.py", "default_dispvm"): "a key of what the policy daemon knows of a qube",
    ("operator/plan_words.py", "read"): "an effect",
    ("qmcpd/plans.py", "failed"): "the state of a plan, and of its step",
    ("qmcpd/steps.py", "read"): "a step",
    ("settings/contracts.py", "read"): "an effect",
}
# Numbers that bound nothing: units of time, the greatest port, columns of texts in a format of somebody else's.
UNITS = {60, 3600, 86400}
NO_LIMIT = {
    ("operator/answer.py", 12): "characters of the narrowest column",
    ("operator/verbs.py", 130): "the exit code of an interrupted command",
    ("operator/answer.py", 31): "a colour",
    ("operator/answer.py", 32): "a colour",
    ("operator/answer.py", 33): "a colour",
    ("operator/audit_report.py", 19): "characters of a time in the log",
    ("operator/audit_view.py", 1e6): "microseconds in a second",
    ("operator/grants.py", 43200): "half a day: a time within it is shown without its date",
    ("operator/plan_words.py", 96): "characters of a script on one line of a page",
    ("operator/worlds.py", 30): "a power of two: GiB",
    ("policy/rules.py", 13): "characters of a token",
    ("settings/rules.py", 65535): "the greatest port",
    ("qmcpd/__main__.py", 0o117): "a file's mode",
    ("qmcpd/audit.py", 64): "hexadecimal digits of a hash",
}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def docstrings(of: ast.Module) -> set[ast.expr]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.body[0].value
        for node in ast.walk(of)
        if isinstance(node, kinds)
        and ast.get_docstring(node, clean=False) is not None
        and isinstance(node.body[0], ast.Expr)
    }


def constants(path: Path) -> Iterator[tuple[int, object]]:
    """The literals of a program, without its docstrings. A mode of a file is written with 0o, and is none."""
    of, text = tree(path), path.read_text(encoding="utf-8").split("\n")
    for node in ast.walk(of):
        if isinstance(node, ast.Constant) and node not in docstrings(of):
            octal = text[node.lineno - 1][node.col_offset :].startswith("0o")
            if not octal or node.value == 0o117:
                yield node.lineno, node.value


def words() -> set[str]:
    """Every word that the spec says and nothing else in dom0 may."""
    services = vars(spec.SERVICE).values()
    return {
        *spec.TIERS,
        *spec.NAMES.boot_services,
        *spec.NAMES.escape_hatches,
        *spec.NAMES.labels,
        *spec.NAMES.device_classes,
        *spec.REFUSALS,
        *vars(spec.FEATURE).values(),
        *services,
        spec.NAMES.out_of_scope,
        spec.NAMES.unknown_state,
    }


def fragments() -> set[str]:
    """What is left of the pattern of each tag without the names in it, where that is more than a hyphen."""
    parts = {part for tag in spec.TAGS.values() for part in re.split(r"\{\w+\}", tag["pattern"])}
    return {part for part in parts if len(part) > 1}


class OneTruth(unittest.TestCase):
    def test_no_program_of_dom0_says_a_name_of_the_spec_again(self) -> None:
        names, rows, found, excused = words(), {row["is"] for row in spec.MEMBERSHIP}, [], set()
        for path in SOURCES:
            where = path.relative_to(DOM0).as_posix()
            for line, value in constants(path):
                if not isinstance(value, str):
                    continue
                if (where, value) in OTHER_MEANING:
                    excused.add((where, value))
                elif value not in rows and (
                    value in names or any(part in value for part in fragments())
                ):
                    found.append(f"{where}:{line}: {value!r}")
        self.assertEqual(found, [])
        self.assertEqual(excused, set(OTHER_MEANING))

    def test_no_program_of_dom0_says_a_limit_again(self) -> None:
        found, excused = [], set()
        for path in SOURCES:
            where = path.relative_to(DOM0).as_posix()
            for line, value in constants(path):
                if not isinstance(value, (int, float)) or isinstance(value, bool):
                    continue
                if abs(value) < 10 or value in UNITS:
                    continue
                if (where, value) in NO_LIMIT:
                    excused.add((where, value))
                else:
                    found.append(f"{where}:{line}: {value}")
        self.assertEqual(found, [])
        self.assertEqual(excused, set(NO_LIMIT))

    def test_every_name_that_a_program_takes_from_the_spec_is_in_it(self) -> None:
        taken = 0
        for path in [*SOURCES, *(DOM0 / "tests").glob("*.py")]:
            for node in ast.walk(tree(path)):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id in SPACES
                ):
                    taken += 1
                    self.assertTrue(
                        hasattr(getattr(spec, node.value.id), node.attr),
                        f"{path}:{node.lineno}: {node.value.id}.{node.attr}",
                    )
        self.assertGreater(taken, 100)

    def test_every_tag_that_a_program_names_is_in_the_spec(self) -> None:
        named = set()
        for path in SOURCES:
            for node in ast.walk(tree(path)):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "tag"
                    and node.args
                    and isinstance(node.args[0], ast.Constant)
                ):
                    named.add(node.args[0].value)
        self.assertGreater(len(named), 3)
        self.assertLessEqual(named, set(spec.TAGS))

    def test_a_name_stands_for_one_thing(self) -> None:
        names = [set(group) for group in (spec.TYPES, vars(spec.NAMES), vars(spec.LIMITS))]
        names.append({"tiers", "least_tier", "settable"})
        self.assertEqual(sum(map(len, names)), len(set.union(*names)))

    def test_no_two_tags_of_a_world_are_the_same(self) -> None:
        tags = [
            tag["pattern"].format(world="ai", tier=tier, principal="ai")
            for role, tag in spec.TAGS.items()
            for tier in (spec.TIERS if "{tier}" in tag["pattern"] else [""])
        ]
        self.assertEqual(len(tags), len(set(tags)))


class Refusals(unittest.TestCase):
    def raised(self) -> Iterator[tuple[Path, ast.Call]]:
        for path in SOURCES:
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Refused":
                    yield path, node

    def test_every_refusal_has_a_code_of_the_spec_and_no_data_that_the_spec_does_not_allow_it(
        self,
    ) -> None:
        seen = set()
        for path, node in self.raised():
            codes = [
                one.attr.replace("_", "-")
                for one in ast.walk(node.args[0])
                if isinstance(one, ast.Attribute)
            ]
            self.assertTrue(codes, f"{path}:{node.lineno}")
            for code in codes:
                seen.add(code)
                data = {keyword.arg for keyword in node.keywords}
                self.assertLessEqual(
                    data, set(spec.REFUSALS[code]["data"]), f"{path}:{node.lineno}"
                )
        self.assertEqual(seen, set(spec.REFUSALS))


class Invariants(unittest.TestCase):
    def test_each_is_enforced_by_lines_in_the_very_files_that_the_spec_names(self) -> None:
        marked = {identity: set() for identity in spec.INVARIANTS}
        for path in [*SOURCES, *(DOM0 / "spec").glob("*.toml")]:
            for identity in re.findall(
                r"# INVARIANT ([a-z]+\.[a-z-]+)", path.read_text(encoding="utf-8")
            ):
                marked[identity].add(path.relative_to(DOM0).as_posix())
        self.assertEqual(
            {identity: sorted(files) for identity, files in marked.items()},
            {identity: one["lines_in"] for identity, one in spec.INVARIANTS.items()},
        )


class Steps(unittest.TestCase):
    def test_each_is_carried_out_by_something(self) -> None:
        from qmcpd.steps import RUN

        self.assertEqual(set(RUN), set(spec.STEPS))

    def test_each_argument_has_a_type_that_there_is(self) -> None:
        for name, step in spec.STEPS.items():
            for argument, kind in step["arguments"].items():
                if not isinstance(kind, list):
                    kinds = {"new", "qube", "source", "removed", *spec.TYPES}
                    self.assertIn(kind, kinds, f"{name}.{argument}")

    def test_no_set_of_methods_is_left_as_a_name(self) -> None:
        for name, step in spec.STEPS.items():
            for method in step["methods"]:
                self.assertTrue(method.startswith("admin."), f"{name}: {method}")
                self.assertNotIn("{", method)
