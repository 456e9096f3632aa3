"""A leader election service on testing drivers, for the tests of leader election."""

from __future__ import annotations

import functools
import threading
import uuid
from collections.abc import Callable

import pytest

from hawork.core.events import EventKind, EventLog
from hawork.ha import leader_election_service
from hawork.ha.leader_election import LeaderElection
from hawork.ha.leader_election_service import DefaultLeaderElectionService
from hawork.ha.leader_information_corrector import LeaderInformationCorrector
from hawork.testing import RecordingContender, TestingLeaderElectionDriver

TIMEOUT = 60


class Setup:
    """A service on testing drivers, and the contenders that were started on it."""

    def __init__(self) -> None:
        self.factory = TestingLeaderElectionDriver.Factory()
        self.events = EventLog("test")
        self.tickets: list[dict[str, str]] = []
        self.service = DefaultLeaderElectionService(
            self.factory, self.events, ticket_sink=self.tickets.append
        )
        self.elections: list[LeaderElection] = []

    def start(
        self, component_id: str, contender: RecordingContender | None = None
    ) -> tuple[RecordingContender, LeaderElection]:
        contender = contender or RecordingContender()
        election = self.service.leader_election(component_id)
        election.start(contender)
        self.elections.append(election)
        return contender, election

    def use_corrector(self, monkeypatch: pytest.MonkeyPatch, retry_pause: float) -> None:
        """Correct with another pause between tries; before the first correction."""
        monkeypatch.setattr(
            leader_election_service,
            "LeaderInformationCorrector",
            functools.partial(LeaderInformationCorrector, retry_pause=retry_pause),
        )

    def settle(self) -> None:
        """Return when all that was queued so far is done."""
        self.elections[-1].confirm_leadership(uuid.uuid4(), "nobody").exception(TIMEOUT)

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events.recent()]

    def close(self) -> None:
        for election in self.elections:
            election.close()
        self.service.close()


def in_thread(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


class Gate:
    """Holds whoever calls it until it is opened; says when somebody has arrived."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.opened = threading.Event()

    def __call__(self, *_: object) -> None:
        self.arrived.set()
        assert self.opened.wait(TIMEOUT)
