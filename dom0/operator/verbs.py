"""Builds the command line from verbs.toml, and runs a command: shows what it would do, asks, records and does it."""

import argparse
import difflib
import re
import shlex
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import answer
import audit_view
import check
import contract_admin
import freezing
import gateway_admin
import grants
import membership
import operator_log
import plan_admin
import policy_admin
import questions
import watching
import worlds
from answer import Answer, Options
from spec import TIERS, filled

TABLE: dict[str, Any] = filled(
    tomllib.loads((Path(__file__).parent / "verbs.toml").read_text(encoding="utf-8"))
)
COMMANDS: dict[str, Callable[[Options], Answer]] = {
    "status": worlds.status,
    "world": worlds.world,
    "check": check.check,
    "watch": watching.watch,
    "enroll": membership.change,
    "tier": membership.change,
    "guard": membership.change,
    "manage": membership.change,
    "expel": membership.change,
    "expire": grants.expire,
    "tombstones": worlds.tombstones,
    "restore": worlds.restore,
    "reap": worlds.reap,
    "freeze": freezing.freeze,
    "thaw": freezing.thaw,
    "gateway list": gateway_admin.listing,
    "gateway add": gateway_admin.add,
    "gateway change": gateway_admin.change,
    "gateway remove": gateway_admin.remove,
    "contract list": contract_admin.listing,
    "contract review": contract_admin.review,
    "contract install": contract_admin.install,
    "contract remove": contract_admin.remove,
    "policy render": policy_admin.render,
    "policy lint": policy_admin.lint,
    "policy install": policy_admin.install,
    "ask": questions.ask,
    "plan list": plan_admin.listing,
    "plan show": plan_admin.show,
    "plan approve": plan_admin.approve,
    "plan reject": plan_admin.end,
    "plan revoke": plan_admin.end,
    "audit tail": audit_view.tail,
    "audit show": audit_view.show,
    "audit verify": audit_view.verify,
    "audit report": audit_view.report,
}
SECONDS = {"m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> int:
    """The seconds in `30m`, `2h` or `1d`."""
    if not re.fullmatch("[1-9][0-9]{0,3}[mhd]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: use 30m, 2h or 1d")
    return int(text[:-1]) * SECONDS[text[-1]]


TYPES = {
    "int": int,
    "path": Path,
    "duration": duration,
    "text": argparse.FileType(encoding="utf-8", errors="replace"),
}


class Parser(argparse.ArgumentParser):
    """Says what was probably meant."""

    def error(self, message: str) -> NoReturn:
        options = [
            argument["name"] for argument in TABLE["argument"].values() if "name" in argument
        ]
        words = [*TABLE["verb"], *options]
        wrong = re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (\S+)", message)
        if wrong:
            message = message.partition(" (choose from")[0]
            choices = {word for one in words for word in (one, *one.split())} | {*TIERS}
            near = difflib.get_close_matches(wrong[1] or wrong[2], sorted(choices), 1)
            message += f"; did you mean {near[0]}?" if near else "; see --help"
        super().error(message)


def _add(parser: argparse.ArgumentParser, key: str, **more: Any) -> None:
    options = {"name": key, **TABLE["argument"][key], **more}
    options |= {"type": TYPES[options["type"]]} if "type" in options else {}
    parser.add_argument(options.pop("name"), **options)


def _parsed(words: list[str]) -> Options:
    """The options that every command takes may stand before it and after it."""
    everywhere = Parser(add_help=False, allow_abbrev=False)
    for key in TABLE["everywhere"]:
        _add(everywhere, key)
    shared, rest = everywhere.parse_known_args(words)
    shared.command_line = shlex.join(["qmcp-admin", *rest])
    return _command_line().parse_args(rest, shared)


def _command_line() -> argparse.ArgumentParser:
    top = Parser(
        prog="qmcp-admin",
        usage="qmcp-admin COMMAND ...",
        description=_groups(),
        epilog="`qmcp-admin COMMAND --help` lists the arguments of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    groups = {
        "": top.add_subparsers(
            prog="qmcp-admin", required=True, metavar="COMMAND", help=argparse.SUPPRESS
        )
    }
    for command, entry in TABLE["verb"].items():
        area, _, name = command.rpartition(" ")
        if area not in groups:
            parser = groups[""].add_parser(area, description=TABLE["group"][entry["group"]])
            groups[area] = parser.add_subparsers(required=True, metavar="COMMAND")
        parser = groups[area].add_parser(
            name, help=entry["words"], description=entry["words"], allow_abbrev=False
        )
        for key in entry["takes"]:
            _add(parser, key)
        for key in TABLE["everywhere"]:  # for its help: they were read before
            _add(parser, key, default=argparse.SUPPRESS)
        parser.set_defaults(command=command, json_lines=entry.get("json_lines", False))
    return top


def _groups() -> str:
    lines = ["The operator's command in dom0. No qube can reach it."]
    for group, words in TABLE["group"].items():
        lines += ["", f"{words}:"]
        lines += [
            f"  {command:<16} {entry['words']}"
            for command, entry in TABLE["verb"].items()
            if entry["group"] == group
        ]
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    options = _parsed(sys.argv[1:] if words is None else words)
    try:
        return _finish(options, COMMANDS[options.command](options))
    except KeyboardInterrupt:
        print("qmcp-admin: interrupted; qmcp-admin check names what is half done", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # or the interpreter would complain about standard output, too
        return 0
    except OSError as problem:
        # The error of a file or one of our own says where; the error of a socket does not.
        return answer.stop(
            problem
            if problem.filename or len(problem.args) == 1
            else "qubesd does not answer: systemctl status qubesd"
        )


def _finish(options: Options, reply: Answer) -> int:
    """Print the answer. A change is carried out only after it was shown and the operator agreed."""
    if reply.do is None or not options.json:
        answer.show(options, reply)
    if reply.do is None:
        if reply.code == 0 and operator_log.is_unfinished(options):
            operator_log.carry_out(options, reply, list)  # nothing is left of it to do
        return reply.code
    agreed = (
        reply.at_once
        or options.yes
        or (not options.json and sys.stdin.isatty() and input("Do it? Type yes: ") == "yes")
    )
    code, done = operator_log.carry_out(options, reply, reply.do) if agreed else (1, None)
    answer.show(
        options,
        Answer({"shown": reply.data, "done": done}, text=done or "Not done. To do it, add --yes."),
    )
    return code or reply.code
