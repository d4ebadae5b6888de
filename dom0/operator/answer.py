"""What a verb has to say, and the one place that says it: as tables for a person, plain when piped, or as JSON. In neither is
there a character of an agent's choosing that a terminal would act on."""

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from spec import REFUSAL, REFUSALS

# Words of ours that stand out where they are all of a cell, and how.
BOLD, RED, GREEN, YELLOW = 1, 31, 32, 33
_PAINT = {
    **dict.fromkeys([*REFUSALS, "asks"], YELLOW),
    REFUSAL.failed: RED,
    "BROKEN": RED,
    "ok": GREEN,
    "holds": GREEN,
}


class Answer(NamedTuple):
    """`data`: made of dicts, lists, strings and numbers, as JSON is. `text`: instead of it, for a person. `do`: what is done once
    the operator agrees; it returns what to say then. `about`, `world`, `words`: which qubes, and what else of it is for the
    log. `at_once`: it is neither asked about nor kept waiting by the log."""

    data: Any
    code: int = 0
    text: Any = None
    do: Callable | None = None
    about: tuple = ()
    world: str | None = None
    words: tuple = ()
    at_once: bool = False


def stop(words):
    """End with what went wrong, where, and what to run next."""
    sys.exit(f"qmcp-admin: {safe(words)}")


def safe(value):
    """Text as it may be shown: anything but printable ASCII is escaped, so nothing moves the cursor or hides."""
    text = "" if value is None else str(value)
    return "".join(
        c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in text
    )


def show(options, said):
    whole, each = (
        said.data if said.text is None else said.text,
        said.data if options.json_lines else [said.data],
    )
    for line in (
        [json.dumps(one, indent=None if options.json_lines else 2) for one in each]
        if options.json
        else _lines(whole)
    ):
        print(line)


def _lines(data):
    """A list of rows is a table; a list of words is one line, a list of sentences one line each."""
    if isinstance(data, dict):
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


def _is_block(value):
    """Whether it takes lines of its own."""
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(one, dict) or " " in str(one) for one in value)
    )


def _table(rows):
    """Columns that say nothing are left out."""
    headings = [key for key in rows[0] if any(row[key] not in (None, "", []) for row in rows)]
    widths = [max(len(_text(row[key])) for row in [*rows, {key: key}]) for key in headings]
    yield "  ".join(
        _paint(key.ljust(width), BOLD) for key, width in zip(headings, widths, strict=True)
    ).rstrip()
    for row in rows:
        yield "  ".join(
            _painted(row[key], width) for key, width in zip(headings, widths, strict=True)
        ).rstrip()


def _text(value):
    return safe(", ".join(map(str, value)) if isinstance(value, list) else value)


def _painted(value, width=0):
    return _paint(_text(value).ljust(width), _PAINT.get(_text(value)))


def _paint(text, colour):
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and sys.stdout.isatty() else text
