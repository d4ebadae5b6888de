import unittest
from typing import Any

from qmcpd import schema
from settings import subset

CLOSED = {"type": "object", "additionalProperties": False}


class Subset(unittest.TestCase):
    def test_the_subset_is_accepted(self) -> None:
        subset.check(
            {
                **CLOSED,
                "required": ["name"],
                "properties": {
                    "name": {
                        "type": "string",
                        "pattern": "^[a-z][a-z0-9-]*$",
                        "maxLength": 31,
                        "description": "a name",
                    },
                    "size": {"type": "integer", "minimum": 1, "maximum": 2**50},
                    "label": {"enum": ["red", "blue"]},
                    "list": {
                        "type": "array",
                        "items": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
                        "maxItems": 3,
                    },
                },
            }
        )

    def test_everything_else_names_its_place(self) -> None:
        bad: Any  # some are no schema at all
        for bad in (
            {"type": "object"},
            {**CLOSED, "additionalProperties": True},
            {**CLOSED, "patternProperties": {}},
            {**CLOSED, "properties": {"a": {"type": "number"}}},
            {"$ref": "#"},
            {"type": "number"},
            {"type": ["string"]},
            {"type": "array"},
            {"type": "string", "format": "uri"},
            {**CLOSED, "required": "a"},
            {"type": "integer", "minimum": 1.5},
            {"type": "integer", "minimum": True},
            {"enum": []},
            {"enum": [1]},
            {"anyOf": []},
            {"anyOf": [{"type": "string"}], "type": "string"},
            {"type": "string", "enum": ["a"]},
            True,
            None,
            {},
        ):
            with (
                self.subTest(schema=bad),
                self.assertRaisesRegex(ValueError, "expected|no additional"),
            ):
                subset.check(bad)
        with self.assertRaisesRegex(ValueError, "requires only what its properties name"):
            subset.check({**CLOSED, "required": ["a"]})

    def test_a_pattern_matches_in_linear_time(self) -> None:
        for pattern in ("(a+)+$", "^[a]*[a]*$", "^.*$", "^(a|b)*$", "^a{9}$", "[a]+"):
            with self.subTest(pattern=pattern), self.assertRaisesRegex(ValueError, "pattern"):
                subset.check({"type": "string", "pattern": pattern})
        with self.assertRaisesRegex(ValueError, "expected"):
            subset.check({"type": "string", "pattern": f"^[a]*{'a' * 255}$"})


class Values(unittest.TestCase):
    def fits(self, of: schema.Schema, *values: object) -> None:
        for value in values:
            self.assertTrue(schema.fits(of, value), value)

    def misfits(self, of: schema.Schema, *values: object) -> None:
        for value in values:
            self.assertFalse(schema.fits(of, value), value)

    def test_an_integer_is_neither_a_boolean_nor_a_float_nor_text(self) -> None:
        self.fits({"type": "integer"}, 0, -1, 2**63)
        self.misfits({"type": "integer"}, True, 1.5, 1.0, 1e30, "10", None)

    def test_bounds_are_inclusive(self) -> None:
        self.fits({"type": "integer", "minimum": 1, "maximum": 3}, 1, 3)
        self.misfits({"type": "integer", "minimum": 1, "maximum": 3}, 0, 4)
        self.fits({"type": "string", "minLength": 1, "maxLength": 2}, "a", "ab")
        self.misfits({"type": "string", "minLength": 1, "maxLength": 2}, "", "abc")

    def test_a_pattern_matches_the_whole_text_and_no_final_newline(self) -> None:
        self.fits({"type": "string", "pattern": "^[a-z]+$"}, "dom")
        self.misfits({"type": "string", "pattern": "^[a-z]+$"}, "dom\n", " dom", "")

    def test_an_object_has_what_is_required_and_nothing_unknown(self) -> None:
        of = {
            **CLOSED,
            "properties": {"a": {"type": "null"}, "b": {"type": "boolean"}},
            "required": ["a"],
        }
        self.fits(of, {"a": None}, {"a": None, "b": False})
        self.misfits(of, {}, {"b": True}, {"a": None, "c": 1}, {"a": 0}, [])
