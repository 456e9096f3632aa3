"""A backend whose election drivers are remembered, to be expired and closed by a harness."""

from __future__ import annotations

from hawork.core.types import LeaderSessionID
from hawork.ha.backend import Backend
from hawork.ha.leader_election import LeaderElectionDriver, LeaderElectionListener


class RememberingBackend:
    """Passes everything on, and keeps each driver with what its listener was told."""

    def __init__(self, backend: Backend) -> None:
        self.drivers: list[tuple[LeaderElectionDriver, RememberingListener]] = []
        self.retrieval_driver = backend.retrieval_driver
        self.pointers = backend.pointers
        self.drop = backend.drop
        self.fullest = backend.fullest
        self.close = backend.close
        self._election_driver = backend.election_driver

    def election_driver(self, listener: LeaderElectionListener) -> LeaderElectionDriver:
        remembering = RememberingListener(listener)
        driver = self._election_driver(remembering)
        self.drivers.append((driver, remembering))
        return driver


class RememberingListener:
    """Passes everything on, and keeps the session id of the present leadership."""

    def __init__(self, listener: LeaderElectionListener) -> None:
        self._listener = listener
        self.session_id: LeaderSessionID | None = None
        self.on_leader_information_change = listener.on_leader_information_change
        self.on_leader_information_register = listener.on_leader_information_register
        self.on_error = listener.on_error

    def on_grant_leadership(self, session_id: LeaderSessionID) -> None:
        self.session_id = session_id
        self._listener.on_grant_leadership(session_id)

    def on_revoke_leadership(self) -> None:
        self.session_id = None
        self._listener.on_revoke_leadership()


def leading(backends: list[RememberingBackend]) -> LeaderElectionDriver | None:
    """The driver that leads, if one does."""
    for backend in backends:
        for driver, listener in backend.drivers:
            if listener.session_id and driver.has_leadership(listener.session_id):
                return driver
    return None


def close_all(backends: list[RememberingBackend]) -> None:
    """Drivers first, as a process does that stops."""
    for backend in backends:
        for driver, _ in backend.drivers:
            driver.close()
    for backend in backends:
        backend.close()
