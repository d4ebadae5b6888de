"""What the operator is asked about before it happens: the entries of asks.json, which `qmcp-admin ask` writes. The generator writes
`ask` in place of `allow` for them, in the same lines and after the same denials, so a question opens nothing."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from qmcpd import schema
from qmcpd.errors import Misconfigured
from settings.config import read
from settings.contracts import Contract
from spec import SHAPES, TIERS

PATH = "etc/qmcp/asks.json"


class Ask(NamedTuple):
    """`what`: a service, a plugin or an effect. At most one of `tier` and `qube` narrows it."""

    what: str
    tier: str = ""
    qube: str = ""

    def concerns(self, contract: Contract) -> bool:
        """A tier narrows only services that need more than the lowest one: those are open at each tier by lines of its own."""
        if self.what not in (contract.service, contract.plugin, contract.effect):
            return False
        if contract.target is None:
            return not (self.tier or self.qube)
        least = TIERS.index(contract.target["capability"])
        return not self.tier or 0 < least <= TIERS.index(self.tier)

    def words(self) -> str:
        narrowed = (
            f" --tier {self.tier}" if self.tier else f" --qube {self.qube}" if self.qube else ""
        )
        return self.what + narrowed


def load(root: Path) -> list[Ask]:
    """None where there is no such file. Raises Misconfigured."""
    path = root / PATH
    if not path.exists():
        return []
    try:
        data = json.loads(read(path))
    except (OSError, ValueError) as error:
        raise Misconfigured(path, (), str(error)) from None
    wrong = schema.problem(SHAPES["asks"], data)
    if wrong:
        raise Misconfigured(path, wrong[0], f"expected {wrong[1]}")
    return [Ask(**entry) for entry in data]


def written_in(policy: str) -> list[Ask]:
    """The entries that a policy of ours was generated from."""
    lines = [line.split()[2:] for line in policy.splitlines() if line.startswith("# asked ")]
    return [Ask(words[0], **{words[1][2:]: words[2]} if words[1:] else {}) for words in lines]


def text(asks: Iterable[Ask]) -> str:
    """The file with these entries."""
    given = [{key: value for key, value in ask._asdict().items() if value} for ask in asks]
    return json.dumps(given, indent=2) + "\n"


def tiers(asks: Iterable[Ask], contract: Contract) -> list[str]:
    """The tiers of qubes, of those it is open at, for which the operator may be asked before this call."""
    if contract.target is None:
        return []
    wanted = {tier for ask in asks for tier in ([ask.tier] if ask.tier else TIERS)}
    return [tier for tier in TIERS[TIERS.index(contract.target["capability"]) :] if tier in wanted]
