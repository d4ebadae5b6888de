"""The program: its arguments, its one window, and what keeps that up to date."""

import argparse
import shlex
from pathlib import Path

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("Gdk", "3.0")

from admin import Admin  # noqa: E402
from gi.repository import Gdk, Gio, Gtk  # noqa: E402
from tray import Tray  # noqa: E402
from window import Window  # noqa: E402

HERE = Path(__file__).parent
IDENTITY = "io.github.qmcp.Window"


class Application(Gtk.Application):
    def __init__(self, options: argparse.Namespace) -> None:
        # One window a host; a simulated host has its own.
        alone = Gio.ApplicationFlags.NON_UNIQUE if options.root != Path("/") else 0
        super().__init__(application_id=IDENTITY, flags=Gio.ApplicationFlags(alone))
        self._options, self._window = options, None

    def do_activate(self) -> None:
        if self._window is None:
            style = Gtk.CssProvider()
            style.load_from_path(str(HERE / "style.css"))
            Gtk.StyleContext.add_provider_for_screen(
                Gdk.Screen.get_default(), style, Gtk.STYLE_PROVIDER_PRIORITY_APPLICATION
            )
            where = [] if self._options.root == Path("/") else ["--root", str(self._options.root)]
            admin = Admin([*shlex.split(self._options.admin), *where], self._options.root)
            self._window = Window(self, admin, Tray(self))
            self._window.set_default_size(*self._options.size)
            self._window.show_all()
        self._window.present()


def _size(text: str) -> list[int]:
    return [int(number) for number in text.split("x")]


def main() -> int:
    parser = argparse.ArgumentParser(prog="qmcp-window", description="The operator's window.")
    parser.add_argument("--root", type=Path, default=Path("/"), help="the folder with etc and var")
    parser.add_argument(
        "--admin", default="/usr/bin/qmcp-admin", help="the words that run qmcp-admin"
    )
    parser.add_argument("--size", type=_size, default="1000x580", metavar="WxH")
    return Application(parser.parse_args()).run([])
