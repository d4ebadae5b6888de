"""The operator's window, as far as that needs no screen; test/operator/window.test.ts opens it."""

import ast
import sys
import unittest
from pathlib import Path

WINDOW = Path(__file__).parent.parent / "window"
sys.path.append(str(WINDOW))

import words  # noqa: E402

HOSTILE = "<b>x</b>\n\x1b[2J\u202eevil\u2028\ud800 https://x.example &amp;"


def modules() -> dict[str, ast.Module]:
    files = [*WINDOW.glob("*.py"), WINDOW / "qmcp-window"]
    return {path.name: ast.parse(path.read_bytes()) for path in files}


class Words(unittest.TestCase):
    def test_words_of_an_agent_become_one_bounded_line_of_printable_ascii(self) -> None:
        for value in (HOSTILE, [HOSTILE, 1], HOSTILE * 1000):
            shown = words.safe(value)
            self.assertRegex(shown, r"\A[ -~]+\Z")
            self.assertLess(len(shown), 10 * words.MOST + 10)
        self.assertEqual(words.safe("a\nb\u202e"), "a\\nb\\u202e")
        self.assertEqual(words.safe(None), "")

    def test_every_cell_of_every_table_is_safe_whatever_the_documents_say(self) -> None:
        keys = (
            "qube state tier network disk switches class gateway world rules removed where what fix"
        )
        one = dict.fromkeys(keys.split(), HOSTILE) | {"made by": [HOSTILE], "until": HOSTILE}
        one |= {"would get back": HOSTILE, "used by": [HOSTILE], "label": HOSTILE}
        entry = dict.fromkeys(("call", "principal", "service", "target", "code", "time"), HOSTILE)
        rows = [
            words.qube({"world": HOSTILE}, one),
            *words.grants([{"world": HOSTILE, "qubes": [one]}]),
            words.removed(one),
            words.gateway(one),
            words.problem(0, one),
            words.call(entry | {"names": [HOSTILE]}, None),
            words.call({"kind": {"x": 1}, "names": HOSTILE, "call": [1]}, None),
        ]
        for row in rows:
            for cell in row:
                self.assertRegex(cell, r"\A[ -~]*\Z")

    def test_the_outcome_of_a_call_takes_the_place_of_its_intent(self) -> None:
        entry = {"call": "c1", "kind": "intent", "principal": "p", "service": "s", "target": "dom0"}
        began = words.call(entry | {"names": ["one"], "time": "2026-01-02T03:04:05Z"}, None)
        self.assertEqual((began[4], began[5]), ("one", "in progress"))
        ended = words.call(entry | {"kind": "outcome", "code": "ok", "names": ["one"]}, began)
        self.assertEqual((ended[0], ended[1], ended[5]), ("c1", began[1], "ok"))

    def test_the_time_that_is_left_ends_in_words(self) -> None:
        self.assertEqual(words.time_left("1970-01-01T02:00:00Z", 59.0), "1 h 59 min 01 s")
        self.assertEqual(words.time_left("1970-01-01T00:00:00Z", 0.0), "has ended")
        self.assertEqual(words.time_left(None), "")


class Source(unittest.TestCase):
    def test_the_window_imports_only_the_standard_library_gtk_and_its_own_files(self) -> None:
        own = {path.stem for path in WINDOW.glob("*.py")}
        for name, tree in modules().items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    found = [alias.name for alias in node.names]
                else:
                    found = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                for module in found:
                    first = module.split(".")[0]
                    self.assertTrue(first in {"gi", *own} or first in sys.stdlib_module_names, name)
                    self.assertNotIn(first, {"socket", "ctypes", "asyncio", "urllib", "http"}, name)

    def test_only_one_file_starts_a_program_and_no_widget_reads_markup(self) -> None:
        for name, tree in modules().items():
            used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            used |= {node.arg or "" for node in ast.walk(tree) if isinstance(node, ast.keyword)}
            self.assertFalse({one for one in used if "markup" in one}, name)
            starts = {"Subprocess", "spawn_async", "spawn_command_line_async", "system", "popen"}
            self.assertLessEqual(used & starts, {"Subprocess"} if name == "admin.py" else set())
            self.assertFalse("subprocess" in used, name)
