"""A table that stays quick with many rows: rows of one fixed height, changed in small pieces while nothing else is to do."""

from collections import deque
from collections.abc import Callable, Iterable

from gi.repository import GLib, Gtk, Pango
from words import Row

PIECE = 100  # rows that are changed before the window looks at the keyboard again
MARGIN = 6


class Table(Gtk.Box):
    """`columns`: title and width in characters. `most`: rows that are kept; older ones leave. `newest_first`: new rows come on top."""

    def __init__(
        self,
        name: str,
        columns: Iterable[tuple[str, int]],
        most: int = 10_000,
        newest_first: bool = False,
        shows_whole: bool = True,
    ) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=MARGIN)
        self.columns, self._most, self._first = list(columns), most, newest_first
        self._rows: dict[str, Gtk.TreeIter] = {}
        self._waiting: deque[tuple[str, Row | None]] = deque()
        self._is_working = False
        self._store = Gtk.ListStore(*[str] * (len(self.columns) + 1))
        self._shown = self._store.filter_new()
        self._shown.set_visible_func(self._matches)
        self._words = Gtk.SearchEntry(placeholder_text="Only rows with these words")
        self._words.get_accessible().set_name(f"{name}: only rows with these words")
        self._words.connect("search-changed", lambda _: self._shown.refilter())
        self.view = self._view(name)
        self._whole = Gtk.Label(xalign=0, wrap=True, lines=3, ellipsize=Pango.EllipsizeMode.END)
        self._whole.set_selectable(True)
        self._whole.set_no_show_all(True)
        if shows_whole:
            self.view.get_selection().connect("changed", lambda _: self._show_whole())
        self.actions = Gtk.FlowBox(
            selection_mode=Gtk.SelectionMode.NONE, max_children_per_line=9, column_spacing=MARGIN
        )
        self.actions.set_can_focus(False)
        scrolled = Gtk.ScrolledWindow(shadow_type=Gtk.ShadowType.IN)
        scrolled.add(self.view)
        self.pack_start(self._words, False, False, 0)
        self.pack_start(scrolled, True, True, 0)
        self.pack_start(self._whole, False, False, 0)
        self.pack_start(self.actions, False, False, 0)

    def _view(self, name: str) -> Gtk.TreeView:
        view = Gtk.TreeView(model=self._shown, enable_search=False)
        view.get_accessible().set_name(name)
        for at, (title, width) in enumerate(self.columns, 1):
            cell = Gtk.CellRendererText(
                ellipsize=Pango.EllipsizeMode.END, single_paragraph_mode=True
            )
            column = Gtk.TreeViewColumn(title, cell, text=at)
            column.set_sizing(Gtk.TreeViewColumnSizing.FIXED)
            column.set_fixed_width(width * _character(view))
            column.set_resizable(True)
            view.append_column(column)
        view.set_fixed_height_mode(True)
        return view

    def add_action(self, label: str, act: Callable[[Row | None], None], row: bool = True) -> None:
        """`row`: whether it is about the chosen row."""
        button = Gtk.Button(label=label, use_underline=True)
        button.connect("clicked", lambda _: act(self.chosen()))
        selection = self.view.get_selection()
        if row:
            button.set_sensitive(False)
            selection.connect("changed", lambda _: button.set_sensitive(self.chosen() is not None))
        self.actions.add(button)
        button.get_parent().set_can_focus(False)

    def chosen(self) -> Row | None:
        model, at = self.view.get_selection().get_selected()
        return tuple(model[at]) if at else None

    def _show_whole(self) -> None:
        """All of the chosen row, for which its columns may be too narrow."""
        cells = zip(self.columns, (self.chosen() or ())[1:], strict=False)
        said = ";  ".join(f"{title}: {cell}" for (title, _), cell in cells if cell)
        self._whole.set_text(said)
        self._whole.set_visible(bool(said))

    def row(self, key: str) -> Row | None:
        """As it will be when all that waits is done."""
        for waiting, row in reversed(self._waiting):
            if waiting == key:
                return row
        return tuple(self._store[self._rows[key]]) if key in self._rows else None

    def put(self, row: Row) -> None:
        self._later(row[0], row)

    def drop(self, key: str) -> None:
        self._later(key, None)

    def fill(self, rows: Iterable[Row]) -> None:
        """Make these the rows. One that stays keeps its place, and stays chosen."""
        new = {row[0]: row for row in rows}
        there = {*self._rows, *(key for key, _ in self._waiting)}
        for key in there - new.keys():
            self.drop(key)
        for row in new.values():
            if self.row(row[0]) != row:
                self.put(row)

    def _later(self, key: str, row: Row | None) -> None:
        self._waiting.append((key, row))
        if not self._is_working:
            self._is_working = True
            GLib.idle_add(self._work)

    def _work(self) -> bool:
        for _ in range(min(PIECE, len(self._waiting))):
            self._change(*self._waiting.popleft())
        self._is_working = bool(self._waiting)
        return self._is_working

    def _change(self, key: str, row: Row | None) -> None:
        if row is None:
            if key in self._rows:
                self._store.remove(self._rows.pop(key))
        elif key in self._rows:
            self._store.set(self._rows[key], list(range(len(row))), list(row))
        else:
            self._rows[key] = self._store.insert(0 if self._first else -1, list(row))
            if len(self._rows) > self._most:
                self._store.remove(self._rows.pop(next(iter(self._rows))))

    def _matches(self, model: Gtk.TreeModel, at: Gtk.TreeIter, _: object) -> bool:
        words = self._words.get_text().lower().split()
        if not words:
            return True
        text = " ".join(filter(None, model[at])).lower()
        return all(word in text for word in words)


def _character(widget: Gtk.Widget) -> int:
    """The width of a character, whatever the size of the font."""
    context = widget.get_pango_context()
    metrics = context.get_metrics(context.get_font_description(), None)
    return metrics.get_approximate_char_width() // Pango.SCALE + 1
