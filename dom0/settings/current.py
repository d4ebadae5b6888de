"""What the operator has put in place, read again when it changes: the worlds, the contracts, the policy, and what is frozen."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from qmcpd.errors import Misconfigured, say
from spec import LIMITS

from . import config, contracts


class Settings:
    """`config`, `contracts` and `unusable` (the contracts left out, and why), as they are now. A qmcp.toml that became unusable
    leaves the worlds as they were: it can narrow nothing, and it widens nothing."""

    def __init__(self, root: Path, changed: Callable[[Iterable[config.World]], None]) -> None:
        """`changed` is told of the worlds whenever they may be others."""
        self._config = root / "etc/qmcp/qmcp.toml"
        self._contracts, self._frozen = root / "etc/qmcp/contracts", root / "var/lib/qmcp/frozen"
        self._policy = root / "etc/qubes/policy.d/30-qmcp.policy"
        self.config, self._changed, self._read, self._looked = (
            config.load(self._config),
            changed,
            None,
            0,
        )
        self.refresh()

    def refresh(self) -> None:
        """At most once a second."""
        if time.monotonic() - self._looked < LIMITS.settings_seconds:
            return
        self._looked = time.monotonic()
        files = [self._config, *sorted(self._contracts.glob("*.json"))]
        now = [
            (path, path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.exists()
        ]
        if now == self._read:
            return
        self._read = now
        try:
            self.config = config.load(self._config)
        except Misconfigured as problem:
            say(f"NOT IN FORCE, the worlds stay as they were: {problem}")
        self.contracts, self.unusable = contracts.load(self._contracts)
        for service, why in self.unusable.items():
            say(f"contract {service} is left out: {why}")
        self._changed(self.config.worlds.values())

    def frozen(self, world: str) -> bool:
        """The operator freezes a world by a file of its name, or every world by `all`."""
        return any((self._frozen / name).exists() for name in (world, "all"))

    def catalog(self, world: config.World, principal: str) -> dict[str, Any]:
        try:
            policy = config.read(self._policy).decode("utf-8")
        except (OSError, ValueError):
            policy = ""
        return contracts.catalog(self.contracts, self.unusable, world, principal, policy)
