"""A dot in the tray, with fixed words and none of an agent's."""

from gi.repository import GdkPixbuf, GLib, Gtk

SIZE = 22  # pixels, as panels want it
COLOURS = {
    "good": (27, 122, 53),
    "frozen": (40, 110, 200),
    "bad": (179, 18, 29),
}
WORDS = {
    "good": "qmcp: no problem",
    "frozen": "qmcp: frozen",
    "bad": "qmcp: something is wrong",
}


class Tray:
    def __init__(self, application: Gtk.Application) -> None:
        self._icon = Gtk.StatusIcon()  # not shown where a desktop has no place for it
        self._icon.connect("activate", lambda _: application.activate())
        self.show("good")

    def show(self, state: str) -> None:
        self._icon.set_from_pixbuf(_dot(COLOURS[state]))
        self._icon.set_tooltip_text(WORDS[state])
        self._icon.set_title(WORDS[state])


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
