import unittest

from qmcpd import messages, schema
from qmcpd.errors import Refused
from spec import LIMITS, TYPES


class Descriptors(unittest.TestCase):
    def test_a_call_on_a_qube_names_service_caller_and_target(self) -> None:
        self.assertEqual(
            messages.parse_descriptor(b"qmcp.spawn.Start+ai-work mcp-control name ai-work"),
            ("qmcp.spawn.Start", "ai-work", "mcp-control", "ai-work"),
        )

    def test_a_call_on_the_adminvm_has_dom0_as_its_target(self) -> None:
        self.assertEqual(
            messages.parse_descriptor(b"qmcp.Catalog+ mcp-control keyword adminvm"),
            ("qmcp.Catalog", "", "mcp-control", "dom0"),
        )

    def test_a_call_with_an_argument_on_the_adminvm_is_of_another_service(self) -> None:
        for argument in ("x", "+", "ai-work", "dom0", "@adminvm"):
            self.assertEqual(
                messages.parse_descriptor(
                    f"qmcp.spawn.Create+{argument} mcp-control keyword adminvm".encode()
                ),
                (f"qmcp.spawn.Create+{argument}", "", "mcp-control", "dom0"),
            )

    def test_the_argument_of_a_call_on_a_qube_is_all_that_follows_the_first_plus(self) -> None:
        for argument in ("", "ai-work", "+", "ai-work+ai-two", "AI-WORK", "@dispvm"):
            header = f"qmcp.spawn.Start+{argument} mcp-control name ai-work".encode()
            self.assertEqual(
                messages.parse_descriptor(header),
                ("qmcp.spawn.Start", argument, "mcp-control", "ai-work"),
            )
        without = b"qmcp.spawn.Start mcp-control name ai-work"
        self.assertEqual(messages.parse_descriptor(without)[:2], ("qmcp.spawn.Start", ""))

    def test_anything_else_is_refused_on_its_shape(self) -> None:
        for header in (
            b"",
            b" ",
            b"qmcp.spawn.Start",
            b"qmcp.spawn.Start+ mcp-control",
            b"admin.vm.Start+ mcp-control name ai-work",
            b"qmcp.spawn.Start+  name ai-work",  # no caller
            b"qmcp.spawn.Start+ dom0 name ai-work",
            b"qmcp.spawn.Start+ mcp-control keyword default",
            b"qmcp.spawn.Start+ mcp-control name dom0\n",
            b"qmcp.spawn.Start+ mcp-control name ai-work extra",
            b"qmcp.spawn.Start+ mcp-control\xc3\xa9 name ai-work",
            b"qmcp.spawn.Start+ai-work\xc3\xa9 mcp-control name ai-work",
            b"qmcp.spawn.Start+ai-work\x7f mcp-control name ai-work",
            b"qmcp.spawn.Start_ai-work mcp-control name ai-work",
            b"qmcp.spawn.Start+ai-work mcp-control name uuid:00000000-0000-0000-0000-000000000000",
        ):
            with self.subTest(header=header), self.assertRaises(Refused) as caught:
                messages.parse_descriptor(header)
            self.assertEqual(caught.exception.code, "invalid-request")


class Names(unittest.TestCase):
    def test_the_shape_of_a_name_is_qubesd_s(self) -> None:
        for name in ("ai-work", "a", "A.b_c-9", "a" * 31):
            self.assertTrue(schema.fits(TYPES["new_name"], name), name)
        for name in (
            "",
            "-a",
            "9a",
            "a b",
            "a\n",
            "a" * 32,
            "none",
            "default",
            "dom0",
            "Domain-0",
            "ai-dm",
            None,
            1,
            "é",
        ):
            self.assertFalse(schema.fits(TYPES["new_name"], name), name)


class Payloads(unittest.TestCase):
    def test_one_json_object_is_read(self) -> None:
        self.assertEqual(
            messages.parse_json(b' {"a": [1, true, null, "\xc3\xa9"]} '),
            {"a": [1, True, None, "é"]},
        )

    def test_a_payload_of_exactly_the_limit_is_read(self) -> None:
        payload = b'{"a":"' + b"x" * (LIMITS.request_bytes - 8) + b'"}'
        self.assertEqual(len(payload), LIMITS.request_bytes)
        self.assertEqual(len(messages.parse_json(payload)["a"]), LIMITS.request_bytes - 8)

    def test_brackets_in_a_string_are_not_depth(self) -> None:
        self.assertEqual(messages.parse_json(b'{"a":"\\"[[[[[[[[[[[["}'), {"a": '"[[[[[[[[[[[['})

    def test_anything_else_is_refused_on_its_shape(self) -> None:
        for payload in (
            b"",
            b"[]",
            b"1",
            b"null",
            b"{",
            b'{"a":1}{"b":2}',
            b'{"a":NaN}',
            b'{"a":Infinity}',
            b'{"a":1,"a":1}',
            b'{"a":{"b":1,"b":2}}',
            b'{"a":"\\ud800"}',
            b'{"\\udc00":1}',
            b"\xff\xfe",
            b"\xef\xbb\xbf{}",
            b'{"a":' * 9 + b"1" + b"}" * 9,
            b"[" * 60_000,
            b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
            b'{"a":' + b"9" * 5_000 + b"}",
            b'{"a":"' + b"x" * (LIMITS.request_bytes - 7) + b'"}',
        ):
            with self.subTest(payload=payload[:40]), self.assertRaises(Refused) as caught:
                messages.parse_json(payload)
            self.assertEqual(caught.exception.code, "invalid-request")


class Replies(unittest.TestCase):
    def test_a_reply_is_one_line_of_ascii(self) -> None:
        self.assertEqual(
            messages.reply({"name": "é\n"}), b'{"ok":true,"result":{"name":"\\u00e9\\n"}}\n'
        )

    def test_a_refusal_is_its_code_and_nothing_else(self) -> None:
        self.assertEqual(
            messages.refusal(Refused("not-found")), b'{"error":{"code":"not-found"},"ok":false}\n'
        )
