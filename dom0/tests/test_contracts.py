import contextlib
import copy
import json
import os
import random
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from policy.generate import generate
from settings import contracts
from settings.config import Json, World
from settings.contracts import Contract
from spec import INVARIANTS, TIERS

SHIPPED = Path(__file__).parent.parent / "contracts"
EMPTY = {"type": "object", "properties": {}, "additionalProperties": False}
NAME = {"type": "string", "pattern": "^[a-z]+$", "maxLength": 31}
START = {
    "format": 1,
    "service": "qmcp.spawn.Start",
    "plugin": "spawn",
    "effect": "write",
    "route": "dom0",
    "target": {"capability": "exec"},
    "qubes": {},
    "params": EMPTY,
    "invariants": [{"id": "scope.self-excluded", "with": {}}],
    "calls": ["admin.vm.Start"],
    "steps": [{"do": "power", "with": {"qube": "$target", "to": "running"}}],
    "reply": EMPTY,
}
CREATE = {
    **START,
    "service": "qmcp.spawn.Create",
    "target": None,
    "qubes": {"template": "exec"},
    "params": {
        **EMPTY,
        "required": ["name", "template"],
        "properties": {"name": NAME, "template": NAME, "go": {"type": "boolean"}},
    },
    "invariants": [{"id": "birth.class", "with": {"classes": ["AppVM"]}}],
    "calls": ["admin.vm.Create.AppVM", "admin.vm.Start"],
    "steps": [
        {"do": "create", "with": {"name": "$name", "template": "$template"}},
        {"do": "power", "with": {"qube": "$name", "to": "running"}, "when": "$go"},
    ],
}


def changed(contract: Json, **changes: object) -> Json:
    return {**copy.deepcopy(contract), **changes}


# What an author may write where something else is expected.
ODD = (
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "",
    "$",
    "$target",
    "$name",
    "x",
    [],
    [[]],
    [{}],
    {},
    {"": None},
    {"type": []},
)


def spoilt(value: Any) -> Iterator[Any]:
    """Every value one odd change away from this one: each part replaced, and each left out."""
    yield from ODD
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            rest = copy.copy(value)
            del rest[key]
            yield rest
            for part in spoilt(value[key]):
                other = copy.copy(value)
                other[key] = part
                yield other


# ATTACK 24
# INVARIANT devices.both-ends
# INVARIANT policy.consistent
class Vocabulary(unittest.TestCase):
    def rejects(self, contract: Json, message: str) -> None:
        with self.assertRaises(contracts.BadContract) as caught:
            contracts.parse(
                contract,
                "qmcp.spawn.Create" if contract.get("target") is None else "qmcp.spawn.Start",
            )
        self.assertIn(message, str(caught.exception))

    def test_a_step_takes_the_tier_it_takes_whatever_lower_one_a_contract_names_for_either_end(
        self,
    ) -> None:
        attach = json.loads((SHIPPED / "qmcp.devices.Attach.json").read_bytes())
        low = {**attach, "target": {"capability": "read"}, "qubes": {"backend": "read"}}
        uses = contracts.parse(low, "qmcp.devices.Attach").uses
        self.assertEqual(
            {reference: use.tier for reference, use in uses.items()},
            {"$target": "full", "$backend": "full"},
        )

    def test_the_shipped_contracts_are_all_within_it(self) -> None:
        loaded, unusable = contracts.load(SHIPPED)
        self.assertEqual(unusable, {})
        self.assertIn("qmcp.spawn.Create", loaded)

    def test_whatever_an_author_writes_is_a_contract_or_is_said_to_be_bad(self) -> None:
        """Some of the shipped ones, by chance; QMCP_SWEEP=all takes all of them, QMCP_SEED the same as a failure says."""
        good = [contract.data for contract in contracts.load(SHIPPED)[0].values()]
        seed = int(os.environ.get("QMCP_SEED", random.randrange(2**31)))
        some = (
            good if os.environ.get("QMCP_SWEEP") == "all" else random.Random(seed).sample(good, 8)
        )
        for data in (START, CREATE, *some):
            with self.subTest(service=data["service"], seed=seed):
                for contract in spoilt(data):
                    with contextlib.suppress(contracts.BadContract):
                        contracts.parse(contract, data["service"])

    def test_no_parameter_is_called_what_the_called_qube_is_called(self) -> None:
        params = {**EMPTY, "required": ["target"], "properties": {"target": NAME}}
        contract = changed(START, params=params, qubes={"target": "read"})
        self.rejects(contract, "params.target")

    def test_a_good_contract_is_accepted_whatever_its_layout(self) -> None:
        one = contracts.parse(START, "qmcp.spawn.Start")
        other = contracts.parse(
            json.loads(json.dumps(dict(reversed(START.items())), indent=4)), "qmcp.spawn.Start"
        )
        self.assertEqual(one.digest, other.digest)
        contracts.parse(CREATE, "qmcp.spawn.Create")

    def test_any_change_is_another_digest(self) -> None:
        one = contracts.parse(START, "qmcp.spawn.Start")
        other = contracts.parse(changed(START, target={"capability": "read"}), "qmcp.spawn.Start")
        self.assertNotEqual(one.digest, other.digest)

    def test_a_key_more_or_less_is_rejected(self) -> None:
        self.rejects(changed(START, code="print()"), "code: expected one of format")
        self.rejects({k: v for k, v in START.items() if k != "effect"}, "expected the key effect")

    def test_a_service_outside_its_plugin_s_namespace_is_rejected(self) -> None:
        self.rejects(changed(START, plugin="egress"), "outside the namespace")

    def test_a_contract_installed_under_another_name_is_rejected(self) -> None:
        with self.assertRaisesRegex(contracts.BadContract, "as the file is named"):
            contracts.parse(START, "qmcp.spawn.Kill")

    def test_an_unknown_step_is_rejected(self) -> None:
        self.rejects(changed(START, steps=[{"do": "shell", "with": {}}]), "unknown step 'shell'")
        self.rejects(changed(START, steps=[{"do": ["power"], "with": {}}]), "steps.0.do: expected")
        self.rejects(changed(START, steps=[]), "expected a list of steps")

    def test_an_admin_api_method_its_steps_do_not_use_is_rejected(self) -> None:
        self.rejects(
            changed(START, calls=["admin.vm.Start", "admin.vm.Remove"]),
            "may not use admin.vm.Remove",
        )

    def test_a_step_that_changes_the_host_cannot_call_itself_a_read(self) -> None:
        self.rejects(changed(START, effect="read"), "changes the host, and effect is read")

    def test_a_qube_argument_is_the_target_or_a_parameter_that_was_checked(self) -> None:
        power = {"do": "power", "with": {"qube": "dom0", "to": "running"}}
        self.rejects(changed(START, steps=[power]), "expected a qube in reach")
        # a name that is only being given is no qube yet
        self.rejects(
            changed(CREATE, steps=list(reversed(CREATE["steps"]))), "expected a qube in reach"
        )
        self.rejects(changed(CREATE, qubes={}), "expected a qube in reach")

    def test_a_literal_where_a_parameter_belongs_is_rejected(self) -> None:
        create = {"do": "create", "with": {"name": "ai-fixed", "template": "$template"}}
        self.rejects(changed(CREATE, steps=[create]), "expected a reference to a parameter")

    def test_a_keyword_off_the_schema_subset_is_rejected(self) -> None:
        self.rejects(changed(START, params={**EMPTY, "$ref": "#"}), "params: $ref: expected one of")
        self.rejects(changed(START, reply={"type": "object"}), "reply: ")

    def test_a_parameter_is_named_by_a_short_word_because_a_review_shows_its_name(self) -> None:
        for name in ("", "go is true\nmay use nothing", "a b", "9a", "a" * 33, "é"):
            with self.subTest(name=name):
                params = {**EMPTY, "properties": {name: {"type": "boolean"}}}
                self.rejects(changed(START, params=params), "letters, digits and underscores")
                inner = {**EMPTY, "properties": {"inner": params}}
                self.rejects(changed(START, params=inner), "letters, digits and underscores")
                self.rejects(changed(START, reply=params), "letters, digits and underscores")
                required = changed(CREATE["params"], required=[name])
                contract = changed(CREATE, params=required, qubes={name: "read"})
                self.rejects(contract, "letters, digits and underscores")

    def test_the_check_of_one_request_is_short_whatever_it_holds(self) -> None:
        many = {"anyOf": [{"type": "integer", "minimum": at} for at in range(3500)]}
        few = {"anyOf": [{"type": "integer", "minimum": at} for at in range(60)]}
        words = {"enum": [f"word{at}" for at in range(5000)]}
        for one in (
            many,
            words,
            {"type": "array", "items": {"type": "integer"}},
            {"type": "array", "items": {"type": "integer"}, "maxItems": 10**9},
            {"type": "array", "items": few, "maxItems": 100},
            # a negative maximum takes nothing from the rest
            {"anyOf": [many, {"type": "array", "items": few, "maxItems": -100}]},
        ):
            with self.subTest(schema=str(one)[:80]):
                params = {**EMPTY, "properties": {"a": one}}
                self.rejects(changed(START, params=params), "params: its check can take")
        for one in (few, {"type": "array", "items": {"type": "integer"}, "maxItems": 2000}):
            contracts.parse(
                changed(START, params={**EMPTY, "properties": {"a": one}}), "qmcp.spawn.Start"
            )

    def test_the_check_of_one_item_of_a_reply_is_short(self) -> None:
        many = {"anyOf": [{"type": "integer", "minimum": at} for at in range(300)]}
        reply = {**EMPTY, "properties": {"a": {"type": "array", "items": many}}}
        self.rejects(changed(START, reply=reply), "reply: its check can take")

    def test_a_service_inside_a_qube_claims_only_what_the_policy_enforces(self) -> None:
        guest = changed(START, route="qube", steps=[], calls=[])
        for identity, data in INVARIANTS.items():
            claim = changed(guest, invariants=[{"id": identity, "with": {}}])
            with self.subTest(invariant=identity):
                if data["enforced_by"] == "policy":
                    contracts.parse(claim, "qmcp.spawn.Start")
                elif not data.get("with"):
                    self.rejects(claim, f"{identity} is enforced by dom0")

    def test_a_service_inside_a_qube_is_root_from_the_tier_exec_on(self) -> None:
        world = World("ai", {"prefix": "ai-", "principal": {"mcp-control": {"plugins": ["spawn"]}}})
        guest = changed(
            START,
            route="qube",
            steps=[],
            calls=[],
            invariants=[{"id": "policy.closed", "with": {}}],
        )
        for tier in TIERS:
            contract = contracts.parse(
                changed(guest, target={"capability": tier}), "qmcp.spawn.Start"
            )
            lines = [
                line
                for line in generate({"ai": world}, {"qmcp.spawn.Start": contract}).splitlines()
                if line.startswith("qmcp.spawn.Start ") and " allow" in line
            ]
            self.assertTrue(lines)
            for line in lines:
                self.assertEqual("user=root" in line, tier != "read", line)

    def test_an_invariant_the_kernel_lacks_or_has_otherwise_is_rejected(self) -> None:
        self.rejects(
            changed(START, invariants=[{"id": "spawn.nice", "with": {}}]),
            "knows no invariant 'spawn.nice'",
        )
        wide = [{"id": "birth.class", "with": {"classes": ["AppVM", "TemplateVM"]}}]
        self.rejects(changed(CREATE, invariants=wide), "birth.class cannot be had with")
        self.rejects(
            changed(START, invariants=[{"id": "scope.self-excluded", "with": {"not": 1}}]),
            "cannot be had",
        )


class Loading(unittest.TestCase):
    def test_a_bad_contract_is_left_out_and_named_and_the_rest_stay(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            where = Path(directory)
            (where / "qmcp.spawn.Start.json").write_text(json.dumps(START))
            (where / "qmcp.spawn.Kill.json").write_text(json.dumps(START))
            (where / "qmcp.spawn.Broken.json").write_text("{")
            loaded, unusable = contracts.load(where)
        self.assertEqual(list(loaded), ["qmcp.spawn.Start"])
        self.assertEqual(set(unusable), {"qmcp.spawn.Broken", "qmcp.spawn.Kill"})
        self.assertIn("as the file is named", unusable["qmcp.spawn.Kill"])


class Catalog(unittest.TestCase):
    world = World(
        "ai",
        {
            "prefix": "ai-",
            "principal": {"mcp-control": {"plugins": ["exec"]}},
            "budget": {"concurrent_calls": 7},
        },
    )

    def catalog(self, policy: str = "") -> tuple[dict[str, Contract], dict[str, Json]]:
        guest = changed(
            START,
            service="qmcp.exec.Run",
            plugin="exec",
            route="qube",
            steps=[],
            calls=[],
            invariants=[{"id": "policy.closed", "with": {}}],
        )
        both = {
            "qmcp.spawn.Start": contracts.parse(START, "qmcp.spawn.Start"),
            "qmcp.exec.Run": contracts.parse(guest, "qmcp.exec.Run"),
        }
        catalog = contracts.catalog(
            both, {"qmcp.spawn.Kill": "why"}, self.world, "mcp-control", policy
        )
        self.assertEqual(catalog["unusable"]["qmcp.spawn.Kill"], "why")
        self.assertEqual(catalog["concurrent_calls"], 7)
        return both, catalog["services"]

    def test_it_says_what_is_granted_to_the_principal_that_asks(self) -> None:
        _, services = self.catalog()
        self.assertFalse(services["qmcp.spawn.Start"]["granted"])

    def test_what_the_policy_enforces_is_listed_only_while_the_policy_has_this_contract(
        self,
    ) -> None:
        both, without = self.catalog("# contract qmcp.exec.Run sha256:00\n")
        self.assertNotIn("qmcp.exec.Run", without)
        _, services = self.catalog(f"# contract qmcp.exec.Run {both['qmcp.exec.Run'].digest}\n")
        self.assertTrue(services["qmcp.exec.Run"]["granted"])
