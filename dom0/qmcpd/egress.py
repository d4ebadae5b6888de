"""Outbound rules: the form that agents and the operator write, the form that qubesd keeps, and whether one rule covers another.

A rule is `{"to": …, "protocol": …, "ports": …}`. `to` is `*`, `dns` (the resolvers of the network), an address, a network or a
host name. Without a protocol, a rule allows every protocol; without ports, every port. Everything that no rule allows is dropped.
"""

from collections.abc import Iterable

from settings.rules import HOST, is_rule, network_of, ports_of

Rule = dict[str, str]
EVERYTHING = "action=accept\n"  # the rules of a qube for which nobody has set any


def covers(ceiling: Rule, rule: Rule) -> bool:
    """Whether this one rule of the ceiling allows everything that the rule allows."""
    outer, inner = ceiling["to"], rule["to"]
    around, within = network_of(outer), network_of(inner)
    if around and within:
        # pyright does not infer that two networks of the same version have the same class
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
        raise ValueError("the ports of a rule are not a range")
    return ports


def to_firewall(rules: Iterable[Rule]) -> str:
    """The rules in the form of qubesd, with the final drop."""
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
    """The rules, or None for a firewall that `to_firewall` cannot have made."""
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
