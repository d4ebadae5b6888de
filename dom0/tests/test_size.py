import ast
import io
import tempfile
import tokenize
import unittest
from pathlib import Path

DOM0 = Path(__file__).parent.parent
# Lines of code, that is, without blank ones, comments and docstrings.
BOUNDS = {"qmcpd": 1200, "operator": 900, "policy": 350, "settings": 300, "packaging": 330}
FILE = 300
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}


def code(path):
    """How many lines of code a file of Python has."""
    source = path.read_bytes()
    documented = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node) is not None:
            documented.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = set()
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - documented)


def programs(folder):
    """The files of Python in it, whatever their names are."""
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [path for path in files if path.suffix == ".py" or path.read_bytes()[:64].startswith(b"#!/usr/bin/python3")]


class Size(unittest.TestCase):
    def test_what_dom0_runs_is_small_enough_to_be_read(self):
        for part, bound in BOUNDS.items():
            files = programs(DOM0 / part)
            self.assertTrue(files, part)
            self.assertLess(sum(map(code, files)), bound, part)

    def test_no_file_is_longer_than_a_few_screens(self):
        for path in programs(DOM0):
            if "tests" not in path.parts:
                self.assertLessEqual(code(path), FILE, path)

    def test_lines_are_counted_as_they_are_said_to_be(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "a.py"
            path.write_text('"""Doc\n\nof three."""\n\n# why\nx = """a\n\nb"""  # two\n\ndef f():\n    """Doc."""\n    return (\n        1,\n    )\n')
            self.assertEqual(code(path), 7)
