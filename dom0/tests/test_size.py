import ast
import unittest
from pathlib import Path

DOM0 = Path(__file__).parent.parent
# Statements: what a reviewer has to read. Formatting changes no number here, and docstrings, comments and declarations of types cost
# nothing.
BOUNDS = {
    ("qmcpd", "settings", "spec"): 2182,
    ("operator",): 2259,
    ("policy",): 544,
    ("packaging",): 318,
    ("window",): 899,
}
FUNCTION = 30
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_type(node: ast.AST) -> bool:
    """Whether a statement only says what type a name has."""
    return isinstance(node, ast.AnnAssign) and node.value is None


def statements(tree: ast.AST) -> int:
    """How many statements there are below a node of the syntax tree, itself included, without docstrings and declarations of types."""
    documented = {
        node.body[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, *DEFINITIONS))
        and ast.get_docstring(node, clean=False) is not None
    }
    return sum(
        isinstance(node, ast.stmt) and node not in documented and not is_type(node)
        for node in ast.walk(tree)
    )


def programs(folder: Path) -> list[Path]:
    """The files of Python in it, whatever their names are."""
    files = [
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    return [
        path
        for path in files
        if path.suffix == ".py" or path.read_bytes()[:64].startswith(b"#!/usr/bin/python3")
    ]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


class Size(unittest.TestCase):
    def test_each_part_of_dom0_has_at_most_as_many_statements_as_its_bound(self) -> None:
        for parts, bound in BOUNDS.items():
            files = [path for part in parts for path in programs(DOM0 / part)]
            self.assertGreater(len(files), len(parts), parts)
            self.assertLessEqual(sum(statements(parsed(path)) for path in files), bound, parts)

    def test_no_function_of_dom0_has_more_statements_than_a_reader_can_hold(self) -> None:
        for path in programs(DOM0):
            if "tests" in path.parts:
                continue
            for node in ast.walk(parsed(path)):
                if isinstance(node, DEFINITIONS):
                    self.assertLessEqual(statements(node) - 1, FUNCTION, f"{path}: {node.name}")

    def test_statements_are_counted_without_docstrings_comments_and_layout(self) -> None:
        source = '"""Doc."""\n# why\nx = (\n    1,\n)\ndef f():\n    """Doc."""\n    if x:\n        return x\n    return 1; y = 2\n    z: int\n'
        self.assertEqual(statements(ast.parse(source)), 6)
