"""The command line, made of verbs.toml, and the life of a verb: what it would do is shown, asked about, recorded, done."""

import argparse
import importlib
import re
import sys
import tomllib
from pathlib import Path

import answer
import operator_log
from spec import filled

TABLE = filled(tomllib.loads((Path(__file__).parent / "verbs.toml").read_text(encoding="utf-8")))
SECONDS = {"m": 60, "h": 3600, "d": 86400}


def duration(text):
    """Seconds, of `30m`, `2h` or `1d`."""
    if not re.fullmatch("[1-9][0-9]{0,3}[mhd]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: 30m, 2h or 1d")
    return int(text[:-1]) * SECONDS[text[-1]]


TYPES = {
    "int": int,
    "path": Path,
    "duration": duration,
    "text": argparse.FileType(encoding="utf-8", errors="replace"),
}


def _command_line():
    top = argparse.ArgumentParser(
        prog="qmcp-admin",
        usage="qmcp-admin [--root DIR] VERB ...",
        description=_groups(),
        epilog="`qmcp-admin VERB --help` says what a verb takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--root", type=Path, default=Path("/"), help="where etc and var are (default: /)"
    )
    within = {
        "": top.add_subparsers(
            prog="qmcp-admin", required=True, metavar="VERB", help=argparse.SUPPRESS
        )
    }
    for verb, said in TABLE["verb"].items():
        area, _, name = verb.rpartition(" ")
        if area not in within:
            parser = within[""].add_parser(area, description=TABLE["group"][said["group"]])
            within[area] = parser.add_subparsers(required=True, metavar="VERB")
        parser = within[area].add_parser(name, help=said["words"], description=said["words"])
        for key in [*said["takes"], "json"]:
            options = {"name": key, **TABLE["argument"][key]}
            options |= {"type": TYPES[options["type"]]} if "type" in options else {}
            parser.add_argument(options.pop("name"), **options)
        parser.set_defaults(verb=verb, json_lines=said.get("json_lines", False))
    return top


def _groups():
    lines = ["What the operator of a world reads and does, in dom0. No qube can reach it."]
    for group, words in TABLE["group"].items():
        lines += ["", f"{words}:"]
        lines += [
            f"  {verb:<16} {said['words']}"
            for verb, said in TABLE["verb"].items()
            if said["group"] == group
        ]
    return "\n".join(lines)


def main(words=None):
    options = _command_line().parse_args(words)
    module, function = TABLE["verb"][options.verb]["does"].split(".")
    try:
        return _tell(options, getattr(importlib.import_module(module), function)(options))
    except BrokenPipeError:
        sys.stderr.close()  # or the interpreter would say so of standard output, too
        return 0
    except OSError as problem:
        # Of a file, or in our own words; a socket's says nothing of where.
        return answer.stop(
            problem
            if problem.filename or len(problem.args) == 1
            else "qubesd does not answer: systemctl status qubesd"
        )


def _tell(options, said):
    """Nothing that changes something happens before it was shown, and agreed to."""
    if said.do is None or not options.json:
        answer.show(options, said)
    if said.do is None:
        return said.code
    agreed = (
        said.at_once
        or options.yes
        or (not options.json and sys.stdin.isatty() and input("Do it? Type yes: ") == "yes")
    )
    done = operator_log.carry_out(options, said) if agreed else None
    answer.show(
        options,
        answer.Answer(
            {"shown": said.data, "done": done}, text=done or "Not done: say --yes to do it."
        ),
    )
    return said.code if agreed else 1
