"""The form of outbound rules in qmcp.toml and in calls."""

import ipaddress
import re

HOST = re.compile(
    r"(?=.{1,253}$)(?!.*\d$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+"
)


def network_of(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        # A zone (after `%`) may be any text.
        return None if "%" in text else ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def ports_of(rule: dict[str, str]) -> tuple[int, int] | None:
    """`(low, high)`: every port if the rule names none; None if the text is not a range."""
    if "ports" not in rule:
        return 0, 65535
    found = re.fullmatch(r"([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?", rule["ports"])
    low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    return (low, high) if low <= high <= 65535 else None


def is_rule(rule: dict[str, str], ceiling: bool = False) -> bool:
    """Whether a rule of the right shape makes sense. Only a ceiling may have `*.example.org`."""
    to = rule["to"].removeprefix("*.") if ceiling else rule["to"]
    is_destination = (
        to in ("*", "dns") or network_of(to) is not None or HOST.fullmatch(to) is not None
    )
    return (
        is_destination
        and ports_of(rule) is not None
        and not (
            ("ports" in rule and rule.get("protocol") not in ("tcp", "udp"))
            or (to == "dns" and len(rule) > 1)
        )
    )
