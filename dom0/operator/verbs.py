"""Builds the command line from verbs.toml, and runs a command: shows what it would do, asks, records and does it."""

import argparse
import importlib
import re
import sys
import tomllib
from pathlib import Path

import answer
import operator_log
from spec import filled

TABLE: dict = filled(
    tomllib.loads((Path(__file__).parent / "verbs.toml").read_text(encoding="utf-8"))
)
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


def _command_line() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="qmcp-admin",
        usage="qmcp-admin [--root DIR] COMMAND ...",
        description=_groups(),
        epilog="`qmcp-admin COMMAND --help` lists the arguments of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--root", type=Path, default=Path("/"), help="the folder with etc and var (default: /)"
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
        parser = groups[area].add_parser(name, help=entry["words"], description=entry["words"])
        for key in [*entry["takes"], "json"]:
            options = {"name": key, **TABLE["argument"][key]}
            options |= {"type": TYPES[options["type"]]} if "type" in options else {}
            parser.add_argument(options.pop("name"), **options)
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
    options = _command_line().parse_args(words)
    module, function = TABLE["verb"][options.command]["does"].split(".")
    try:
        return _finish(options, getattr(importlib.import_module(module), function)(options))
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


def _finish(options: argparse.Namespace, reply: answer.Answer) -> int:
    """Print the answer. A change is carried out only after it was shown and the operator agreed."""
    if reply.do is None or not options.json:
        answer.show(options, reply)
    if reply.do is None:
        return reply.code
    agreed = (
        reply.at_once
        or options.yes
        or (not options.json and sys.stdin.isatty() and input("Do it? Type yes: ") == "yes")
    )
    done = operator_log.carry_out(options, reply, reply.do) if agreed else None
    answer.show(
        options,
        answer.Answer(
            {"shown": reply.data, "done": done}, text=done or "Not done. To do it, add --yes."
        ),
    )
    return reply.code if agreed else 1
