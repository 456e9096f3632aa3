"""Confirming leadership, acting under it, and correcting what others changed."""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Iterator

import pytest
from election_setup import TIMEOUT, Gate, Setup, in_thread

from hawork.core.errors import (
    LeaderElectionError,
    LeadershipLostError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind
from hawork.core.types import LeaderInformation
from hawork.testing import RecordingContender, eventually


@pytest.fixture
def setup() -> Iterator[Setup]:
    setup = Setup()
    yield setup
    setup.close()


def test_confirming_twice_the_same_changes_nothing(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    assert len(setup.factory.driver.publications) == 1
    with pytest.raises(LeaderElectionError, match="confirmed its leadership already"):
        election.confirm_leadership(session_id, "http://b").result(TIMEOUT)


def test_a_contender_may_confirm_and_wait_when_granted(setup: Setup) -> None:
    election = setup.service.leader_election("rest_server")
    contender = RecordingContender(
        on_grant=lambda session_id: election.confirm_leadership(session_id, "http://a").result()
    )
    election.start(contender)
    setup.elections.append(election)
    setup.factory.driver.grant()
    eventually(lambda: "rest_server" in setup.factory.storage)
    assert contender.errors == []


def test_confirming_an_old_session_id_changes_nothing(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    old = setup.factory.driver.grant()
    setup.factory.driver.revoke()
    new = setup.factory.driver.grant()
    contender.wait_for_grant(different_from=old)
    election.confirm_leadership(new, "http://new").result(TIMEOUT)
    with pytest.raises(LeadershipLostError):
        election.confirm_leadership(old, "http://old").result(TIMEOUT)
    assert setup.factory.storage == {"dispatcher": LeaderInformation(new, "http://new")}


def test_confirming_after_revocation_changes_nothing(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    setup.factory.driver.revoke()
    contender.wait_for_revoke()
    with pytest.raises(LeadershipLostError):
        election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    assert setup.factory.storage == {}


@pytest.mark.parametrize("error", [StoreUnavailableError, PossibleInconsistentStateError])
def test_a_publication_that_fails_may_be_repeated(setup: Setup, error: type[Exception]) -> None:
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    setup.factory.driver.publish_errors.append(error("not now"))
    with pytest.raises(error):
        election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    assert setup.factory.storage == {"dispatcher": LeaderInformation(session_id, "http://a")}


def test_run_if_leader_before_the_grant_is_processed(setup: Setup) -> None:
    gate = Gate()
    setup.start("slow", RecordingContender(on_grant=gate))
    _, election = setup.start("dispatcher")
    session_id = uuid.uuid4()
    early = election.run_if_leader(session_id, lambda: "ran")
    setup.factory.driver.grant(session_id)
    gate.opened.set()
    with pytest.raises(LeadershipLostError):
        early.result(TIMEOUT)


def test_run_if_leader_needs_the_right_session_id(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    assert election.run_if_leader(session_id, lambda: "ran").result(TIMEOUT) == "ran"
    with pytest.raises(LeadershipLostError):
        election.run_if_leader(uuid.uuid4(), lambda: "ran").result(TIMEOUT)


def test_run_if_leader_fails_as_soon_as_the_backend_lost_leadership(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    setup.factory.driver.lose_silently()
    ran: list[str] = []
    with pytest.raises(LeadershipLostError):
        election.run_if_leader(session_id, lambda: ran.append("x")).result(TIMEOUT)
    setup.factory.driver.listener.on_revoke_leadership()
    contender.wait_for_revoke()
    with pytest.raises(LeadershipLostError):
        election.run_if_leader(session_id, lambda: ran.append("x")).result(TIMEOUT)
    assert ran == []


def test_run_if_leader_after_close(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    setup.start("rest_server")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.close()
    with pytest.raises(LeadershipLostError):
        election.run_if_leader(session_id, lambda: None).result(TIMEOUT)
    with pytest.raises(LeadershipLostError):
        election.confirm_leadership(session_id, "http://a").result(TIMEOUT)


def test_an_action_that_raises_fails_its_future_only(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    with pytest.raises(ZeroDivisionError):
        election.run_if_leader(session_id, lambda: 1 // 0).result(TIMEOUT)
    assert contender.errors == []


@pytest.mark.parametrize("foreign", [None, LeaderInformation(uuid.UUID(int=7), "http://foreign")])
def test_foreign_changes_of_confirmed_information_are_corrected(
    setup: Setup, foreign: LeaderInformation | None
) -> None:
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    setup.factory.driver.tamper("dispatcher", foreign)
    wanted = {"dispatcher": LeaderInformation(session_id, "http://a")}
    eventually(lambda: setup.factory.storage == wanted)


def test_information_that_nobody_confirmed_is_removed(setup: Setup) -> None:
    contender, _ = setup.start("dispatcher")
    setup.factory.driver.grant()
    contender.wait_for_grant()
    setup.factory.driver.tamper("dispatcher", LeaderInformation(uuid.uuid4(), "http://foreign"))
    eventually(lambda: setup.factory.storage == {})


def test_of_a_whole_register_only_what_changed_is_corrected(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    _, other = setup.start("rest_server")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    other.confirm_leadership(session_id, "http://b").result(TIMEOUT)
    driver = setup.factory.driver
    driver.publications.clear()
    unknown = LeaderInformation(uuid.uuid4(), "http://unknown")
    setup.factory.storage["unknown"] = unknown
    driver.listener.on_leader_information_register(
        {"rest_server": LeaderInformation(session_id, "http://b"), "unknown": unknown}
    )
    wanted = [("dispatcher", LeaderInformation(session_id, "http://a"))]
    eventually(lambda: driver.publications == wanted)
    assert setup.factory.storage["unknown"] == unknown


def test_a_standby_corrects_nothing(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    setup.factory.driver.revoke()
    contender.wait_for_revoke()
    new = LeaderInformation(uuid.uuid4(), "http://new-leader")
    setup.factory.driver.publications.clear()
    setup.factory.driver.tamper("dispatcher", new)
    setup.settle()
    assert setup.factory.driver.publications == []
    assert setup.factory.storage == {"dispatcher": new}


def test_changes_of_a_closed_component_are_ignored(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    setup.start("rest_server")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    election.close()
    driver = setup.factory.driver
    driver.publications.clear()
    foreign = LeaderInformation(uuid.uuid4(), "http://foreign")
    driver.tamper("dispatcher", foreign)
    driver.listener.on_leader_information_register({"dispatcher": foreign})
    setup.settle()
    assert driver.publications == []


def test_a_slow_contender_does_not_delay_corrections(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    gate = Gate()
    slow = RecordingContender(on_grant=gate)
    setup.start("slow", slow)
    assert gate.arrived.wait(TIMEOUT)
    setup.factory.driver.tamper("dispatcher", None)
    eventually(lambda: "dispatcher" in setup.factory.storage)
    assert not gate.opened.is_set()
    gate.opened.set()


def test_a_correction_that_fails_reaches_the_contenders(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    setup.factory.driver.publish_errors.append(ValueError("a bug"))
    setup.factory.driver.tamper("dispatcher", None)
    eventually(lambda: contender.errors)


@pytest.mark.parametrize("error", [StoreUnavailableError, PossibleInconsistentStateError])
def test_a_correction_is_tried_again_when_the_store_answers_again(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    setup.use_corrector(monkeypatch, retry_pause=0.001)
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    setup.factory.driver.publish_errors += [error("no store")] * 3
    setup.factory.driver.tamper("dispatcher", None)
    wanted = {"dispatcher": LeaderInformation(session_id, "http://a")}
    eventually(lambda: setup.factory.storage == wanted)
    assert contender.errors == []
    assert setup.kinds().count(EventKind.ERROR) == 1


def test_a_correction_is_tried_again_with_the_next_change(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.use_corrector(monkeypatch, retry_pause=1000)
    contender, election = setup.start("dispatcher")
    _, other = setup.start("rest_server")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    other.confirm_leadership(session_id, "http://b").result(TIMEOUT)
    driver = setup.factory.driver
    driver.publish_errors.append(StoreUnavailableError("no store"))
    driver.tamper("dispatcher", None)
    eventually(lambda: EventKind.ERROR in setup.kinds())
    driver.tamper("rest_server", None)
    eventually(lambda: sorted(setup.factory.storage) == ["dispatcher", "rest_server"])


def test_a_failed_correction_ends_with_the_leadership(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.use_corrector(monkeypatch, retry_pause=1000)
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    driver = setup.factory.driver
    driver.publish_errors.append(StoreUnavailableError("no store"))
    driver.tamper("dispatcher", None)
    eventually(lambda: EventKind.ERROR in setup.kinds())
    driver.revoke()
    contender.wait_for_revoke()
    driver.grant()
    contender.wait_for_grant(different_from=session_id)
    driver.publications.clear()
    driver.tamper("dispatcher", LeaderInformation(session_id, "http://a"))
    # What the old leadership confirmed is not what this one wants published.
    eventually(lambda: driver.publications == [("dispatcher", None)])


def test_leaving_while_the_store_is_away_is_no_error_of_the_others(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    other, _ = setup.start("rest_server")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    setup.factory.driver.publish_errors.append(StoreUnavailableError("no store"))
    election.close()
    setup.settle()
    assert other.errors == []
    assert EventKind.ERROR in setup.kinds()


def test_a_publication_that_hangs_does_not_keep_leadership_from_being_revoked(setup: Setup) -> None:
    """A store that does not answer must not make a leader of somebody who is none."""
    contender, election = setup.start("dispatcher")
    driver, gate = setup.factory.driver, Gate()
    session_id = driver.grant()
    contender.wait_for_grant()
    driver.while_writing = gate
    confirmed = election.confirm_leadership(session_id, "http://a")
    assert gate.arrived.wait(TIMEOUT)
    driver.revoke()
    contender.wait_for_revoke()
    with pytest.raises(LeadershipLostError, match="does not lead any more"):
        confirmed.result(TIMEOUT)
    # One that leads again is told that the store hangs, and may repeat it.
    again = driver.grant()
    contender.wait_for_grant()
    with pytest.raises(StoreUnavailableError, match="hangs"):
        election.confirm_leadership(again, "http://a").result(TIMEOUT)
    gate.opened.set()
    driver.while_writing = None
    eventually(lambda: election.confirm_leadership(again, "http://a").exception(TIMEOUT) is None)


def test_the_leadership_thread_answers_while_a_publication_hangs(setup: Setup) -> None:
    """A watchdog asks it: one that waits for the store is not one that hangs."""
    contender, election = setup.start("dispatcher")
    driver, gate = setup.factory.driver, Gate()
    session_id = driver.grant()
    contender.wait_for_grant()
    driver.while_writing = gate
    confirmed = election.confirm_leadership(session_id, "http://a")
    assert gate.arrived.wait(TIMEOUT)
    threads: queue.Queue[str] = queue.Queue()
    for _ in range(2):
        setup.service.on_leadership_thread(lambda: threads.put(threading.current_thread().name))
        assert threads.get(timeout=TIMEOUT) == "leader-election"
    assert not confirmed.done()
    gate.opened.set()
    confirmed.result(TIMEOUT)
    setup.settle()
    assert threads.empty(), "each question is answered once"


def test_leaving_while_the_store_hangs_does_not_keep_the_others_leading(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    other, _ = setup.start("rest_server")
    driver, gate = setup.factory.driver, Gate()
    session_id = driver.grant()
    other.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    driver.while_writing = gate
    leaving = in_thread(election.close)
    assert gate.arrived.wait(TIMEOUT)
    assert contender.session_id is None
    driver.revoke()
    other.wait_for_revoke()
    leaving.join(TIMEOUT)
    gate.opened.set()
    assert other.errors == []
