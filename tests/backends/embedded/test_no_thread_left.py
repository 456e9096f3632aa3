"""A process that may start no thread more, as at the limit of its pod, when leadership comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.core.events import EventKind, EventLog
from hawork.ha.bounded_calls import BoundedCalls, NoThreadError
from hawork.ha.services import HighAvailabilityServices
from hawork.testing import RecordingContender
from tests.contract.embedded_harness import EmbeddedHarness
from tests.contract.harness import Contender


class Limit:
    """Refuses every thread that is to be started from ``reached`` on, as the system does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = False
        start = threading.Thread.start

        def limited(thread: threading.Thread) -> None:
            if self.reached:
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[EmbeddedHarness]:
    harness = EmbeddedHarness(tmp_path)
    yield harness
    harness.close()


def test_a_standby_is_granted_leadership_and_tells_of_it(
    harness: EmbeddedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It held the lease for good, and its contender never heard of it."""
    limit, leader, events = Limit(monkeypatch), Contender.of(harness), EventLog("standby")
    leader.listener.wait_for_grant()
    with HighAvailabilityServices(harness.config, harness.backend(), events=events) as services:
        election, contender = services.leader_election("service"), RecordingContender()
        election.start(contender)
        limit.reached = True
        leader.driver.close()
        session_id = contender.wait_for_grant()
        limit.reached = False
        told = [each for each in events.recent() if each.kind is EventKind.LEADERSHIP_GRANTED]
        assert [each.session_id for each in told] == [str(session_id)]
        election.confirm_leadership(session_id, "http://a").result(10)
        election.close()


def test_what_cannot_be_begun_says_what_to_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    limit, calls = Limit(monkeypatch), BoundedCalls("any")
    limit.reached = True
    with pytest.raises(NoThreadError, match="can't start new thread: raise the limit of processes"):
        calls.call(lambda: None, 1.0)
    limit.reached = False
    assert calls.call(lambda: "done", 10.0) == "done"
    calls.close()
