"""The audit log, for a person."""

import collections
import json
import sys

import table
from qmcpd import audit

PATH = "var/log/qmcp/audit.log"


def tail(root, count, as_json):
    with open(root / PATH, encoding="utf-8") as file:
        lines = collections.deque(file, maxlen=max(count, 1))
    if as_json:
        sys.stdout.writelines(lines)
        return 0
    table.show(["time", "principal", "service", "on", "what", "result"], [_row(json.loads(line)) for line in lines])
    return 0


def _row(entry):
    result = entry.get("code", "")
    colour = {"": None, "ok": "green", "failed": "red"}.get(result, "yellow")
    on = ", ".join(entry["names"]) or entry["target"]
    return [
        (entry["time"].replace("T", " "), "dim"), (entry["principal"], None), (entry["service"], None), (on, None),
        (entry["kind"], None), (result, colour),
    ]


def verify(root):
    with open(root / PATH, encoding="utf-8") as file:
        broken = audit.verify(file)
    if broken:
        print(f"audit log: the chain breaks at line {broken} of {root / PATH}: it was changed, or a line is missing")
        return 1
    print("audit log: every line follows from the one before")
    return 0
