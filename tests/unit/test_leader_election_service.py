"""Flink's ``DefaultLeaderElectionServiceTest``, line by line: taking part, granting, revoking."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator

import pytest
from election_setup import TIMEOUT, Gate, Setup, in_thread

from hawork.core.errors import LeaderElectionError, StoreUnavailableError
from hawork.core.events import EventKind
from hawork.core.types import LeaderInformation
from hawork.ha.leader_election import TicketListener
from hawork.ha.leader_election_service import DefaultLeaderElectionService
from hawork.testing import RecordingContender, TestingLeaderElectionDriver, eventually


@pytest.fixture
def setup() -> Iterator[Setup]:
    setup = Setup()
    yield setup
    setup.close()


def test_grant_and_revoke_reach_all_contenders(setup: Setup) -> None:
    first, first_election = setup.start("dispatcher")
    second, second_election = setup.start("rest_server")
    session_id = setup.factory.driver.grant()
    assert first.wait_for_grant() == second.wait_for_grant() == session_id
    first_election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    second_election.confirm_leadership(session_id, "http://b").result(TIMEOUT)
    published = {
        "dispatcher": LeaderInformation(session_id, "http://a"),
        "rest_server": LeaderInformation(session_id, "http://b"),
    }
    assert setup.factory.storage == published

    setup.factory.driver.revoke()
    first.wait_for_revoke()
    second.wait_for_revoke()
    assert setup.factory.storage == published  # what is published is the backend's business
    assert first.calls == second.calls == [("grant", session_id), ("revoke", session_id)]
    assert setup.kinds() == [
        EventKind.LEADERSHIP_GRANTED,
        EventKind.LEADERSHIP_CONFIRMED,
        EventKind.LEADERSHIP_CONFIRMED,
        EventKind.LEADERSHIP_REVOKED,
    ]


def test_a_component_id_is_refused_while_in_use(setup: Setup) -> None:
    _, election = setup.start("dispatcher")
    with pytest.raises(LeaderElectionError, match="'dispatcher' takes part already"):
        setup.service.leader_election("dispatcher").start(RecordingContender())
    with pytest.raises(LeaderElectionError, match="takes part already"):
        election.start(RecordingContender())


def test_a_component_id_is_free_again_after_close(setup: Setup) -> None:
    _, election = setup.start("dispatcher")
    election.close()
    setup.start("dispatcher")


def test_none_begins_to_take_part_once_the_service_ends(setup: Setup) -> None:
    """A JobManager was told to end while a thread of it took part, one component after the other.

    The last one came between the two halves of the end: the process died of that, and left its lock
    to time out. Found by the simulation, as kubernetes:156.
    """
    setup.start("dispatcher")
    late = setup.service.leader_election("rest_server")
    setup.service.deregister_all()
    with pytest.raises(LeaderElectionError, match="leader election is closed"):
        late.start(RecordingContender())
    setup.service.close()


def test_closing_and_granting_at_once_do_not_deadlock() -> None:
    lock, held, closing = threading.Lock(), threading.Event(), threading.Event()

    class LockingDriver(TestingLeaderElectionDriver):
        def grant_holding_lock(self) -> None:
            with lock:
                held.set()
                assert closing.wait(TIMEOUT)
                self.grant()

        def close(self) -> None:
            closing.set()
            with lock:
                super().close()

    drivers: list[LockingDriver] = []

    def factory(listener: object) -> LockingDriver:
        drivers.append(LockingDriver(listener))  # type: ignore[arg-type]
        return drivers[-1]

    service = DefaultLeaderElectionService(factory)
    election = service.leader_election("dispatcher")
    election.start(RecordingContender())
    granting = in_thread(drivers[0].grant_holding_lock)
    assert held.wait(TIMEOUT)
    closer = in_thread(election.close)
    granting.join(TIMEOUT)
    closer.join(TIMEOUT)
    assert not granting.is_alive() and not closer.is_alive()
    service.close()


def test_the_driver_is_made_for_the_first_contender_only(setup: Setup) -> None:
    setup.service.leader_election("unused")
    assert setup.factory.drivers == []
    setup.start("dispatcher")
    setup.start("rest_server")
    assert len(setup.factory.drivers) == 1
    assert setup.tickets == [{"type": "testing"}]


def test_a_closed_service_takes_no_contender(setup: Setup) -> None:
    election = setup.service.leader_election("dispatcher")
    setup.service.close()
    with pytest.raises(LeaderElectionError, match="closed"):
        setup.service.leader_election("dispatcher")
    with pytest.raises(LeaderElectionError, match="closed"):
        election.start(RecordingContender())


def test_the_last_contender_closes_the_driver_and_the_next_makes_another(setup: Setup) -> None:
    _, first = setup.start("dispatcher")
    _, second = setup.start("rest_server")
    first.close()
    assert not setup.factory.driver.closed
    second.close()
    assert setup.factory.driver.closed
    contender, _ = setup.start("dispatcher")
    assert len(setup.factory.drivers) == 2
    setup.factory.drivers[0].grant()  # an outdated driver is not heard any more
    session_id = setup.factory.driver.grant()
    assert contender.wait_for_grant() == session_id
    assert contender.calls == [("grant", session_id)]


def test_a_grant_while_the_driver_is_being_made_is_not_lost(setup: Setup) -> None:
    granted: list[uuid.UUID] = []
    setup.factory.while_creating = lambda driver: granted.append(driver.grant())
    contender, _ = setup.start("dispatcher")
    assert contender.wait_for_grant() == granted[0]


def test_a_driver_that_cannot_be_made_fails_the_start(setup: Setup) -> None:
    def fail(_: object) -> None:
        raise StoreUnavailableError("no store")

    setup.factory.while_creating = fail
    election = setup.service.leader_election("dispatcher")
    with pytest.raises(StoreUnavailableError, match="no store"):
        election.start(RecordingContender())
    setup.factory.while_creating = None
    election.start(RecordingContender())
    setup.elections.append(election)


def test_a_queued_grant_reaches_a_contender_that_came_meanwhile(setup: Setup) -> None:
    gate = Gate()
    setup.start("slow", RecordingContender(on_grant=gate))
    session_id = setup.factory.driver.grant()
    assert gate.arrived.wait(TIMEOUT)
    late, _ = setup.start("late")  # does not wait for the slow contender
    gate.opened.set()
    assert late.wait_for_grant() == session_id
    setup.settle()
    assert late.calls == [("grant", session_id)]


def test_a_contender_that_comes_to_a_leader_is_granted_its_session_id(setup: Setup) -> None:
    first, _ = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    first.wait_for_grant()
    late, _ = setup.start("late")
    assert late.wait_for_grant() == session_id
    assert first.calls == [("grant", session_id)]


def test_a_contender_may_start_another_one_when_granted(setup: Setup) -> None:
    inner = RecordingContender()
    setup.start("dispatcher", RecordingContender(on_grant=lambda _: setup.start("job-1", inner)))
    assert inner.calls == []
    session_id = setup.factory.driver.grant()
    assert inner.wait_for_grant() == session_id


def test_a_queued_grant_is_dropped_for_a_contender_that_left(setup: Setup) -> None:
    gate = Gate()
    setup.start("slow", RecordingContender(on_grant=gate))
    contender, election = setup.start("leaving")
    setup.factory.driver.grant()
    assert gate.arrived.wait(TIMEOUT)
    closer = in_thread(election.close)
    eventually(lambda: takes_part(setup, "leaving") is False)
    gate.opened.set()
    closer.join(TIMEOUT)
    assert contender.calls == []


def test_a_queued_revoke_is_not_delivered_again_after_close(setup: Setup) -> None:
    gate = Gate()
    setup.start("slow", RecordingContender(on_revoke=gate))
    contender, election = setup.start("leaving")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    setup.factory.driver.revoke()
    assert gate.arrived.wait(TIMEOUT)
    closer = in_thread(election.close)
    eventually(lambda: takes_part(setup, "leaving") is False)
    gate.opened.set()
    closer.join(TIMEOUT)
    assert contender.calls == [("grant", session_id), ("revoke", session_id)]


def test_the_service_cannot_be_closed_with_a_contender(setup: Setup) -> None:
    setup.start("dispatcher")
    with pytest.raises(LeaderElectionError, match="still has the contenders dispatcher"):
        setup.service.close()


def test_closing_as_leader_revokes_and_removes_the_address(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    other, other_election = setup.start("rest_server")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    other_election.confirm_leadership(session_id, "http://b").result(TIMEOUT)
    election.close()
    assert contender.calls == [("grant", session_id), ("revoke", session_id)]
    assert list(setup.factory.storage) == ["rest_server"]
    assert other.session_id == session_id


def test_closing_after_the_backend_lost_leadership_leaves_the_address(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    session_id = setup.factory.driver.grant()
    contender.wait_for_grant()
    election.confirm_leadership(session_id, "http://a").result(TIMEOUT)
    setup.factory.driver.lose_silently()
    election.close()
    assert contender.calls == [("grant", session_id), ("revoke", session_id)]
    assert "dispatcher" in setup.factory.storage


def test_grants_are_ignored_after_close(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    setup.start("rest_server")
    election.close()
    setup.factory.driver.grant()
    setup.settle()
    assert contender.calls == []


def test_closing_twice_or_without_start_does_nothing(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    election.close()
    election.close()
    setup.service.leader_election("unused").close()
    assert contender.calls == []


def test_the_driver_does_not_wait_for_slow_contenders(setup: Setup) -> None:
    grant_gate, revoke_gate = Gate(), Gate()
    slow, _ = setup.start("slow", RecordingContender(on_grant=grant_gate, on_revoke=revoke_gate))
    first = setup.factory.driver.grant()  # returns at once, and so do the next ones
    setup.factory.driver.revoke()
    second = setup.factory.driver.grant()
    grant_gate.opened.set()
    assert revoke_gate.arrived.wait(TIMEOUT)
    revoke_gate.opened.set()
    assert slow.wait_for_grant(different_from=first) == second
    assert slow.calls == [("grant", first), ("revoke", first), ("grant", second)]


def test_a_second_grant_without_revocation_is_an_error(setup: Setup) -> None:
    contender, _ = setup.start("dispatcher")
    first = setup.factory.driver.grant()
    setup.factory.driver.grant()
    eventually(lambda: contender.errors)
    assert isinstance(contender.errors[0], LeaderElectionError)
    assert [call for call in contender.calls if call[0] == "grant"] == [("grant", first)]


def test_a_revocation_without_grant_is_an_error(setup: Setup) -> None:
    contender, _ = setup.start("dispatcher")
    setup.factory.driver.revoke()
    eventually(lambda: contender.errors)


def test_errors_reach_all_contenders_wrapped(setup: Setup) -> None:
    first, _ = setup.start("dispatcher")
    second, _ = setup.start("rest_server")
    cause = ValueError("boom")
    setup.factory.driver.listener.on_error(cause)
    setup.settle()
    for contender in (first, second):
        assert isinstance(contender.errors[0], LeaderElectionError)
        assert contender.errors[0].__cause__ is cause


def test_an_error_in_one_contender_does_not_keep_the_others_from_leading(setup: Setup) -> None:
    def fail(_: object) -> None:
        raise ValueError("user code")

    bad, _ = setup.start("bad", RecordingContender(on_grant=fail))
    good, _ = setup.start("good")
    session_id = setup.factory.driver.grant()
    assert good.wait_for_grant() == session_id
    setup.settle()
    assert len(bad.errors) == len(good.errors) == 1


def test_errors_after_the_last_close_are_ignored(setup: Setup) -> None:
    contender, election = setup.start("dispatcher")
    listener = setup.factory.driver.listener
    election.close()
    listener.on_error(ValueError("late"))
    setup.start("rest_server")
    setup.settle()
    assert contender.errors == []


def test_a_driver_may_report_another_ticket(setup: Setup) -> None:
    setup.start("dispatcher")
    listener = setup.factory.driver.listener
    assert isinstance(listener, TicketListener)
    listener.on_ticket_change({"type": "testing", "session": "2"})
    setup.settle()
    assert setup.tickets == [{"type": "testing"}, {"type": "testing", "session": "2"}]


def takes_part(setup: Setup, component_id: str) -> bool:
    return component_id in setup.service._registrations


def test_a_log_whose_disk_hangs_does_not_keep_leadership_from_being_revoked() -> None:
    factory, gate = TestingLeaderElectionDriver.Factory(), Gate()
    events = RecordingEvents()
    service = DefaultLeaderElectionService(factory, events)
    contender = RecordingContender()
    election = service.leader_election("dispatcher")
    election.start(contender)
    factory.driver.grant()
    contender.wait_for_grant()
    events.before = gate
    factory.driver.revoke()
    contender.wait_for_revoke()
    assert gate.arrived.is_set() and not gate.opened.is_set()
    gate.opened.set()
    election.close()
    service.close()


class RecordingEvents:
    """A sink that calls ``before`` with each event."""

    def __init__(self) -> None:
        self.before: Callable[[], object] = lambda: None

    def emit(self, *_: object, **__: object) -> None:
        self.before()
