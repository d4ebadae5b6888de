"""Where in a file of the operator's a problem is: the line of the key, and the name that was probably meant."""

import difflib
import re

from qmcpd.errors import Misconfigured


def place(problem: Misconfigured) -> str:
    """File and line of the key, and the nearest name there is where it is unknown."""
    try:
        lines = problem.path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return str(problem.path)
    line = 0
    for word in map(str, problem.key):
        pattern = re.compile(rf"(?:^\s*|[\[.\"'])({re.escape(word)})(?=[\]\s.=\"'])")
        line = next((n for n in range(line, len(lines)) if pattern.search(lines[n])), line)
    near = (
        difflib.get_close_matches(str(problem.key[-1]), re.findall(r"[a-z_]+", str(problem)), 2)
        if problem.key
        else []
    )
    hint = [name for name in near if name != problem.key[-1]]
    return f"{problem.path.name}:{line + 1}" + (f" (did you mean {hint[0]}?)" if hint else "")
