"""The fake of ``hawork.testing`` passes the suite, too."""

from __future__ import annotations

from pathlib import Path

from hawork.ha.backend import Backend
from hawork.testing import InMemoryCluster


class InMemoryHarness:
    def __init__(self, _: Path) -> None:
        self._cluster = InMemoryCluster()

    def backend(self) -> Backend:
        return self._cluster.backend()

    def expire_leadership(self) -> None:
        self._cluster.expire_leadership()

    def close(self) -> None:
        self._cluster.close()
