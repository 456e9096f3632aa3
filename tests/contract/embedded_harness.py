"""The embedded backend on a directory of the test."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from hawork.backends.embedded.crash_lock import sweep
from hawork.backends.registry import open_backend
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.events import EventLog
from hawork.core.options import checked
from hawork.ha.backend import Backend
from hawork.ha.leader_election import LeaderElectionDriver, LeaderElectionListener

_ELECTION = "high-availability.embedded.leader-election"
FAST = {
    f"{_ELECTION}.lease-duration": "2 s",
    f"{_ELECTION}.renew-deadline": "2 s",
    f"{_ELECTION}.retry-period": "100 ms",
}
"""Timeouts long enough for a busy machine and short enough to wait for."""
PATIENT = {f"{_ELECTION}.lease-duration": "60 s", f"{_ELECTION}.renew-deadline": "60 s"}
LONG = {f"{_ELECTION}.lease-duration": "1 h", f"{_ELECTION}.renew-deadline": "1 h"}


def embedded_config(directory: Path, options: Mapping[str, object] | None = None) -> Configuration:
    return checked(
        {
            "high-availability.type": "embedded",
            "high-availability.storageDir": f"file:{directory}/storage",
            "high-availability.embedded.directory": f"{directory}/ha",
            **FAST,
            **(options or {}),
        }
    )


class EmbeddedHarness:
    """Closes what it handed out, drivers first."""

    def __init__(self, directory: Path, options: Mapping[str, object] | None = None) -> None:
        self.config = embedded_config(directory, options)
        self.directory = directory / "ha"
        self.events = EventLog("test")
        self._drivers: list[LeaderElectionDriver] = []
        self._backends: list[Backend] = []

    def backend(self) -> Backend:
        backend = open_backend(self.config, SYSTEM_CLOCK, self.events)
        self._backends.append(backend)
        return _Remembering(backend, self._drivers)

    def expire_leadership(self) -> None:
        """Remove the lease under the leader's feet."""
        self.execute("DELETE FROM lease")

    def renewals(self) -> int:
        """How often the present leader has renewed its lease."""
        ((count,),) = self.execute("SELECT renewals FROM lease")
        assert isinstance(count, int)
        return count

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Do something behind the backend's back."""
        # isolation_level=None: each statement is a transaction of its own.
        path = self.directory / "ha.db"
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    def close(self) -> None:
        for driver in self._drivers:
            driver.close()
        for backend in self._backends:
            backend.close()
        sweep(self.directory / "contenders")
        assert not list(self.directory.glob("contenders/*.lock")), "a contender is alive"


class _Remembering:
    """A backend whose election drivers are remembered, to be closed."""

    def __init__(self, backend: Backend, drivers: list[LeaderElectionDriver]) -> None:
        self._drivers = drivers
        self.retrieval_driver = backend.retrieval_driver
        self.pointers = backend.pointers
        self.drop = backend.drop
        self.fullest = backend.fullest
        self.close = backend.close
        self._election_driver = backend.election_driver

    def election_driver(self, listener: LeaderElectionListener) -> LeaderElectionDriver:
        driver = self._election_driver(listener)
        self._drivers.append(driver)
        return driver
