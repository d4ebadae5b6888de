"""Finds the lines of dom0 marked `# INVARIANT id`, and prints a mutation for each: one JSON object a line, with the text of the
file without what that line enforces.

    python3 scripts/teeth.py dom0

A mutation removes as little as leaves a valid program: an element of a row, a guard, a check, or the narrowing of a value. An
expression that the program needs is replaced by a neutral value.
"""

import ast
import io
import json
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

MARK = re.compile(r"# INVARIANT ([a-z]+(?:[.-][a-z]+)*)")
ENDS = (ast.Raise, ast.Return, ast.Continue, ast.Break)
EMPTY = {
    "sorted": "[]",
    "list": "[]",
    "tuple": "()",
    "set": "set()",
    "frozenset": "frozenset()",
    "dict": "{}",
}


def sources(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        if (
            path.is_dir()
            or "tests" in path.relative_to(folder).parts
            or "__pycache__" in path.parts
        ):
            continue
        text = path.read_bytes()
        program = text.startswith(b"#!") and b"python" in text.split(b"\n")[0]
        if path.suffix in (".py", ".toml") or program:
            yield path, text.decode("utf-8")


def marks_of_a_table(text: str) -> Iterator[tuple[int, str]]:
    """`(line, id)` of every mark in a file of TOML."""
    for number, line in enumerate(text.split("\n"), 1):
        yield from ((number, identity) for identity in MARK.findall(line))


def without_of_a_table(text: str, line: int) -> tuple[str, str]:
    """`(how, the text without what that line says)`: a key, or all of a table where its heading is marked."""
    lines = text.split("\n")
    end = line
    if lines[line - 1].startswith("["):
        while end < len(lines) and not lines[end].startswith("["):
            end += 1
    changed = "\n".join(lines[: line - 1] + lines[end:])
    tomllib.loads(changed)
    return ("key taken out" if end == line else "row taken out"), changed


def marks(text: str) -> Iterator[tuple[int, str]]:
    """`(line, id)` of every mark in a comment. A mark on a line of its own belongs to the next line."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            for identity in MARK.findall(token.string):
                yield token.start[0] + (not token.line[: token.start[1]].strip()), identity


class Text:
    """The lines of a source, in which a node can be replaced. The syntax tree counts columns in bytes."""

    def __init__(self, text: str) -> None:
        self.lines = [line.encode("utf-8") for line in text.split("\n")]

    def replaced(self, node: ast.expr | ast.stmt, words: str) -> str:
        first, last = node.lineno - 1, _last(node) - 1
        line = (
            self.lines[first][: node.col_offset]
            + words.encode("utf-8")
            + self.lines[last][node.end_col_offset :]
        )
        return self._joined([*self.lines[:first], line, *self.lines[last + 1 :]])

    def without(self, first: int, last: int) -> str:
        return self._joined(self.lines[: first - 1] + self.lines[last:])

    @staticmethod
    def _joined(lines: list[bytes]) -> str:
        return b"\n".join(lines).decode("utf-8")


def without(text: str, line: int) -> tuple[str, str]:
    """`(how, the text without what that line does)`: the first mutation that leaves a valid program."""
    tree, lines = ast.parse(text), Text(text)
    for how, changed in [*_as_element(tree, lines, line), *_as_statement(tree, lines, line)]:
        try:
            compile(changed, "dom0", "exec")
        except SyntaxError:
            continue
        return how, changed
    raise SystemExit(
        f"teeth: line {line} cannot be removed: {lines.lines[line - 1].decode().strip()}"
    )


def _as_element(tree: ast.Module, lines: Text, line: int) -> Iterator[tuple[str, str]]:
    """Mutations for a line that is one element of a row, or one operand of a condition that spans lines."""
    for node in ast.walk(tree):
        if getattr(node, "end_lineno", None) == getattr(node, "lineno", None):
            continue
        if isinstance(node, ast.BoolOp):
            for word in node.values:
                if word.lineno <= line <= _last(word) and word.lineno != node.values[0].lineno:
                    yield (
                        "condition taken out",
                        lines.replaced(word, str(isinstance(node.op, ast.And))),
                    )
        elements = (
            getattr(node, "elts", None)
            or getattr(node, "keywords", None)
            or getattr(node, "keys", None)
        )
        if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Call)) and elements:
            ends = node.values if isinstance(node, ast.Dict) else elements
            for first, last in zip(elements, ends, strict=True):
                if first is None or first.lineno != line or line <= node.lineno:
                    continue
                if not any(
                    _between(other, first.lineno, _last(last))
                    for other in elements
                    if other is not first
                ):
                    yield "element taken out", lines.without(first.lineno, _last(last))


def _between(node: ast.expr | ast.keyword | None, first: int, last: int) -> bool:
    return node is not None and first <= node.lineno <= last


def _as_statement(tree: ast.Module, lines: Text, line: int) -> Iterator[tuple[str, str]]:
    """Mutations of the innermost statement that the line belongs to."""
    statements = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= line <= _head(node)
    ]
    node = max(statements, key=lambda each: (each.lineno, each.col_offset), default=None)
    if isinstance(node, (ast.If, ast.While)):
        guards = isinstance(node.body[-1], ENDS)
        yield (
            ("guard taken out" if guards else "condition taken out"),
            lines.replaced(node.test, str(not guards)),
        )
    elif isinstance(node, (ast.For, ast.AsyncFor)):
        yield "loop taken out", lines.replaced(node.iter, "()")
    elif isinstance(node, (ast.Assign, ast.Return)) and node.value is not None:
        own = {
            each.id
            for target in getattr(node, "targets", ())
            for each in ast.walk(target)
            if isinstance(each, ast.Name)
        }
        if own & {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}:
            yield "statement taken out", lines.replaced(node, "pass")
        for how, wider in _wider(node.value):
            yield how, lines.replaced(node.value, wider)
    if node is not None:
        yield "statement taken out", lines.replaced(node, "pass")


def _head(node: ast.stmt) -> int:
    """The last line of a statement, without its body."""
    body: list[ast.stmt] | None = getattr(node, "body", None)
    return body[0].lineno - 1 if body else _last(node)


def _last(node: ast.expr | ast.stmt | ast.keyword) -> int:
    """Its last line, which is optional only for a tree that was not parsed from text."""
    return node.end_lineno or node.lineno


def _wider(value: ast.expr) -> Iterator[tuple[str, str]]:
    if isinstance(value, ast.IfExp):
        yield "always the first", ast.unparse(value.body)
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        if value.func.id in ("min", "max") and len(value.args) > 1:
            yield "not clamped", ast.unparse(value.args[0])
        elif value.func.id in EMPTY:
            yield "nothing", EMPTY[value.func.id]
        elif value.func.id == "all":
            yield "always", "True"
    elif isinstance(value, (ast.BoolOp, ast.Compare)):
        yield "always", "True"
    elif isinstance(value, ast.BinOp) and isinstance(value.op, (ast.BitAnd, ast.Sub)):
        yield "not narrowed", ast.unparse(value.left)


def main(folder: Path) -> None:
    for path, text in sources(folder):
        table = path.suffix == ".toml"
        for line, identity in marks_of_a_table(text) if table else marks(text):
            how, changed = (without_of_a_table if table else without)(text, line)
            place = path.relative_to(folder.parent).as_posix()
            print(
                json.dumps(
                    {"id": identity, "file": place, "line": line, "how": how, "text": changed}
                ),
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
