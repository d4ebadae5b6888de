"""The operator's settings: the worlds, the contracts, the policy and the freeze. This module reads them again when they change."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from qmcpd.errors import Misconfigured, say
from spec import LIMITS

from . import config, contracts


class Settings:
    """The current `config`, `contracts` and `unusable` (the contracts left out, and why). If qmcp.toml becomes unusable, the worlds stay
    as they were: the file then neither narrows nor widens anything."""

    def __init__(self, root: Path, changed: Callable[[Iterable[config.World]], None]) -> None:
        """`changed` is called with the worlds whenever they may have changed."""
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
        """Read changed files again, at most once a second."""
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
        """Whether the operator has frozen a world: by a file with its name, or by the file `all`."""
        return any((self._frozen / name).exists() for name in (world, "all"))

    def catalog(self, world: config.World, principal: str) -> dict[str, Any]:
        try:
            policy = config.read(self._policy).decode("utf-8")
        except (OSError, ValueError):
            policy = ""
        return contracts.catalog(self.contracts, self.unusable, world, principal, policy)
