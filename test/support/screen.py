# pyright: reportMissingImports=false
"""Drives a window through AT-SPI, as a screen reader would: what it says and does is all that a test sees of it.

    python3 screen.py COMMAND...

Starts the command on the display of $DISPLAY. Each line of standard input is a request in JSON, and each line of standard output
its answer, behind an equals sign: {"do": "look"} gives [{role, name, text, sensitive, showing, value}]; {"do": ...} of the others give true, or false while
there is no such widget.
"""

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import gi

warnings.simplefilter(
    "ignore", DeprecationWarning
)  # of AT-SPI 2.46, for names that 2.52 has no others for
gi.require_version("Atspi", "2.0")
gi.require_version("Gdk", "3.0")
from gi.repository import Atspi, Gdk, GLib  # noqa: E402

ROWS = 20  # of a table, from its top


def application(pid: int) -> Atspi.Accessible | None:
    desktop = Atspi.get_desktop(0)
    for at in range(desktop.get_child_count()):
        one = desktop.get_child_at_index(at)
        if one is not None and one.get_process_id() == pid:
            return one
    return None


def below(one: Atspi.Accessible) -> Iterator[Atspi.Accessible]:
    """It, and all in it that is shown; of a table only the first rows."""
    yield one
    if one.get_role_name() != "application" and not is_showing(one):
        return
    table = one.get_table_iface()
    columns = table.get_n_columns() if table else 0
    count = one.get_child_count()
    for at in range(min(count, columns * (ROWS + 1)) if columns else count):
        child = one.get_child_at_index(at)
        if child is not None:
            yield from below(child)


def is_showing(one: Atspi.Accessible) -> bool:
    return one.get_state_set().contains(Atspi.StateType.SHOWING)


def row(one: Atspi.Accessible) -> dict[str, Any]:
    states, text = one.get_state_set(), one.get_text_iface()
    value = one.get_value_iface() if one.get_role_name() == "progress bar" else None
    return {
        "role": one.get_role_name(),
        "name": one.get_name(),
        "text": Atspi.Text.get_text(text, 0, -1) if text else "",
        "sensitive": states.contains(Atspi.StateType.SENSITIVE),
        "showing": states.contains(Atspi.StateType.SHOWING),
        "value": Atspi.Value.get_current_value(value) if value else None,
    }


def found(of: Atspi.Accessible, role: str, name: str) -> Atspi.Accessible | None:
    for one in below(of):
        if one.get_role_name() == role and one.get_name() == name and is_showing(one):
            return one
    return None


def press(one: Atspi.Accessible) -> bool:
    return one.get_state_set().contains(Atspi.StateType.SENSITIVE) and Atspi.Action.do_action(
        one, 0
    )


def choose(one: Atspi.Accessible) -> bool:
    """A tab, or an entry of a menu, in what holds it."""
    return Atspi.Selection.select_child(one.get_parent(), one.get_index_in_parent())


def select_row(one: Atspi.Accessible) -> bool:
    table, at = one.get_parent(), one.get_index_in_parent()
    return Atspi.Table.add_row_selection(table, Atspi.Table.get_row_at_index(table, at))


def write(one: Atspi.Accessible, text: str) -> bool:
    return Atspi.EditableText.set_text_contents(one, text)


def focus(one: Atspi.Accessible) -> bool:
    return Atspi.Component.grab_focus(one)


DO = {"press": press, "choose": choose, "row": select_row, "write": write, "focus": focus}


def scroll(one: Atspi.Accessible) -> bool:
    """To the end, if it is a bar for that."""
    bar = one.get_value_iface() if one.get_role_name() == "scroll bar" else None
    return bar is None or Atspi.Value.set_current_value(bar, Atspi.Value.get_maximum_value(bar))


def picture(path: str) -> bool:
    root = Gdk.get_default_root_window()
    size = root.get_width(), root.get_height()
    Gdk.pixbuf_get_from_window(root, 0, 0, *size).savev(path, "png", [], [])
    return True


def answer(process: subprocess.Popen[bytes], request: dict[str, Any]) -> Any:
    kind = request.pop("do")
    if kind == "picture":
        return picture(request["path"])
    if kind == "key":
        return Atspi.generate_keyboard_event(
            Gdk.keyval_from_name(request["key"]), None, Atspi.KeySynthType.SYM
        )
    if kind == "over":
        return process.poll()
    of = application(process.pid)
    if kind == "end":
        return of is not None and all(list(map(scroll, below(of))))
    if kind == "look":
        return [row(one) for one in below(of)] if of is not None else []
    one = found(of, request.pop("role"), request.pop("name")) if of is not None else None
    return one is not None and bool(DO[kind](one, **request))


def main() -> None:
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        for line in sys.stdin:
            try:
                said = answer(process, json.loads(line))
            except GLib.Error:
                said = False  # it went away while it was looked at
            print(f"={json.dumps(said)}", flush=True)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
