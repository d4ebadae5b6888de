"""The plans that wait for a person, and all that the chosen one would do, line by line."""

from collections.abc import Callable
from typing import Any

from admin import Admin
from forms import Form
from gi.repository import Gtk, Pango
from table import MARGIN, Table
from words import HEADING, RIGHT, Line, Row, plan, review, safe

COLUMNS = [("plan", 11), ("state", 10), ("world", 8), ("of", 14), ("steps", 8), ("expires", 24)]
TITLE = ("title, in the agent's words", 50)
PROPOSED, APPROVED = "proposed", "approved"
HIGH = 150  # pixels of the list; the plan has the rest


class Review(Gtk.Paned):
    """`said`: takes what came of a decision."""

    def __init__(self, admin: Admin, window: Gtk.Window, said: Callable[[str], None]) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL)
        self._admin, self._window, self._said = admin, window, said
        self._shown: dict[str, Any] | None = None
        self._is_read = False  # whether the last line was on the screen
        self.table = Table("Plans", [*COLUMNS, TITLE], most=1000, shows_whole=False)
        self.table.view.get_selection().connect("changed", lambda _: self._choose())
        self._lines = Gtk.ListStore(str, str, str, str, int)
        self._view = self._pages()
        self._scrolled = Gtk.ScrolledWindow(shadow_type=Gtk.ShadowType.IN)
        self._scrolled.add(self._view)
        self._scrolled.get_vadjustment().connect("value-changed", lambda _: self._look())
        self._view.connect("size-allocate", lambda *_: self._look())
        self._hint = Gtk.Label(xalign=0, wrap=True)
        self._buttons = {
            "approve": self._button("A_pprove...", self._approve),
            "reject": self._button("Re_ject...", lambda: self._end("reject")),
            "revoke": self._button("Re_voke...", lambda: self._end("revoke")),
        }
        below = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=MARGIN)
        row = Gtk.Box(spacing=MARGIN)
        for button in self._buttons.values():
            row.pack_start(button, False, False, 0)
        row.pack_start(self._hint, True, True, 0)
        below.pack_start(self._scrolled, True, True, 0)
        below.pack_start(row, False, False, 0)
        self.pack1(self.table, False, False)
        self.set_position(HIGH)
        self.pack2(below, True, False)
        self._allow()

    def _pages(self) -> Gtk.TreeView:
        """Rows of one height, so that the last one is on the screen only when all others were above it."""
        view = Gtk.TreeView(model=self._lines, headers_visible=False, enable_search=False)
        view.get_accessible().set_name("The plan")
        view.get_style_context().add_class("plan")
        for at, width in ((0, 60), (1, 900)):
            cell = Gtk.CellRendererText(family="monospace", single_paragraph_mode=True)
            column = Gtk.TreeViewColumn("", cell, text=at, foreground=2, weight=4)
            column.set_sizing(Gtk.TreeViewColumnSizing.FIXED)
            column.set_fixed_width(width)
            view.append_column(column)
        view.set_fixed_height_mode(True)
        return view

    def _button(self, label: str, act: Callable[[], None]) -> Gtk.Button:
        button = Gtk.Button(label=label, use_underline=True)
        button.connect("clicked", lambda _: act())
        return button

    def fill(self, plans: list[dict[str, Any]]) -> None:
        self.table.fill(map(plan, plans))
        if self._shown is not None:
            self._choose()

    def _choose(self) -> None:
        row: Row | None = self.table.chosen()
        if row is not None:
            self._admin.read(("plan", "show", row[0]), lambda *answer: self._show(row[0], *answer))

    def _show(self, key: str, document: Any, wrong: str) -> None:
        row = self.table.chosen()
        if row is None or row[0] != key:
            return  # another one was chosen meanwhile
        if wrong or not isinstance(document, dict):
            self._shown = None
            self._put([(RIGHT, "", safe(wrong))])
        elif document != self._shown:
            self._shown = document
            self._put(list(review(document)))
        self._allow()

    def _put(self, lines: list[Line]) -> None:
        self._is_read = False
        self._lines.clear()
        found, red = self._view.get_style_context().lookup_color("error_color")
        for style, number, text in lines:
            colour = red.to_string() if style == RIGHT and found else None
            weight = Pango.Weight.BOLD if style in (HEADING, RIGHT) else Pango.Weight.NORMAL
            self._lines.append([number, text, colour, style, int(weight)])
        self._scrolled.get_vadjustment().set_value(0)

    def _look(self) -> None:
        shown = self._view.get_visible_range()
        last = len(self._lines) - 1
        if self._shown is not None and shown and shown[1].get_indices()[0] == last:
            self._is_read = True
            self._allow()

    def _allow(self) -> None:
        state = self._shown["state"] if self._shown else None
        self._buttons["approve"].set_sensitive(state == PROPOSED and self._is_read)
        self._buttons["reject"].set_sensitive(state == PROPOSED)
        self._buttons["revoke"].set_sensitive(state == APPROVED)
        waits = state == PROPOSED and not self._is_read
        self._hint.set_text(
            "Approve is off until the end of the plan was on the screen." if waits else ""
        )

    def _approve(self) -> None:
        """The digest is the one of the plan that is on the screen."""
        digest = self._shown["digest"] if self._shown else ""
        fields = [("for", ["1h", "10m", "4h", "1d"]), ("output", ["agent", "nobody"])]
        Form(
            self._window,
            self._admin,
            f"Approve plan {safe(digest)[:8]}",
            fields,
            lambda value: (
                "plan",
                "approve",
                digest,
                "--for",
                value["for"],
                "--output",
                value["output"],
            ),
            self._said,
        )

    def _end(self, verb: str) -> None:
        digest = self._shown["digest"] if self._shown else ""
        title = f"{verb.capitalize()} plan {safe(digest)[:8]}"
        Form(self._window, self._admin, title, [], lambda _: ("plan", verb, digest), self._said)
