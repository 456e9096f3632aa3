"""A disk that does not answer: the leader's belief ends all the same, and is told to have ended."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hawork.backends.embedded import database, election_driver
from hawork.core.errors import HighAvailabilityError
from hawork.core.events import EventKind
from hawork.ha.services import HighAvailabilityServices
from hawork.testing import RecordingContender, eventually
from tests.contract.embedded_harness import EmbeddedHarness
from tests.contract.harness import Contender


class Disk:
    """Lets nothing through while it ``hangs``."""

    def __init__(self) -> None:
        self._answers = threading.Event()
        self._answers.set()
        self.waiting = threading.Event()

    def hangs(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if not self._answers.is_set():
                self.waiting.set()
                assert self._answers.wait(60)
            return real(*args, **named)

        return call

    def hang(self) -> None:
        self._answers.clear()

    def answer(self) -> None:
        self._answers.set()


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.answer()


@pytest.fixture
def harness(tmp_path: Path, disk: Disk) -> Iterator[EmbeddedHarness]:
    harness = EmbeddedHarness(tmp_path)
    yield harness
    disk.answer()
    harness.close()


def test_a_disk_that_hangs_does_not_keep_a_process_from_ending(
    harness: EmbeddedHarness, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_CLOSE_SECONDS", 0.1)
    backend: Any = harness.backend()
    Contender.of(harness).listener.wait_for_grant()
    monkeypatch.setattr(database.Database, "_commit", disk.hangs(database.Database._commit))
    disk.hang()
    writing = threading.Thread(target=backend.drop, args=(None, None))
    writing.start()
    assert disk.waiting.wait(10)
    backend.close()
    assert writing.is_alive(), "it is still in its commit"
    disk.answer()
    writing.join(10)


@pytest.mark.parametrize("what", ["renew_lease", "read_lease"])
def test_a_leader_whose_disk_hangs_is_revoked(
    harness: EmbeddedHarness, disk: Disk, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Within the renewal's transaction, and before it (while it is looked whether it is due)."""
    leader = Contender.of(harness)
    before = leader.listener.wait_for_grant()
    monkeypatch.setattr(election_driver, what, disk.hangs(getattr(election_driver, what)))
    disk.hang()
    if what == "read_lease":  # a foreign row makes it look; no renewal finds that first
        monkeypatch.setattr(election_driver, "renew_lease", lambda _, present: present)
        harness.execute("UPDATE lease SET session_id = 'other'")
    leader.listener.wait_for_revoke()
    assert disk.waiting.is_set() and not leader.driver.has_leadership(before)
    disk.answer()
    assert leader.listener.wait_for_grant(different_from=before) != before


def test_a_hung_disk_is_told_of_once(
    harness: EmbeddedHarness, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = Contender.of(harness)
    leader.listener.wait_for_grant()
    monkeypatch.setattr(election_driver, "renew_lease", disk.hangs(election_driver.renew_lease))
    disk.hang()
    leader.listener.wait_for_revoke()
    told = [str(e.facts["message"]) for e in harness.events.recent() if e.kind is EventKind.ERROR]
    assert told and all("does not answer" in each and "check its disk" in each for each in told)
    assert len(told) <= 3, "once for each way in which it does not answer"


def test_publishing_on_a_disk_that_hangs_delays_no_revocation(
    harness: EmbeddedHarness, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit that is to reach the disk has SQLite's write lock meanwhile."""
    with HighAvailabilityServices(harness.config, harness.backend()) as services:
        contender, election = RecordingContender(), services.leader_election("service")
        election.start(contender)
        session_id = contender.wait_for_grant()
        commit = database.Database._commit

        def durable(self: database.Database, connection: Any) -> None:
            (disk.hangs(commit) if self._durable else commit)(self, connection)

        monkeypatch.setattr(database.Database, "_commit", durable)
        disk.hang()
        confirmed = election.confirm_leadership(session_id, "http://a")
        assert disk.waiting.wait(10)
        contender.wait_for_revoke()
        with pytest.raises(HighAvailabilityError):
            confirmed.result(60)
        disk.answer()
        eventually(lambda: contender.session_id is not None)
        with contextlib.suppress(HighAvailabilityError):
            election.close()
