import asyncio
import json
import os
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from qmcpd import steps
from qmcpd.errors import Misconfigured, Refused
from settings import config
from spec import FEATURES, NAMES

SHIPPED = Path(__file__).parent.parent / "qmcp.toml"
GOOD = """\
[world.ai]
prefix = "ai-"
birth_gateway = "sys-ai-net"

[world.ai.gateway.sys-ai-net]

[world.ai.principal.mcp-control]
plugins = ["spawn"]
"""


class Reading(unittest.TestCase):
    def load(self, text: str | bytes) -> config.Config:
        with tempfile.NamedTemporaryFile("wb", suffix=".toml") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
            file.flush()
            return config.load(Path(file.name))

    # ATTACK 16
    def test_a_principal_has_no_dot_in_its_name_because_qubesd_tags_with_it(self) -> None:
        with self.assertRaises(Misconfigured) as caught:
            self.load(GOOD.replace("principal.mcp-control", 'principal."mcp.control"'))
        self.assertIn("without a dot, because qubesd tags with it", str(caught.exception))

    def test_no_world_has_a_name_that_stands_for_something_else(self) -> None:
        for name in ("all", "guivm", "audiovm", "relayvm", "created", "disp", "anon"):
            with self.subTest(name=name), self.assertRaises(Misconfigured) as caught:
                self.load(GOOD.replace("world.ai", f"world.{name}"))
            self.assertIn(f"world.{name}: expected another name", str(caught.exception))
            self.assertIn(NAMES.reserved_world[name], str(caught.exception))

    def test_a_feature_can_be_listed_while_it_acts_only_inside_its_qube(self) -> None:
        listed = ["x-note", "service.x-mine", "service.cups", *FEATURES["acts_inside"]]
        text = GOOD.replace("[world.ai]", f"[world.ai]\nfeatures = {json.dumps(listed)}")
        self.assertEqual(self.load(text).worlds["ai"].features, listed)

    def test_a_feature_that_the_host_acts_on_cannot_be_listed_and_the_message_says_what_it_does(
        self,
    ) -> None:
        outside = {
            name.replace("*", "any"): words for name, words in FEATURES["acts_outside"].items()
        }
        unknown = dict.fromkeys(
            ("service.new-in-5.0", "new", "X-note", "xnote", "service.", "x-", "x-" + "a" * 60),
            "may do anything: qmcp does not know it",
        )
        self.assertEqual(outside["service.meminfo-writer"][:13], "writes maxmem")
        for name, words in (outside | unknown).items():
            text = GOOD.replace("[world.ai]", f'[world.ai]\nfeatures = ["x-note", "{name}"]')
            with self.subTest(feature=name), self.assertRaises(Misconfigured) as caught:
                self.load(text)
            self.assertIn("world.ai.features: ", str(caught.exception))
            self.assertIn(f"with {name!r}, the host {words}", str(caught.exception))

    def test_a_step_sets_no_feature_that_acts_outside_whatever_the_world_lists(self) -> None:
        world = SimpleNamespace(features=["service.meminfo-writer", "qemu-extra-args"])
        call: Any = SimpleNamespace(world=world)
        qube: Any = None  # the step does not look at it
        for name in world.features:
            with self.assertRaises(Refused) as caught:
                asyncio.run(steps.set_feature(call, qube, name, "1"))
            self.assertEqual(caught.exception.code, "not-permitted")

    def test_a_file_that_may_not_be_read_is_unusable_and_not_taken_for_an_empty_one(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "qmcp.toml"
            path.write_text(GOOD)
            os.chmod(folder, 0o755)
            os.chmod(path, 0o600)
            child = os.fork()
            if child == 0:  # as the user qmcpd runs under: root may read everything
                try:
                    if os.getuid() == 0:
                        os.setuid(65534)
                    else:
                        os.chmod(path, 0)
                    config.load(path)
                except Misconfigured:
                    os._exit(0)
                finally:
                    os._exit(1)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def test_the_shipped_file_is_good(self) -> None:
        world = config.load(SHIPPED).world_of("mcp-control")
        assert world
        self.assertEqual((world.name, world.prefix, world.umbrella), ("ai", "ai-", "ai-managed"))

    def test_a_stranger_has_no_world(self) -> None:
        self.assertIsNone(self.load(GOOD).world_of("work"))

    def test_a_key_that_is_left_out_is_the_least_authority(self) -> None:
        world = self.load(
            '[world.ai]\nprefix = "ai-"\n[world.ai.principal.mcp-control]\n'
        ).world_of("mcp-control")
        assert world
        self.assertEqual(world.birth_ceiling, "read")
        self.assertEqual(world.birth_gateway, "")
        self.assertEqual(world.principals["mcp-control"], frozenset())
        self.assertEqual((world.egress, world.properties, world.features), ([], [], []))
        self.assertEqual(
            {
                world.budget[line]
                for line in ("qubes", "disk", "running", "memory", "vcpus", "creates_per_hour")
            },
            {0},
        )

    def test_principals_gateways_and_guarded_of_every_world_are_out_of_reach(self) -> None:
        worlds = self.load(
            GOOD
            + '[world.lab]\nprefix = "lab-"\nguarded = ["lab-x"]\n[world.lab.principal.lab-control]\n'
        ).worlds
        self.assertEqual(
            worlds["ai"].excluded, {"dom0", "mcp-control", "lab-control", "sys-ai-net"}
        )
        self.assertEqual(worlds["lab"].excluded, worlds["ai"].excluded | {"lab-x"})

    def test_a_bad_file_is_refused_with_its_key_and_what_was_expected(self) -> None:
        for text, key, message in (
            ("", "", "the key world"),
            ("world = {}", "world: ", "a world"),
            ("[world.ai\n", "", "at line 1"),
            (GOOD + "x = \n", "", "at line 9"),
            (b"\xff", "", "invalid start byte"),
            (b"\xef\xbb\xbf" + GOOD.encode(), "", "at line 1"),
            (
                GOOD.replace("gateway =", "gateways ="),
                "world.ai.birth_gateways: ",
                "one of prefix, birth_ceiling, gateway",
            ),
            (GOOD.replace('"ai-"', '"AI"'), "world.ai.prefix: ", "lower-case"),
            (GOOD.replace('"ai-"', '""'), "world.ai.prefix: ", "lower-case"),
            (
                GOOD.replace("[world.ai.gateway.sys-ai-net]", 'gateway = ["sys-ai-net"]'),
                "world.ai.gateway: ",
                "a table of gateways",
            ),
            (
                GOOD.replace("gateway.sys-ai-net", "gateway.dom0"),
                "world.ai.gateway.dom0: ",
                "a qube name",
            ),
            (
                GOOD.replace("[world.ai.p", "filters = 1\n[world.ai.p"),
                "world.ai.gateway.sys-ai-net.filters: ",
                "true or false",
            ),
            (
                GOOD.replace("[world.ai.p", "filter = true\n[world.ai.p"),
                "world.ai.gateway.sys-ai-net.filter: ",
                "one of filters, anonymising, label",
            ),
            (
                GOOD.replace("[world.ai]", "[world.ai]\nanonymous = true"),
                "world.ai.gateway.sys-ai-net.anonymising: ",
                "true, because the world is anonymous",
            ),
            (
                GOOD.replace("[world.ai.p", "filters = false\n[world.ai.p"),
                "world.ai.gateway.sys-ai-net.filters: ",
                "or a ceiling of everything",
            ),
            (
                GOOD.replace('birth_gateway = "sys-ai-net"', 'birth_gateway = "sys-net"'),
                "world.ai.birth_gateway: ",
                "gateways",
            ),
            (
                GOOD.replace('["spawn"]', '["Spawn"]'),
                "world.ai.principal.mcp-control.plugins.0: ",
                "a plugin id",
            ),
            (
                GOOD.replace("plugins", "plugin"),
                "world.ai.principal.mcp-control.plugin: ",
                "plugins",
            ),
            (
                GOOD.replace("[world.ai.principal.mcp-control]", "[world.ai.principal.dom0]"),
                "principal.dom0: ",
                "a qube name",
            ),
            (
                GOOD.replace("sys-ai-net", "mcp-control"),
                "world.ai.gateway: ",
                "cannot be a gateway",
            ),
            (
                GOOD + '[world.lab]\nprefix = "lab-"\n[world.lab.principal.mcp-control]\n',
                "world.lab.principal.mcp-control: ",
                "world ai's",
            ),
            (
                GOOD + '[world.aib]\nprefix = "ai-"\n[world.aib.principal.other]\n',
                ".prefix: ",
                "does not overlap",
            ),
            (
                GOOD.replace("[world.ai]", "[world.AI]"),
                "world.AI: ",
                "lower-case letters and digits",
            ),
            (
                GOOD.replace("[world.ai]", '[world.ai]\nbirth_ceiling = "root"'),
                "world.ai.birth_ceiling: ",
                "one of read, exec, net, full",
            ),
            (
                GOOD + "[world.ai.budget]\nconcurrent_calls = true",
                "world.ai.budget.concurrent_calls: ",
                "an integer from 1 to 64",
            ),
            (GOOD + "[world.ai.budget]\nqubes = -1", "world.ai.budget.qubes: ", "an integer"),
            (GOOD + '[[world.ai.egress]]\nto = "not a host"', "world.ai.egress: ", "rules"),
            (GOOD + '[[world.ai.egress]]\nto = "*"\nports = "80"', "world.ai.egress: ", "rules"),
            (
                GOOD.replace("[world.ai]", '[world.ai]\nfeatures = ["qmcp-network"]'),
                "world.ai.features: ",
                "x-NAME",
            ),
            (
                GOOD.replace("[world.ai]", '[world.ai]\nproperties = ["netvm"]'),
                "world.ai.properties.0: ",
                "label",
            ),
            ('[worlds.ai]\nprefix = "ai-"\n', "", "the key world"),
            ("[world.ai]\n[world.ai.principal.a]\n", "world.ai: ", "the key prefix"),
        ):
            with self.subTest(message=message), self.assertRaises(Misconfigured) as caught:
                self.load(text)
            self.assertIn(
                f".toml: {key}" if not key.startswith((".", "p")) else key, str(caught.exception)
            )
            self.assertIn(message, str(caught.exception))
