"""The answer of a command, and the one place that prints it: as tables for a person, plain when piped, or as JSON. Neither
contains a character that an agent chose and a terminal would act on."""

import difflib
import json
import shutil
import sys
import textwrap
from argparse import Namespace as Options
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, NoReturn

from spec import REFUSAL, REFUSALS

# The colours of our own words, where one of them is the whole text of a cell.
BOLD, RED, GREEN, YELLOW = 1, 31, 32, 33
NARROWEST = 12  # no column is made narrower
_PAINT = {
    **dict.fromkeys([*REFUSALS, "asks"], YELLOW),
    REFUSAL.failed: RED,
    "BROKEN": RED,
    "ok": GREEN,
    "holds": GREEN,
}


class Answer(NamedTuple):
    """`data`: dicts, lists, strings and numbers, as in JSON. `text`: shown to a person instead of it. `do`: carries out the
    change once the operator agrees, and returns the lines to print then. `about`, `world`, `words`: the qubes, the world and the
    details for the log. `at_once`: without a question, and even if the log cannot be written."""

    data: Any
    code: int = 0
    text: Any = None
    do: Callable[[], list[str]] | None = None
    about: tuple[str, ...] = ()
    world: str | None = None
    words: tuple[str, ...] = ()
    at_once: bool = False


class Incomplete(Exception):
    """A change that was made in part only. Its argument: the lines to print, with the failures first."""


def stop(words: object) -> NoReturn:
    """Exit with a message that says what went wrong, where, and what to run next."""
    sys.exit(f"qmcp-admin: {safe(words)}")


def near(word: str, choices: Iterable[str]) -> str:
    """The end of a message about a name that does not exist."""
    found = difflib.get_close_matches(word, sorted(choices), 1)
    return f"; did you mean {found[0]}?" if found else ""


def safe(value: object) -> str:
    """Text in which everything but printable ASCII is escaped, so that nothing moves the cursor or hides."""
    text = "" if value is None else str(value)
    return "".join(
        c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in text
    )


def show(options: Options, reply: Answer) -> None:
    documents = reply.data if options.json_lines else [reply.data]
    for line in (
        (json.dumps(one, indent=None if options.json_lines else 2) for one in documents)
        if options.json
        else _lines(reply.data if reply.text is None else reply.text)
    ):
        print(line, flush=True)


def _lines(data: Any) -> Iterator[str]:
    """A list of dicts is a table; a list of words is one line, a list of sentences one line each. An iterator has finished lines."""
    if isinstance(data, Iterator):
        yield from data
    elif isinstance(data, dict):
        data = {key: value for key, value in data.items() if value not in (None, "", [])}
        width = max([len(key) for key, value in data.items() if not _is_block(value)], default=0)
        for key, value in data.items():
            yield (
                _paint(key, BOLD)
                if _is_block(value)
                else f"{_paint(key.ljust(width), BOLD)}  {_painted(value)}".rstrip()
            )
            yield from (f"  {line}" for line in _lines(value)) if _is_block(value) else ()
    elif not _is_block(data):
        yield from [_painted(data)] if data else []
    elif not isinstance(data[0], dict):
        yield from map(_painted, data)
    elif any(_is_block(cell) for row in data for cell in row.values()):
        for row in data:
            yield from [*_lines(row), ""]
    else:
        yield from _table(data)


def _is_block(value: Any) -> bool:
    """Whether it needs lines of its own."""
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(one, dict) or " " in str(one) for one in value)
    )


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Empty columns are left out."""
    headings = [key for key in rows[0] if any(row[key] not in (None, "", []) for row in rows)]
    widths = _fitted([max(len(_text(row[key])) for row in [*rows, {key: key}]) for key in headings])
    yield "  ".join(
        _paint(key.ljust(width), BOLD) for key, width in zip(headings, widths, strict=True)
    ).rstrip()
    for row in rows:
        cells = [_wrapped(row[key], width) for key, width in zip(headings, widths, strict=True)]
        for line in range(max(map(len, cells))):
            parts = [cell[line] if line < len(cell) else "" for cell in cells]
            yield "  ".join(
                _painted(part, width) for part, width in zip(parts, widths, strict=True)
            ).rstrip()


def _fitted(widths: list[int]) -> list[int]:
    """On a terminal, the widest columns are made as narrow as the others need it, and their cells are wrapped."""
    room = shutil.get_terminal_size().columns - 4 if sys.stdout.isatty() else sys.maxsize
    widths = list(widths)
    while sum(widths) + 2 * (len(widths) - 1) > room and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _wrapped(value: Any, width: int) -> list[str]:
    return textwrap.wrap(_text(value), width, break_on_hyphens=False) or [""]


def _text(value: Any) -> str:
    return safe(", ".join(map(str, value)) if isinstance(value, list) else value)


def _painted(value: Any, width: int = 0) -> str:
    return _paint(_text(value).ljust(width), _PAINT.get(_text(value)))


def _paint(text: str, colour: int | None) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and sys.stdout.isatty() else text
