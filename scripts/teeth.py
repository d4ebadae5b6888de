"""Finds the lines of dom0 marked `# INVARIANT id`, and says what dom0 is without each: one JSON object a line, with the
whole text of the file so changed.

    python3 scripts/teeth.py dom0

A line is taken out as little as leaves a program: an element of a row goes, a guard never guards, a check is never made, a
value that was narrowed is the wider one. What cannot be done without is replaced by the neutral thing.
"""

import ast
import io
import json
import re
import sys
import tokenize
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


def sources(folder):
    for path in sorted(folder.rglob("*")):
        if (
            path.is_dir()
            or "tests" in path.relative_to(folder).parts
            or "__pycache__" in path.parts
        ):
            continue
        text = path.read_bytes()
        if path.suffix == ".py" or (text.startswith(b"#!") and b"python" in text.split(b"\n")[0]):
            yield path, text.decode("utf-8")


def marks(text):
    """`(line, id)` of every mark that is a comment; one on a line of its own is about the next line."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            for identity in MARK.findall(token.string):
                yield token.start[0] + (not token.line[: token.start[1]].strip()), identity


class Text:
    """A source by lines, in which a node can be replaced. Columns of the syntax tree are bytes."""

    def __init__(self, text):
        self.lines = [line.encode("utf-8") for line in text.split("\n")]

    def replaced(self, node, words):
        first, last = node.lineno - 1, node.end_lineno - 1
        line = (
            self.lines[first][: node.col_offset]
            + words.encode("utf-8")
            + self.lines[last][node.end_col_offset :]
        )
        return self._joined([*self.lines[:first], line, *self.lines[last + 1 :]])

    def without(self, first, last):
        return self._joined(self.lines[: first - 1] + self.lines[last:])

    @staticmethod
    def _joined(lines):
        return b"\n".join(lines).decode("utf-8")


def without(text, line):
    """`(how, the text without what that line does)`. The first way that leaves a program is taken."""
    tree, lines = ast.parse(text), Text(text)
    for how, changed in [*_as_element(tree, lines, line), *_as_statement(tree, lines, line)]:
        try:
            compile(changed, "dom0", "exec")
        except SyntaxError:
            continue
        return how, changed
    raise SystemExit(
        f"teeth: line {line} is no line that can be taken out: {lines.lines[line - 1].decode().strip()}"
    )


def _as_element(tree, lines, line):
    """The line is one element of a row, or one word of a condition that spans lines."""
    for node in ast.walk(tree):
        if getattr(node, "end_lineno", None) == getattr(node, "lineno", None):
            continue
        if isinstance(node, ast.BoolOp):
            for word in node.values:
                if word.lineno <= line <= word.end_lineno and word.lineno != node.values[0].lineno:
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
                whole = first is not None and first.lineno == line and line > node.lineno
                if whole and not any(
                    _between(other, first.lineno, last.end_lineno)
                    for other in elements
                    if other is not first
                ):
                    yield "element taken out", lines.without(first.lineno, last.end_lineno)


def _between(node, first, last):
    return node is not None and first <= node.lineno <= last


def _as_statement(tree, lines, line):
    """The innermost statement the line is of."""
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= line <= _head(node)
    ]
    node = max(found, key=lambda each: (each.lineno, each.col_offset), default=None)
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


def _head(node):
    """The last line of a statement, without its body."""
    return node.body[0].lineno - 1 if getattr(node, "body", None) else node.end_lineno


def _wider(value):
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


def main(folder):
    for path, text in sources(folder):
        for line, identity in marks(text):
            how, changed = without(text, line)
            place = path.relative_to(folder.parent).as_posix()
            print(
                json.dumps(
                    {"id": identity, "file": place, "line": line, "how": how, "text": changed}
                ),
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
