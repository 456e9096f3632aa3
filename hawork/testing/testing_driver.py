"""Drivers that do what a test tells them."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from hawork.core.errors import LeadershipLostError
from hawork.core.types import LeaderInformation, LeaderSessionID
from hawork.ha.leader_election import LeaderElectionListener
from hawork.ha.leader_retrieval import LeaderRetrievalObserver


class TestingLeaderElectionDriver:
    """A leader election driver whose leadership is given and taken by the test.

    The class itself is a driver factory; ``Factory`` is one that remembers its drivers.
    What is published goes to ``storage``, which may be shared. Errors put into
    ``publish_errors`` are raised by the next publications and deletions, each of which calls
    ``while_writing`` first.
    """

    __test__ = False  # not a test class, whatever pytest thinks of its name

    class Factory:
        """Makes drivers and remembers them."""

        __test__ = False

        def __init__(self) -> None:
            self.drivers: list[TestingLeaderElectionDriver] = []
            self.storage: dict[str, LeaderInformation] = {}
            self.while_creating: Callable[[TestingLeaderElectionDriver], None] | None = None

        def __call__(self, listener: LeaderElectionListener) -> TestingLeaderElectionDriver:
            driver = TestingLeaderElectionDriver(listener, self.storage)
            self.drivers.append(driver)
            if self.while_creating is not None:
                self.while_creating(driver)
            return driver

        @property
        def driver(self) -> TestingLeaderElectionDriver:
            """The newest driver."""
            return self.drivers[-1]

    def __init__(
        self, listener: LeaderElectionListener, storage: dict[str, LeaderInformation] | None = None
    ) -> None:
        self.listener = listener
        self.storage = {} if storage is None else storage
        self.session_id: LeaderSessionID | None = None
        self.publish_errors: list[Exception] = []
        self.publications: list[tuple[str, LeaderInformation | None]] = []
        self.while_writing: Callable[[], object] | None = None
        self.closed = False

    # --- what a test calls ---------------------------------------------------------------

    def grant(self, session_id: LeaderSessionID | None = None) -> LeaderSessionID:
        """Lead from now on, and tell so; returns the session id."""
        self.session_id = session_id or uuid.uuid4()
        self.listener.on_grant_leadership(self.session_id)
        return self.session_id

    def revoke(self) -> None:
        """Lose leadership, and tell so."""
        self.session_id = None
        self.listener.on_revoke_leadership()

    def lose_silently(self) -> None:
        """Lose leadership without the listener having heard of it yet."""
        self.session_id = None

    def tamper(self, component_id: str, information: LeaderInformation | None) -> None:
        """Change published information as a third party would, and tell the component's."""
        if information is None:
            self.storage.pop(component_id, None)
        else:
            self.storage[component_id] = information
        self.listener.on_leader_information_change(component_id, information)

    # --- LeaderElectionDriver ------------------------------------------------------------

    def has_leadership(self, session_id: LeaderSessionID) -> bool:
        return not self.closed and session_id == self.session_id

    def publish_leader_information(self, component_id: str, information: LeaderInformation) -> None:
        self._write(component_id, information, information.session_id)
        self.storage[component_id] = information

    def delete_leader_information(self, component_id: str, session_id: LeaderSessionID) -> None:
        self._write(component_id, None, session_id)
        self.storage.pop(component_id, None)

    def _write(
        self, component_id: str, information: LeaderInformation | None, session_id: LeaderSessionID
    ) -> None:
        self.publications.append((component_id, information))
        if self.while_writing is not None:
            self.while_writing()
        if self.publish_errors:
            raise self.publish_errors.pop(0)
        if not self.has_leadership(session_id):
            raise LeadershipLostError(f"{session_id} does not lead")

    def ticket(self) -> dict[str, str]:
        return {"type": "testing"}

    def close(self) -> None:
        self.closed = True


class TestingRetrievalDriver:
    """A retrieval driver that says what a test tells it through ``observer``."""

    __test__ = False

    def __init__(self, observer: LeaderRetrievalObserver) -> None:
        self.observer = observer
        self.closed = False

    def close(self) -> None:
        self.closed = True
