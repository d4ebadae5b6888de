"""Tables for a terminal: plain when piped, and never a character of the agent's choosing that a terminal would act on."""

import sys

_COLOURS = {"dim": "2", "red": "31", "green": "32", "yellow": "33", "bold": "1"}


def safe(value):
    """Text as it may be shown: anything but printable ASCII is escaped, so nothing moves the cursor or hides."""
    text = "" if value is None else str(value)
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in text)


def paint(text, colour):
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if colour and sys.stdout.isatty() else text


def show(headings, rows):
    """`rows` are lists of `(value, colour or None)`."""
    cells = [[(safe(value), colour) for value, colour in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(headings, *([t for t, _ in row] for row in cells))]
    print("  ".join(paint(heading.ljust(width), "bold") for heading, width in zip(headings, widths)).rstrip())
    for row in cells:
        print("  ".join(paint(text.ljust(width), colour) for (text, colour), width in zip(row, widths)).rstrip())
