"""Plans: an agent proposes a list of calls, a person reads it, and dom0 lets exactly that happen, once.

A plan is one file, which only qmcpd writes. Its name is the SHA-256 of what a person reads; dom0 adds a nonce to it, so that nobody can
choose the name. The decision is another file, which only `qmcp-admin plan` writes. An approval also needs a mark in /run, so that no
approval outlives a boot. Both are read again at every step."""

import asyncio
import hashlib
import json
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from spec import LIMITS, REFUSAL, SHAPES

from . import messages, schema
from .call import Call
from .errors import Refused, say
from .journal import drop, keep
from .qubesd import Qube

PLANS, DECISIONS, IN_FORCE = "var/lib/qmcp/plans", "var/lib/qmcp/decisions", "run/qmcp/approved"
# What a plan is, and what its steps are. A step that was begun is never begun again.
PROPOSED, APPROVED, REJECTED, REVOKED, EXPIRED = (
    "proposed",
    "approved",
    "rejected",
    "revoked",
    "expired",
)
WAITING, BEGUN, DONE, FAILED, LOST = "waiting", "begun", "done", "failed", "interrupted"
ALLOWED, NEEDS_APPROVAL = "allowed", "needs approval"

Json = dict[str, Any]


def inside(step: Json) -> bool:
    """Whether it is a command in a qube."""
    return "qube" in step


def now() -> int:
    """Seconds since the boot, which nobody sets."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


class Plans:
    def __init__(self, root: Path) -> None:
        self._plans, self._decisions, self._marks = (
            root / one for one in (PLANS, DECISIONS, IN_FORCE)
        )

    def recover(self) -> None:
        """When qmcpd starts: a step in dom0 that was begun and has no end was interrupted."""
        for record in self.all():
            states = [
                LOST if state == BEGUN and not inside(step) else state
                for state, step in zip(record["steps"], record["plan"]["steps"], strict=True)
            ]
            if states != record["steps"]:
                self.write(record | {"steps": states})

    def all(self, world: str = "*") -> list[Json]:
        """Oldest first."""
        paths = self._plans.glob(f"{world}/*.plan")
        found = [self.read(path.parent.name, path.stem) for path in paths]
        return sorted(filter(None, found), key=lambda one: (one["plan"]["proposed"], name_of(one)))

    def read(self, world: str, digest: str) -> Json | None:
        """`{plan, found, steps, born}`; None if there is no such plan, or if the file is not the plan of its name."""
        with suppress(OSError, ValueError, LookupError, TypeError):
            record = json.loads(self._path(world, digest).read_bytes())
            # INVARIANT plans.approved
            if name_of(record) == digest:
                return record
        return None

    def write(self, record: Json) -> None:
        path = self._path(record["plan"]["world"], name_of(record))
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        keep(path, record)

    def delete(self, record: Json) -> None:
        drop(self._path(record["plan"]["world"], name_of(record)))

    def _path(self, world: str, digest: str) -> Path:
        return self._plans / world / f"{digest}.plan"

    def decision(self, digest: str) -> Json:
        """What the operator decided: `{decision, over, qubes, requests}`; empty as long as nothing is."""
        with suppress(OSError, ValueError):
            decision = json.loads((self._decisions / f"{digest}.json").read_bytes())
            if decision["decision"] != APPROVED:
                return decision
            in_force = (self._marks / digest).exists() and now() < decision["over"]
            return decision | {"decision": APPROVED if in_force else EXPIRED}
        return {}

    def state(self, record: Json) -> str:
        if {FAILED, LOST} & {*record["steps"]}:
            return FAILED
        if {*record["steps"]} == {DONE}:
            return DONE
        decided = self.decision(name_of(record)).get("decision")
        return decided or (EXPIRED if is_old(record) else PROPOSED)

    def of(self, call: Call, digest: str) -> Json:
        """A plan of the caller. Refuses every other name."""
        record = self.read(call.world.name, digest)
        if record is None or record["plan"]["principal"] != call.principal:
            raise Refused(REFUSAL.not_found, "the caller has no such plan")
        return record

    def opened(self, world: str) -> list[Json]:
        """The plans of a world that count. Deletes those whose week is over, unless their approval still stands."""
        found = []
        for record in self.all(world):
            if self.state(record) in (PROPOSED, APPROVED):
                found.append(record)
            elif is_old(record):
                self.delete(record)
        return found


def name_of(record: Json) -> str:
    return hashlib.sha256(messages.canonical(record["plan"])).hexdigest()


def is_old(record: Json) -> bool:
    return time.time() >= record["plan"]["proposed"] + LIMITS.plan_seconds


class Step:
    """One step of an approved plan, as the call that carries it out. Raises Refused unless it is the plan's next one."""

    def __init__(self, plans: Plans, call: Call, digest: str, number: int) -> None:
        call.about |= {"plan": digest, "step": number}
        self._plans, self._call, self._digest, self._at = plans, call, digest, number - 1
        self._require(WAITING)
        self.described: Json = self._record["plan"]["steps"][self._at]

    def _require(self, state: str) -> None:
        self._record = self._plans.of(self._call, self._digest)
        self._approval = self._plans.decision(self._digest)
        # INVARIANT plans.approved
        if self._approval.get("decision") != APPROVED:
            raise Refused(REFUSAL.not_approved, "the approval of the plan is not in force")
        steps = self._record["steps"]
        # INVARIANT plans.approved
        if steps[: self._at + 1] != [DONE] * self._at + [state]:
            raise Refused(REFUSAL.not_approved, "it is not the next step of the plan")

    async def require_approval(self) -> None:
        """Refuse to commit if a person has revoked the plan meanwhile."""
        self._require(BEGUN)

    def require_identity(self, qube: Qube) -> None:
        """Refuse a qube that has the name of one that was approved, or that the plan has made, and is another."""
        approved = {**self._approval["qubes"], **self._record["born"]}.get(qube.name)
        if not approved or approved != qube.uuid:
            # INVARIANT plans.approved
            raise Refused(REFUSAL.not_found, "the approval was given for another qube")

    def begin(self) -> None:
        """On the disk before the effect. No other call comes between the question whether it was begun and the answer."""
        self._require(WAITING)
        self._set(BEGUN)

    def end(self, state: str, born: Json) -> None:
        """Record how it ended. If that fails, it stays begun: it is never run again, and neither is what follows it."""
        try:
            self._record["born"] |= born
            self._set(state)
        except OSError as error:
            say(f"plan {self._digest}: {error}")

    def _set(self, state: str) -> None:
        self._record["steps"][self._at] = state
        self._plans.write(self._record)

    def request(self) -> Json:
        return {"request": self._approval["requests"][str(self._at + 1)]}


# ---- the steps of contracts


async def propose(call: Call, plan: str) -> Json:
    """Judge every step as if it were called now. A plan with a step that would be refused whatever a person says is not kept."""
    untrusted_plan = messages.parse_json(plan.encode("utf-8"))
    proposed = schema.check(SHAPES["plan"], untrusted_plan)
    made: set[str] = set()
    found: Json = {}
    verdicts = []
    for number, step in enumerate(proposed["steps"], 1):
        verdict = await call.judge(step, made, found)
        code = {} if verdict in (ALLOWED, NEEDS_APPROVAL) else {"code": verdict}
        verdicts.append(
            {"number": number, "verdict": "would be refused" if code else verdict, **code}
        )
    refused = any("code" in one for one in verdicts)
    digest = None if refused else _kept(call, proposed, found)
    return {"digest": digest, "steps": verdicts}


def _kept(call: Call, proposed: Json, found: Json) -> str:
    """The name of the plan. A plan that is proposed again while it is open keeps its name."""
    there = call.plans.opened(call.world.name)
    again = proposed | {"principal": call.principal}
    for record in there:
        if {key: record["plan"][key] for key in again} == again:
            return name_of(record)
    if len(there) >= LIMITS.plans_open:
        raise Refused(REFUSAL.over_budget, "the world is at its limit: plans_open")
    plan = again | {
        "format": 1,
        "world": call.world.name,
        "proposed": int(time.time()),
        "nonce": secrets.token_hex(),
    }
    record = {"plan": plan, "found": found, "steps": [WAITING] * len(plan["steps"]), "born": {}}
    call.about["plan"] = name_of(record)
    call.plans.write(record)
    return name_of(record)


async def status(call: Call, digest: str | None = None, wait: int = 0) -> Json:
    """With `wait`, waits until a person has decided."""
    loop, plans = asyncio.get_running_loop(), call.plans
    deadline = loop.time() + wait
    while True:
        chosen = [plans.of(call, digest)] if digest else plans.all(call.world.name)
        open_still = digest and plans.state(chosen[0]) == PROPOSED
        if not open_still or loop.time() >= deadline:
            break
        await asyncio.sleep(LIMITS.plan_look_seconds)
    return {
        "plans": [
            {
                "digest": name_of(record),
                "title": record["plan"]["title"],
                "state": plans.state(record),
                "expires": record["plan"]["proposed"] + LIMITS.plan_seconds,
            }
            for record in chosen
            if record["plan"]["principal"] == call.principal
        ]
    } | ({"steps": chosen[0]["steps"]} if digest else {})


async def withdraw(call: Call, digest: str) -> None:
    call.about["plan"] = digest
    call.plans.delete(call.plans.of(call, digest))


async def hand_over(call: Call, digest: str, number: int) -> Json:
    """A step inside a qube: dom0 gives the request away, and the policy and the qube let only these bytes through."""
    return call.step.request()


async def done(call: Call, digest: str, number: int, exit: int | None = None) -> None:
    """How a step inside a qube ended: the word of the control qube, and the log says so."""
    call.about |= {"plan": digest, "step": number, "exit": exit, "says": call.principal}
    record, at = call.plans.of(call, digest), number - 1
    if record["steps"][at : at + 1] != [BEGUN] or not inside(record["plan"]["steps"][at]):
        raise Refused(REFUSAL.not_approved, "it is not a step that was begun in a qube")
    record["steps"][at] = DONE if exit == 0 else FAILED
    call.plans.write(record)
