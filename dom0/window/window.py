"""The window: its pages, and what each document of qmcp-admin changes on them. Nothing here decides what an agent may do."""

from collections.abc import Callable
from typing import Any

import words
from admin import Admin
from forms import KEEP, Field, Form, text
from freeze import Freeze
from gi.repository import GLib, Gtk, Pango
from review import PROPOSED, Review
from table import MARGIN, Table
from tray import Tray
from words import Json, Row, safe

MORE = [("disk", 9), ("switches", 14), ("made by", 14), ("class", 12)]
ROUTE = [("anonymity", 26), ("leads to", 20), ("used by", 24), ("label", 20)]
ON_OFF = [KEEP, "on", "off"]
LASTING = ["until it is changed", "10m", "1h", "8h", "1d"]
WORLDS, PLANS, GATEWAYS = ("world",), ("plan", "list"), ("gateway", "list")
REMOVED, CHECK, LOG = ("tombstones",), ("check",), ("audit", "tail", "-n", "10000")
# After what kind of event which documents are read again.
TOUCHES = {
    "settings": (WORLDS, GATEWAYS, CHECK),
    "qubesd": (WORLDS, GATEWAYS, REMOVED, CHECK),
    "grants": (WORLDS,),
    "frozen": (CHECK,),
    "plans": (PLANS,),
}
SOON = 1  # seconds in which several events are one reason to read


class Window(Gtk.ApplicationWindow):
    def __init__(self, application: Gtk.Application, admin: Admin, tray: Tray) -> None:
        super().__init__(application=application, title="qmcp", icon_name="security-high")
        self._admin, self._tray = admin, tray
        self._worlds: list[Json] = []
        self._wrong: dict[str, str] = {}  # what cannot be shown, and why
        self._due: set[tuple[str, ...]] = set()
        self._waiting, self._problems = 0, 0
        self._book = Gtk.Notebook(scrollable=True)
        self._banner = text("", "wrong", 2)
        self._banner.set_no_show_all(True)
        self._said = text("", "command", 1)
        self._said.get_accessible().set_name("The result")
        self._said.set_no_show_all(True)
        self.freeze = Freeze(admin, self._say)
        self._build_tables()
        self._lay_out()
        self._take = {
            WORLDS: self._show_worlds,
            PLANS: self._show_plans,
            GATEWAYS: lambda rows: self._gateways.fill(map(words.gateway, rows)),
            REMOVED: lambda rows: self._removed.fill(map(words.removed, rows)),
            CHECK: self._show_problems,
            LOG: lambda entries: [self._show_entry(entry) for entry in entries],
        }
        admin.stream(("watch",), self._happened)
        for document in self._take:
            self._read(document)
        GLib.timeout_add_seconds(1, self._tick)

    # ---- the pages

    def _lay_out(self) -> None:
        """FREEZE comes first, for the eye and for the keyboard."""
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=MARGIN, border_width=MARGIN)
        for widget, grows in (
            (self.freeze, False),
            (self._said, False),
            (self._banner, False),
            (self._book, True),
        ):
            box.pack_start(widget, grows, grows, 0)
        self.add(box)

    def _build_tables(self) -> None:
        self._qubes = self._page(
            "_Qubes",
            [("qube", 20), ("world", 10), ("state", 10), ("tier", 9), ("network", 14), *MORE],
        )
        self._qubes.add_action("C_hange...", self._change_qube)
        self._qubes.add_action("E_xpel...", self._expel)
        self._qubes.add_action("_Enroll...", self._enroll, row=False)
        self._plans = Review(self._admin, self, self._say)
        self._plans_label = self._add(self._plans, "_Plans")
        self._activity = self._page(
            "_Activity",
            [("time", 24), ("who", 14), ("call", 30), ("qubes", 30), ("result", 24)],
            newest_first=True,
        )
        self._grants = self._page(
            "_Grants", [("qube", 22), ("tier now", 12), ("time left", 16), ("until", 24)]
        )
        self._grants.add_action("Revoke _ended...", self._form("Revoke", "expire"), row=False)
        self._grants.add_action(
            "Revoke a_ll...", self._form("Revoke", "expire", "--all"), row=False
        )
        self._budgets = Gtk.Grid(
            row_spacing=MARGIN, column_spacing=3 * MARGIN, border_width=2 * MARGIN
        )
        self._add(self._budgets, "_Budgets")
        self._gateways = self._page(
            "Gate_ways",
            [("gateway", 18), ("world", 10), ("state", 10), ("outbound rules", 34), *ROUTE],
        )
        self._gateways.add_action("C_hange...", self._change_gateway)
        self._removed = self._page(
            "_Removed", [("qube", 24), ("world", 12), ("removed", 24), ("would get back", 16)]
        )
        self._removed.add_action("Re_store...", self._restore)
        self._removed.add_action(
            "_Delete those past retention...", self._form("Delete", "reap"), row=False
        )
        self._check = self._page("_Check", [("where", 28), ("problem", 54), ("fix", 46)])
        self._check.add_action("Check _now", lambda _: self._read(CHECK), row=False)
        self._light = self._check_label

    def _page(self, name: str, columns: list[tuple[str, int]], newest_first: bool = False) -> Table:
        plain = name.replace("_", "")
        table = Table(plain, columns, newest_first=newest_first)
        self._check_label = self._add(table, name)
        return table

    def _add(self, page: Gtk.Widget, name: str) -> Gtk.Label:
        label = Gtk.Label(label=name, use_underline=True, mnemonic_widget=page)
        label.connect("mnemonic-activate", lambda *_: self._open(page))
        if not isinstance(page, Gtk.Grid):
            self._book.append_page(page, label)
            return label
        scrolled = Gtk.ScrolledWindow()
        scrolled.add(page)
        label.connect("mnemonic-activate", lambda *_: self._open(scrolled))
        self._book.append_page(scrolled, label)
        return label

    def _open(self, page: Gtk.Widget) -> bool:
        self._book.set_current_page(self._book.page_num(page))
        return page.child_focus(Gtk.DirectionType.TAB_FORWARD)

    # ---- documents

    def _read(self, document: tuple[str, ...]) -> None:
        def then(found: Any, wrong: str) -> None:
            rows = found if isinstance(found, list) else [] if found is None else [found]
            failed = wrong if not rows or document != CHECK else ""
            self._problem(" ".join(document[:2]), failed)
            if not failed:
                self._take[document](rows)

        self._admin.read(document, then)

    def _problem(self, where: str, why: str) -> None:
        self._wrong = {key: said for key, said in self._wrong.items() if key != where}
        if why:
            self._wrong[where] = why
        said = "\n".join(dict.fromkeys(self._wrong.values()))
        self._banner.set_text(said and f"Not all of this is up to date: {said}")
        self._banner.set_visible(bool(said))
        self._show_state()

    def _show_worlds(self, worlds: list[Json]) -> None:
        self._worlds = worlds
        self.freeze.offer([world["world"] for world in worlds])
        here = [(world, one) for world in worlds for one in world["qubes"]]
        self._qubes.fill(words.qube(*one) for one in here if one[1]["tier"] != "removed")
        self._grants.fill(words.grants(worlds))
        self._show_budgets(worlds)

    def _show_budgets(self, worlds: list[Json]) -> None:
        for widget in self._budgets.get_children():
            self._budgets.remove(widget)
        lines = [(world["world"], line) for world in worlds for line in world["budget"]]
        for row, (world, line) in enumerate(lines):
            used, limit = line["used"], line["limit"]
            show = words.size if line["line"] in ("disk", "private_size") else safe
            bar = Gtk.ProgressBar(hexpand=True, show_text=True, ellipsize=Pango.EllipsizeMode.END)
            bar.set_fraction(min(used / limit, 1) if used and limit else 0)
            known = f"{show(used)} of {show(limit)}"
            bar.set_text(known if used is not None else f"at most {show(limit)}; qmcpd counts it")
            bar.get_accessible().set_name(f"{safe(world)}: {line['line']}")
            name = Gtk.Label(label=line["line"].replace("_", " "), xalign=0)
            for column, widget in enumerate((Gtk.Label(label=safe(world), xalign=0), name, bar)):
                self._budgets.attach(widget, column, row, 1, 1)
        self._budgets.show_all()

    def _show_plans(self, plans: list[Json]) -> None:
        self._waiting = sum(one["state"] == PROPOSED for one in plans)
        self._plans_label.set_text_with_mnemonic(f"_Plans ({self._waiting})")
        self._plans.fill(plans)
        self._show_state()

    def _show_problems(self, found: list[Json]) -> None:
        self._problems = len(found)
        self._check.fill(words.problem(number, one) for number, one in enumerate(found))
        self._show_state()

    def _show_state(self) -> None:
        """The light, and the dot in the tray."""
        wrong = bool(self._problems or self._wrong)
        said = f"_Check: {self._problems} found" if self._problems else "_Check: no problem"
        self._light.set_text_with_mnemonic(said if not self._wrong else "_Check: not up to date")
        style = self._light.get_style_context()
        style.add_class("light")
        style.remove_class("good" if wrong else "bad")
        style.add_class("bad" if wrong else "good")
        frozen, waits = bool(self.freeze.frozen), bool(self._waiting)
        state = "frozen" if frozen else "bad" if wrong else "wait" if waits else "good"
        self._tray.show(state, self._waiting)

    def _show_entry(self, entry: Json) -> None:
        if isinstance(entry, dict) and entry.get("kind") != "start":
            key = safe(entry.get("call") or entry.get("hash"))
            row = self._activity.row(key)
            if row is None or row[5] == "in progress":
                self._activity.put(words.call(entry, row))

    # ---- what happens

    def _happened(self, event: Any, wrong: str) -> None:
        self._problem("watch", wrong)
        if not isinstance(event, dict):
            return
        kind = event.get("event")
        if kind == "log":
            self._show_entry(event["entry"])
        elif kind == "qube":
            self._show_qube(event)
        elif kind == "frozen":
            self.freeze.show_frozen(event["worlds"])
            names = ", ".join(map(safe, event["worlds"]))
            self.set_title(f"qmcp: FROZEN: {names}" if names else "qmcp")
        elif kind == "qubesd":
            self._problem("qubesd", "" if event["answers"] else "qubesd does not answer")
        for document in TOUCHES.get(str(kind), ()):
            self._read_soon(document)

    def _show_qube(self, event: Json) -> None:
        row = self._qubes.row(safe(event["qube"]))
        if row is not None and event["world"] and event["tier"] != "removed":
            name, world, state, tier = (
                safe(event[key]) for key in ("qube", "world", "state", "tier")
            )
            self._qubes.put(
                (name, name, world, state, tier, *row[5:7], safe(event["switches"]), *row[8:])
            )
        else:
            self._read_soon(WORLDS)
            self._read_soon(REMOVED)

    def _read_soon(self, document: tuple[str, ...]) -> None:
        if document not in self._due:
            self._due.add(document)
            GLib.timeout_add_seconds(SOON, self._read_due, document)

    def _read_due(self, document: tuple[str, ...]) -> bool:
        self._due.discard(document)
        self._read(document)
        return False

    def _tick(self) -> bool:
        """Only the time that is left changes by itself."""
        self._grants.fill(words.grants(self._worlds))
        return True

    def _say(self, said: str) -> None:
        self._said.set_text(said)
        self._said.show()
        for document in self._take:
            if document != LOG:
                self._read_soon(document)

    # ---- forms

    def _form(self, title: str, *command: str) -> Callable[[Row | None], None]:
        return lambda _: self._ask(title, [], lambda _: command)

    def _ask(
        self, title: str, fields: list[Field], build: Callable[[dict[str, str]], tuple[str, ...]]
    ) -> None:
        Form(self, self._admin, title, fields, build, self._say)

    def _tiers(self) -> list[str]:
        return list(self._worlds[0]["tiers"]) if self._worlds else []

    def _change_qube(self, row: Row | None) -> None:
        name = row[0] if row else ""
        switches = ("guard", "sink", "egress-lock", "source")
        fields: list[Field] = [
            ("tier", [KEEP, *self._tiers()]),
            *((switch, ON_OFF) for switch in switches),
            ("for", LASTING),
            ("shared with", None),
        ]
        self._ask(f"Change {name}", fields, lambda value: ("manage", name, *_options(value)))

    def _enroll(self, _: Row | None) -> None:
        fields: list[Field] = [
            ("qube", None),
            ("world", [world["world"] for world in self._worlds]),
            ("tier", self._tiers()),
            ("for", LASTING),
            ("shared with", None),
        ]

        def build(value: dict[str, str]) -> tuple[str, ...]:
            return ("enroll", value.pop("qube"), *_options(value))

        self._ask("Enroll a qube", fields, build)

    def _expel(self, row: Row | None) -> None:
        name = row[0] if row else ""
        self._ask(f"Expel {name} from its world", [], lambda _: ("expel", name))

    def _restore(self, row: Row | None) -> None:
        name = row[0] if row else ""
        self._ask(f"Restore {name}", [], lambda _: ("restore", name))

    def _change_gateway(self, row: Row | None) -> None:
        gateway, world = (row[1], row[2]) if row else ("", "")
        fields: list[Field] = [("filters", ON_OFF), ("anonymising", ON_OFF), ("label", None)]
        change = ("gateway", "change", gateway, "--world", world)
        self._ask(f"Change {gateway}", fields, lambda value: (*change, *_options(value)))


def _options(value: dict[str, str]) -> list[str]:
    """`--tier exec` for each that is not left as it is. Qubes are given as several words."""
    given = {name: one for name, one in value.items() if one and one not in (KEEP, LASTING[0])}
    shared = given.pop("shared with", "").split()
    options = [word for name, one in given.items() for word in (f"--{name}", one)]
    return [*options, *(["--shared-with", *shared] if shared else [])]
