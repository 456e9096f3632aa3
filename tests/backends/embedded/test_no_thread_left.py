"""A process that may start no thread more, as at the limit of its pod, when leadership comes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

import hawork
from hawork.core.events import EventKind, EventLog
from hawork.core.types import DISPATCHER
from hawork.ha.bounded_calls import BoundedCalls, NoThreadError
from hawork.ha.services import HighAvailabilityServices
from hawork.testing import RecordingContender, eventually
from tests.contract.embedded_harness import EmbeddedHarness
from tests.contract.harness import Contender, ElectionListener, Retrieval


class Limit:
    """Refuses every thread that is to be started from ``reached`` on, as the system does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = False
        self.left = 0
        """Threads that may be started all the same."""
        start = threading.Thread.start

        def limited(thread: threading.Thread) -> None:
            self.left -= self.reached
            if self.reached and self.left < 0:
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


@pytest.mark.parametrize("left", [0, 1])
def test_a_driver_that_cannot_be_started_leaves_nothing(
    harness: EmbeddedHarness, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """With one thread left it stood in the election, held the lease, and led nothing."""
    limit, backend = Limit(monkeypatch), harness.backend()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        limit.reached, limit.left = True, left
        with pytest.raises(RuntimeError, match="can't start new thread"):
            backend.election_driver(ElectionListener())
        limit.reached = False
        eventually(lambda: not any(t.name == "embedded-election" for t in threading.enumerate()))
    assert not list((harness.directory / "contenders").iterdir())
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    # And the process goes on as if it had not been.
    leader, retrieval = Contender.of(harness), Retrieval.of(harness, DISPATCHER)
    retrieval.observer.wait_for(leader.publish(DISPATCHER, "a:1"))
    listener = ElectionListener()
    driver = backend.election_driver(listener)
    leader.driver.close()
    listener.wait_for_grant()
    driver.close()


def test_what_cannot_be_opened_is_closed_again(
    harness: EmbeddedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try left descriptors behind, until none was left for the last one."""
    limit = Limit(monkeypatch)
    harness.backend()
    counted = []
    for _ in range(5):
        limit.reached = True
        with pytest.raises(RuntimeError, match="can't start new thread"):
            hawork.open_ha_services(harness.config)
        limit.reached = False
        with monkeypatch.context() as patched:
            patched.setattr(os, "pipe", Mock(side_effect=OSError(24, "Too many open files")))
            with pytest.raises(OSError, match="Too many open files"):
                harness.backend()
        counted.append(len(os.listdir("/proc/self/fd")))
    # SQLite keeps a few of one that is closed while another connection has locks.
    assert counted[-1] <= counted[1]


def test_what_cannot_be_begun_says_what_to_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    limit, calls = Limit(monkeypatch), BoundedCalls("any")
    limit.reached = True
    with pytest.raises(NoThreadError, match="can't start new thread: raise the limit of processes"):
        calls.call(lambda: None, 1.0)
    limit.reached = False
    assert calls.call(lambda: "done", 10.0) == "done"
    calls.close()
