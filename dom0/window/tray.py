"""A dot in the tray, and a notification when plans wait. Both have fixed words and a number, and none of an agent's."""

from gi.repository import GdkPixbuf, Gio, GLib, Gtk

SIZE = 22  # pixels, as panels want it
COLOURS = {
    "good": (27, 122, 53),
    "wait": (214, 140, 0),
    "frozen": (40, 110, 200),
    "bad": (179, 18, 29),
}
WORDS = {
    "good": "qmcp: no problem",
    "wait": "qmcp: plans wait for you: %d",
    "frozen": "qmcp: frozen",
    "bad": "qmcp: something is wrong",
}


class Tray:
    def __init__(self, application: Gtk.Application) -> None:
        self._application, self._waiting = application, 0
        self._icon = Gtk.StatusIcon()  # not shown where a desktop has no place for it
        self._icon.connect("activate", lambda _: application.activate())
        self.show("good", 0)

    def show(self, state: str, waiting: int) -> None:
        words = WORDS[state] % waiting if "%d" in WORDS[state] else WORDS[state]
        self._icon.set_from_pixbuf(_dot(COLOURS[state]))
        self._icon.set_tooltip_text(words)
        self._icon.set_title(words)
        if waiting > self._waiting:
            notification = Gio.Notification.new("qmcp")
            notification.set_body(WORDS["wait"] % waiting)
            self._application.send_notification("plans", notification)
        self._waiting = waiting


def _dot(colour: tuple[int, int, int]) -> GdkPixbuf.Pixbuf:
    middle, radius = (SIZE - 1) / 2, SIZE / 2 - 2
    pixels = b"".join(
        bytes([*colour, 255 if (x - middle) ** 2 + (y - middle) ** 2 <= radius**2 else 0])
        for y in range(SIZE)
        for x in range(SIZE)
    )
    return GdkPixbuf.Pixbuf.new_from_bytes(
        GLib.Bytes.new(pixels), GdkPixbuf.Colorspace.RGB, True, 8, SIZE, SIZE, SIZE * 4
    )
