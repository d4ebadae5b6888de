"""Outbound rules: as agents and the operator write them, as qubesd keeps them, and whether one is within another.

A rule is `{"to": …, "protocol": …, "ports": …}`: `to` is `*`, `dns` (the resolvers of the network), an address, a network or a
host name; without a protocol it is any, without ports all. What no rule lets through is dropped.
"""

import ipaddress
import re

_HOST = re.compile(r"(?=.{1,253}$)(?!.*\d$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+")


def _network(text):
    try:
        return None if "%" in text else ipaddress.ip_network(text, strict=False)  # a zone may be any words at all
    except ValueError:
        return None


def _ports(rule):
    """`(low, high)`; all of them without any; None for what is no range."""
    if "ports" not in rule:
        return 0, 65535
    found = re.fullmatch(r"([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?", rule["ports"])
    low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    return (low, high) if low <= high <= 65535 else None


def is_rule(rule, ceiling=False):
    """Beyond its shape; only a ceiling may say `*.example.org`."""
    to = rule["to"].removeprefix("*.") if ceiling else rule["to"]
    known = to in ("*", "dns") or _network(to) is not None or _HOST.fullmatch(to) is not None
    return known and _ports(rule) is not None and not (
        ("ports" in rule and rule.get("protocol") not in ("tcp", "udp")) or (to == "dns" and len(rule) > 1)
    )


def covers(ceiling, rule):
    """Whatever the rule lets through, this one rule of the ceiling does too."""
    outer, inner = ceiling["to"], rule["to"]
    around, within = _network(outer), _network(inner)
    if around and within:
        reaches = around.version == within.version and within.subnet_of(around)
    else:
        reaches = outer in ("*", inner) or (outer.startswith("*.") and _HOST.fullmatch(inner) and inner.endswith(outer[1:]))
    (low, high), (least, most) = _ports(rule), _ports(ceiling)
    return bool(reaches) and ceiling.get("protocol") in (None, rule.get("protocol")) and least <= low and high <= most


def to_firewall(rules):
    """The rules as qubesd writes them, with the final drop."""
    lines = []
    for rule in rules:
        words, to, network = ["action=accept"], rule["to"], _network(rule["to"])
        if network:
            words.append(f"dst{network.version}={network}")
        elif to not in ("*", "dns"):
            words.append(f"dsthost={to}")
        words += [f"proto={rule['protocol']}"] if "protocol" in rule else []
        words += ["dstports=%d-%d" % _ports(rule)] if "ports" in rule else []
        lines.append(" ".join(words + (["specialtarget=dns"] if to == "dns" else [])))
    return "".join(f"{line}\n" for line in [*lines, "action=drop"])


def from_firewall(text):
    """The rules, or None for a firewall that is not of our making."""
    *lines, last = text.splitlines() or [""]
    rules = []
    for line in lines:
        words = dict(word.partition("=")[::2] for word in line.split(" "))
        to = words.get("dst4") or words.get("dst6") or words.get("dsthost") or words.get("specialtarget") or "*"
        ports = words.get("dstports", "").split("-")
        rule = {"to": to, "protocol": words.get("proto"), "ports": "-".join(dict.fromkeys(ports))}
        rules.append({key: value for key, value in rule.items() if value})
    ours = last == "action=drop" and all(map(is_rule, rules)) and to_firewall(rules) == text
    return rules if ours else None
