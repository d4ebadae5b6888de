import tempfile
import unittest
from pathlib import Path

from qmcpd import config
from qmcpd.errors import Misconfigured

SHIPPED = Path(__file__).parent.parent / "qmcp.toml"
GOOD = """\
[world.ai]
prefix = "ai-"
gateways = ["sys-ai-net"]
birth_gateway = "sys-ai-net"

[world.ai.principal.mcp-control]
plugins = ["spawn"]
"""


class Reading(unittest.TestCase):
    def load(self, text):
        with tempfile.NamedTemporaryFile("wb", suffix=".toml") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
            file.flush()
            return config.load(file.name)

    def test_the_shipped_file_is_good(self):
        world = config.load(SHIPPED).world_of("mcp-control")
        self.assertEqual((world.name, world.prefix, world.umbrella), ("ai", "ai-", "ai-managed"))

    def test_a_stranger_has_no_world(self):
        self.assertIsNone(self.load(GOOD).world_of("work"))

    def test_a_key_that_is_left_out_is_the_least_authority(self):
        world = self.load('[world.ai]\nprefix = "ai-"\n[world.ai.principal.mcp-control]\n').world_of("mcp-control")
        self.assertEqual(world.birth_ceiling, "read")
        self.assertEqual(world.birth_gateway, "")
        self.assertEqual(world.principals["mcp-control"], frozenset())

    def test_principals_gateways_and_guarded_of_every_world_are_out_of_reach(self):
        worlds = self.load(GOOD + '[world.lab]\nprefix = "lab-"\nguarded = ["lab-x"]\n[world.lab.principal.lab-control]\n').worlds
        self.assertEqual(worlds["ai"].excluded, {"dom0", "mcp-control", "lab-control", "sys-ai-net"})
        self.assertEqual(worlds["lab"].excluded, worlds["ai"].excluded | {"lab-x"})

    def test_a_bad_file_is_refused_with_its_line_and_what_was_expected(self):
        for text, line, message in (
            ("", 1, "no [world.NAME] table"),
            ("[world.ai\n", 1, "not TOML"),
            (GOOD + "x = \n", 8, "not TOML"),
            (b"\xff", None, "cannot be read"),
            (b"\xef\xbb\xbf" + GOOD.encode(), 1, "not TOML"),
            (GOOD.replace("gateways =", "gateway ="), 3, "did you mean 'gateways'"),
            (GOOD.replace('"ai-"', '"AI"'), 2, "expected lower-case"),
            (GOOD.replace('"ai-"', '""'), 2, "expected lower-case"),
            (GOOD.replace('["sys-ai-net"]', '"sys-ai-net"'), 3, "a list of qube names"),
            (GOOD.replace('birth_gateway = "sys-ai-net"', 'birth_gateway = "sys-net"'), 4, "not among"),
            (GOOD.replace('["spawn"]', '["Spawn"]'), 7, "a list of plugin ids"),
            (GOOD.replace("plugins", "plugin"), 7, "did you mean 'plugins'"),
            (GOOD.replace("[world.ai.principal.mcp-control]", "[world.ai.principal.dom0]"), 6, "not a qube name"),
            (GOOD.replace("sys-ai-net", "mcp-control"), 3, "a principal cannot be a gateway"),
            (GOOD + 'birth_ceiling = "full"\n', 8, "unknown key"),
            (GOOD + '[world.lab]\nprefix = "lab-"\n[world.lab.principal.mcp-control]\n', 10, "already a principal of world ai"),
            (GOOD + '[world.aib]\nprefix = "ai-"\n[world.aib.principal.other]\n', 9, "overlaps"),
            (GOOD.replace("[world.ai]", '[world.ai]\nbirth_ceiling = "root"'), 2, "one of read, exec, net, full"),
            (GOOD.replace("[world.ai]", "[world.ai]\nconcurrent_calls = true"), 2, "integer from 1 to 64"),
            ('[worlds.ai]\nprefix = "ai-"\n', 1, "did you mean 'world'"),
            ("[world.ai]\n[world.ai.principal.a]\n", 1, "has no 'prefix'"),
        ):
            with self.subTest(message=message), self.assertRaises(Misconfigured) as caught:
                self.load(text)
            place = ".toml:" if line is None else f".toml:{line}: "
            self.assertIn(place, str(caught.exception))
            self.assertIn(message, str(caught.exception))
