"""Outbound rules: as agents and the operator write them, as qubesd keeps them, and whether one is within another.

A rule is `{"to": …, "protocol": …, "ports": …}`: `to` is `*`, `dns` (the resolvers of the network), an address, a network or a
host name; without a protocol it is any, without ports all. What no rule lets through is dropped.
"""

from collections.abc import Iterable

from settings.rules import HOST, is_rule, network_of, ports_of

Rule = dict[str, str]
EVERYTHING = "action=accept\n"  # qubesd's rules of a qube whose rules nobody has set


def covers(ceiling: Rule, rule: Rule) -> bool:
    """Whatever the rule lets through, this one rule of the ceiling does too."""
    outer, inner = ceiling["to"], rule["to"]
    around, within = network_of(outer), network_of(inner)
    if around and within:
        # pyright does not see that two networks of one version are of one class
        reaches = around.version == within.version and within.subnet_of(around)  # pyright: ignore
    else:
        reaches = outer in ("*", inner) or (
            outer.startswith("*.") and HOST.fullmatch(inner) and inner.endswith(outer[1:])
        )
    (low, high), (least, most) = _ports(rule), _ports(ceiling)
    return (
        bool(reaches)
        and ceiling.get("protocol") in (None, rule.get("protocol"))
        and least <= low
        and high <= most
    )


def _ports(rule: Rule) -> tuple[int, int]:
    ports = ports_of(rule)
    if ports is None:
        raise ValueError("a rule with ports that are no range")
    return ports


def to_firewall(rules: Iterable[Rule]) -> str:
    """The rules as qubesd writes them, with the final drop."""
    lines = []
    for rule in rules:
        words, to, network = ["action=accept"], rule["to"], network_of(rule["to"])
        if network:
            words.append(f"dst{network.version}={network}")
        elif to not in ("*", "dns"):
            words.append(f"dsthost={to}")
        words += [f"proto={rule['protocol']}"] if "protocol" in rule else []
        words += ["dstports={}-{}".format(*_ports(rule))] if "ports" in rule else []
        lines.append(" ".join(words + (["specialtarget=dns"] if to == "dns" else [])))
    return "".join(f"{line}\n" for line in [*lines, "action=drop"])


def from_firewall(text: str) -> list[Rule] | None:
    """The rules, or None for a firewall that is not of our making."""
    *lines, last = text.splitlines() or [""]
    rules = []
    for line in lines:
        words = {key: value for key, _, value in (one.partition("=") for one in line.split(" "))}
        to = (
            words.get("dst4")
            or words.get("dst6")
            or words.get("dsthost")
            or words.get("specialtarget")
            or "*"
        )
        ports = words.get("dstports", "").split("-")
        found = {"to": to, "protocol": words.get("proto"), "ports": "-".join(dict.fromkeys(ports))}
        rules.append({key: value for key, value in found.items() if value})
    ours = last == "action=drop" and all(map(is_rule, rules)) and to_firewall(rules) == text
    return rules if ours else None
