"""A form for a change. Under it stands the command that its button runs, and nothing else is run."""

import shlex
from collections.abc import Callable, Iterable

from admin import Admin
from gi.repository import Gtk, Pango
from table import MARGIN
from words import safe

KEEP = "as it is"
Field = tuple[str, list[str] | None]  # its name, and the choices; None: any word
Build = Callable[[dict[str, str]], tuple[str, ...]]


class Form(Gtk.Dialog):
    """`build`: makes the words of the command from what was chosen. `done`: takes what is to be said when the change is made."""

    def __init__(
        self,
        parent: Gtk.Window,
        admin: Admin,
        title: str,
        fields: Iterable[Field],
        build: Build,
        done: Callable[[str], None],
    ) -> None:
        super().__init__(title=title, transient_for=parent, modal=True)
        self.set_default_size(560, -1)
        self._admin, self._build, self._done = admin, build, done
        self._values: dict[str, Gtk.Widget] = {}
        self._command, self._said = text("", "command"), text("", "wrong")
        self._command.get_accessible().set_name("The command that OK runs")
        grid = Gtk.Grid(row_spacing=MARGIN, column_spacing=2 * MARGIN, border_width=2 * MARGIN)
        for row, (name, choices) in enumerate(fields):
            self._values[name] = widget = _choice(choices) if choices else Gtk.Entry(hexpand=True)
            label = Gtk.Label(label=name, xalign=0, mnemonic_widget=widget)
            widget.connect("changed", lambda _: self._show())
            widget.get_accessible().set_name(name)
            grid.attach(label, 0, row, 1, 1)
            grid.attach(widget, 1, row, 1, 1)
        box = self.get_content_area()
        for widget in (grid, text("OK runs this command:"), self._command, self._said):
            box.pack_start(widget, False, False, MARGIN)
        self.add_button("_Cancel", Gtk.ResponseType.CANCEL)
        self._ok = self.add_button("_OK", Gtk.ResponseType.OK)
        self.set_default_response(Gtk.ResponseType.OK)
        self.connect("response", self._answered)
        self._show()
        self.show_all()

    def words(self) -> tuple[str, ...]:
        values = {
            name: widget.get_active_text()
            if isinstance(widget, Gtk.ComboBoxText)
            else widget.get_text()
            for name, widget in self._values.items()
        }
        return self._build({name: (value or "").strip() for name, value in values.items()})

    def _show(self) -> None:
        self._command.set_text(shlex.join(self._admin.command(*self.words(), changes=True)))

    def _answered(self, _: Gtk.Dialog, response: int) -> None:
        if response != Gtk.ResponseType.OK:
            self.destroy()
        elif self._ok.get_sensitive():
            self._ok.set_sensitive(False)
            self._admin.change(self.words(), self._finished)

    def _finished(self, document: object, wrong: str) -> None:
        said = answer(document, wrong)
        self._done(said)
        if not wrong:
            self.destroy()
        elif self.get_visible():
            self._said.set_text(said)
            self._ok.set_sensitive(True)


def answer(document: object, wrong: str) -> str:
    """What a change came to, in words."""
    done = document.get("done") if isinstance(document, dict) else None
    lines = [safe(line, 1000) for line in done] if isinstance(done, list) else []
    return "\n".join([*lines, *([wrong] if wrong and wrong not in lines else [])]) or "Done."


def _choice(choices: list[str]) -> Gtk.ComboBoxText:
    box = Gtk.ComboBoxText(hexpand=True)
    for one in choices:
        box.append_text(one)
    box.set_active(0)
    return box


def text(words: str, style: str | None = None, lines: int = -1) -> Gtk.Label:
    """A label that a keyboard can reach and copy from, if it has a style. `lines`: what is longer is in its tooltip only."""
    label = Gtk.Label(label=words, xalign=0, wrap=True, selectable=style is not None)
    label.set_line_wrap_mode(Pango.WrapMode.WORD_CHAR)
    if lines > 0:
        label.set_lines(lines)
        label.set_ellipsize(Pango.EllipsizeMode.END)
        label.connect("notify::label", lambda *_: label.set_tooltip_text(label.get_text()))
    label.set_margin_start(2 * MARGIN)
    label.set_margin_end(2 * MARGIN)
    if style:
        label.get_style_context().add_class(style)
    return label
