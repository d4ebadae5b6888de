"""The button that stops everything. It is always there, waits for nothing, and needs nothing of what the rest of the window shows."""

import shlex
from collections.abc import Callable

from admin import Admin
from forms import answer, text
from gi.repository import Gtk
from table import MARGIN
from words import safe

EVERY = "every world"


class Freeze(Gtk.Box):
    """`said`: takes what came of it."""

    def __init__(self, admin: Admin, said: Callable[[str], None]) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=2)
        self._admin, self._said = admin, said
        self.frozen: list[str] = []
        self._world = Gtk.ComboBoxText()
        self._world.get_accessible().set_name("What FREEZE stops")
        self._world.append(EVERY, EVERY)
        self._world.set_active(0)
        self._world.connect("changed", lambda _: self._show())
        self._more = {
            word: Gtk.CheckButton(label=f"_{word}", use_underline=True)
            for word in ("pause", "kill", "cut")
        }
        self._button = Gtk.Button(label="_FREEZE", use_underline=True)
        self._button.get_style_context().add_class("freeze")
        self._button.connect("clicked", lambda _: self._run("freeze"))
        self._thaw = Gtk.Button(label="_Thaw", use_underline=True)
        self._thaw.connect("clicked", lambda _: self._run("thaw"))
        self._command = text("", "command", 2)
        self._command.get_accessible().set_name("The command that FREEZE runs")
        row = Gtk.FlowBox(
            selection_mode=Gtk.SelectionMode.NONE, max_children_per_line=9, column_spacing=MARGIN
        )
        for widget in (self._button, self._world, *self._more.values(), self._thaw):
            row.add(widget)
            widget.get_parent().set_can_focus(False)
        for box in self._more.values():
            box.connect("toggled", lambda _: self._show())
        self.pack_start(row, False, False, 0)
        self.pack_start(self._command, False, False, 0)
        self._show()

    def offer(self, worlds: list[str]) -> None:
        """The worlds to choose from. A choice stays, also of a world that can no longer be read."""
        there = {row[1] for row in self._world.get_model()}
        for name in worlds:
            if name not in there:
                self._world.append(name, f"only {safe(name)}")

    def show_frozen(self, worlds: list[str]) -> None:
        self.frozen = worlds
        self._show()

    def words(self, verb: str) -> tuple[str, ...]:
        world = self._world.get_active_id()
        only = () if world in (None, EVERY) else (world,)
        more = [f"--{word}" for word, box in self._more.items() if box.get_active()]
        return (verb, *only, *(more if verb == "freeze" else ()))

    def _show(self) -> None:
        self._thaw.set_sensitive(bool(self.frozen))
        self._command.set_text(shlex.join(self._admin.command(*self.words("freeze"), changes=True)))

    def _run(self, verb: str) -> None:
        self._said(f"{verb}: in progress")
        self._admin.change(
            self.words(verb), lambda document, wrong: self._said(answer(document, wrong)), True
        )
