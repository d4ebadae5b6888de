"""The model of qubesd answers as the real one did when it was recorded."""

import json
import re
import unittest
from pathlib import Path
from typing import Any

from .model import DEVICE_METHODS, GLOBALS, METHODS, PROPERTIES, Host

ROOT = Path(__file__).parents[3]
RECORDING = ROOT / "test/recordings/adminapi-4.4.jsonl"
FIRST_HOST = 402  # the exchanges after it were made on another host
# Before this exchange somebody plugged a disk into sys-net.
PLUGGED = (
    320,
    {
        ("block", "sda"): ("data", ":None", "no"),
        ("block", "sda1"): ("p1", ":None:1", "yes"),
    },
)
POOLS = re.compile(r" pool(?::\w+)?=\S+")
# Exchanges (from 0) that the model answers otherwise, because of something that it leaves out.
DIFFERS = {
    27: "the policy of a qube says what it may list",
    28: "the policy of a qube says what it may list",
    45: "the policy of a qube says what it may list",
    78: "the memory of dom0 is left out",
    259: "a RemoteVM has no properties of its own here",
    363: "what kinds of device a qube is denied is not enforced",
    401: "memory never runs out",
}


def recorded_host() -> Host:
    """The host of the recording, as far as the model has it."""
    world = json.loads((ROOT / "sim/worlds/recorded.json").read_text())
    defaults = {key: one for key, one in world["properties"].items() if key.startswith("default")}
    host = Host(**defaults)
    for one in world["qubes"]:
        values: dict[str, Any] = {
            key: str(value or "") if value is not True else "True"
            for key, value in one.get("properties", {}).items()
        }
        host.add(
            one["name"],
            one["class"],
            features=one.get("features", {}),
            label=one["label"],
            template=one.get("template"),
            **values,
        )
    return host


def modelled(request: str) -> bool:
    """Whether the model has this method, and this property."""
    method, _, argument = request.partition(" ")[0].partition("+")
    device = re.fullmatch(r"admin\.vm\.device\.block\.(\w+)", method)
    if method.startswith("admin.vm.property."):
        return method in METHODS and (argument in PROPERTIES or argument in ("", "nosuchprop"))
    return (
        method in METHODS
        or method.startswith("admin.vm.Create.")
        or bool(device and device[1] in DEVICE_METHODS)
    )


class Translation:
    """What is drawn by chance (uuids, names of disposables, tokens) as the recording has it, and as the model does."""

    WORDS = re.compile(
        r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\bdisp\d{1,4}\b|\b[A-Za-z0-9]{32}\b"
    )

    def __init__(self) -> None:
        self._ours: dict[str, str] = {}

    def request(self, text: str) -> str:
        return self.WORDS.sub(lambda found: self._ours.get(found[0], found[0]), text)

    def reply(self, recorded: str, ours: str) -> str:
        theirs, mine = self.WORDS.findall(recorded), self.WORDS.findall(ours)
        if len(theirs) == len(mine):
            self._ours.update(zip(theirs, mine, strict=True))
        return self.request(recorded)


def comparable(request: str, reply: str) -> object:
    """Without what the model does not have: other properties, fields of volumes and devices, a Python object's repr."""
    method = re.split("[+ ]", request)[0]
    lines = reply.removeprefix("0\0").split("\n")
    if method.endswith("property.GetAll"):
        listed = GLOBALS if method == "admin.property.GetAll" else PROPERTIES
        return [line for line in lines if line.split(" ")[0] in listed]
    if method.endswith("volume.Info"):
        return [line for line in lines if re.match("(size|usage|rw|s[an]\\w+_on_st\\w+)=", line)]
    if ".device." in method and reply.startswith("0\0"):
        words = r"^\S+|\b(?:backend_domain|frontend_domain|name|_read-only)='[^']*'"
        return sorted(re.findall(words, line) for line in lines)
    return re.sub(r"domains\[.*?\] is", "domains[] is", reply)


class Recorded(unittest.TestCase):
    def test_the_model_answers_as_qubesd_was_recorded_to(self) -> None:
        host, translation = recorded_host(), Translation()
        seen: set[str] = set()
        differs: dict[int, str] = {}
        exchanges = [json.loads(line) for line in RECORDING.read_text().splitlines()]
        for at, exchange in enumerate(exchanges[:FIRST_HOST]):
            request, recorded = translation.request(exchange["request"]), exchange["response"]
            if at == PLUGGED[0]:
                host.qubes["sys-net"].offered = PLUGGED[1]
            if "CreateInPool" in request and recorded == "0\0":  # pools are all one to the model
                request = POOLS.sub("", request.replace("CreateInPool", "Create"))
            if not modelled(request):
                continue
            seen.add(re.split("[+ ]", request)[0])
            ours = host.ask(request.encode("latin-1")).decode("utf-8")
            recorded = translation.reply(recorded, ours)
            if comparable(request, recorded) != comparable(request, ours):
                differs[at] = f"{request!r}\n  recorded {recorded!r}\n  ours     {ours!r}"
        self.assertEqual({at: differs[at] for at in differs if at not in DIFFERS}, {})
        self.assertEqual([at for at in DIFFERS if at not in differs], [], "they agree now")
        missing = {name for name in METHODS if name not in seen}
        self.assertEqual(missing, set())
