"""The lease machine, decision by decision. Times are those of its own clock."""

from __future__ import annotations

import pytest

from hawork.ha.lease_state import (
    Acquire,
    LeaseRecord,
    LeaseState,
    LeaseTimeouts,
    Observe,
    Renew,
    StopLeading,
    Wait,
)

TIMEOUTS = LeaseTimeouts(lease_duration=15, renew_deadline=10, retry_period=5)
ME, OTHER = "me", "other"


def record(holder: str, token: int = 1, lease_duration: float = 0) -> LeaseRecord:
    return LeaseRecord(holder, token, lease_duration)


def leader(sent_at: float = 0, now: float = 1) -> LeaseState:
    """A machine that acquired the lease by a write sent at ``sent_at``."""
    lease = LeaseState(ME, TIMEOUTS)
    lease.observe(None, sent_at)
    assert lease.decide(sent_at) == Acquire(None)
    lease.renewed(record(ME), sent_at, now)
    return lease


def standby(now: float = 0, seen: LeaseRecord | None = None) -> LeaseState:
    """A machine that saw the record ``seen`` at ``now``."""
    lease = LeaseState(ME, TIMEOUTS)
    lease.observe(seen or record(OTHER), now)
    return lease


def test_it_looks_before_it_does_anything() -> None:
    lease = LeaseState(ME, TIMEOUTS)
    assert lease.decide(100) == Observe()
    assert not lease.believes(100)


@pytest.mark.parametrize("seen", [None, record(""), record(ME)])
def test_a_lease_without_another_holder_is_taken_at_once(seen: LeaseRecord | None) -> None:
    lease = LeaseState(ME, TIMEOUTS)
    lease.observe(seen, 100)
    assert lease.decide(100) == Acquire(seen)


def test_the_belief_counts_from_the_sending() -> None:
    lease = leader(sent_at=0, now=3)
    assert lease.believes(9.99)
    assert not lease.believes(10)
    assert lease.belief_until == 10


def test_a_leader_renews_every_retry_period() -> None:
    lease = leader(sent_at=0)
    assert lease.decide(1) == Wait(5)
    assert lease.decide(5) == Renew(deadline=10)
    lease.renewed(record(ME, 2), sent_at=5, now=6)
    assert lease.belief_until == 15
    assert lease.decide(6) == Wait(10)


def test_a_failed_renewal_is_repeated_until_the_deadline() -> None:
    lease = leader(sent_at=0)
    lease.failed(began=4)
    assert lease.decide(5) == Wait(9)
    lease.failed(began=3)
    assert lease.decide(8) == Renew(deadline=10), "it waited for its answer long enough"
    assert isinstance(lease.decide(10), StopLeading)


def test_stopping_is_said_once_and_comes_before_any_write() -> None:
    lease = leader(sent_at=0)
    # Stopped for a minute: a renewal is overdue, too.
    assert isinstance(lease.decide(60), StopLeading)
    assert lease.decide(60) == Observe()


def test_an_answer_after_the_deadline_does_not_bring_the_belief_back() -> None:
    lease = leader(sent_at=0)
    lease.renewed(record(ME, 2), sent_at=9, now=12)
    assert not lease.believes(12)
    assert isinstance(lease.decide(12), StopLeading)


def test_an_acquisition_that_took_too_long_gives_no_belief() -> None:
    lease = LeaseState(ME, TIMEOUTS)
    lease.observe(None, 0)
    lease.renewed(record(ME), sent_at=0, now=10)
    assert not lease.believes(10)
    assert lease.decide(10) == Acquire(record(ME)), "nobody told it to stop: it never led"


@pytest.mark.parametrize("seen", [None, record(OTHER), record("")])
def test_a_leader_that_sees_another_record_stops(seen: LeaseRecord | None) -> None:
    lease = leader()
    lease.observe(seen, 2)
    assert not lease.believes(2)
    assert isinstance(lease.decide(2), StopLeading)


def test_a_leader_that_sees_its_own_record_goes_on() -> None:
    lease = leader()
    lease.record_changed()
    assert lease.decide(2) == Observe()
    lease.observe(record(ME), 2)
    assert lease.decide(2) == Wait(5)


def test_a_refused_renewal_ends_the_leadership() -> None:
    lease = leader()
    lease.refused()
    assert isinstance(lease.decide(2), StopLeading)
    assert lease.decide(2) == Observe()


def test_a_challenger_waits_a_lease_duration_after_the_last_change() -> None:
    lease = standby(now=100)
    lease.observe(record(OTHER, 1), 110)  # unchanged
    assert lease.decide(114.9) == Wait(115)
    assert lease.decide(115) == Acquire(record(OTHER, 1))


def test_a_renewal_makes_a_challenger_wait_again() -> None:
    lease = standby(now=100)
    lease.observe(record(OTHER, 2), 114)
    assert lease.decide(115) == Wait(119)  # looks again, in case a change escaped it
    lease.observe(record(OTHER, 2), 128)
    assert lease.decide(128.9) == Wait(129)
    assert lease.decide(129) == Acquire(record(OTHER, 2))


def test_a_standby_looks_every_retry_period() -> None:
    lease = standby(now=100)
    assert lease.decide(104) == Wait(105)
    assert lease.decide(105) == Observe()


def test_the_longer_lease_duration_counts() -> None:
    seen = record(OTHER, lease_duration=60)
    lease = standby(now=0, seen=seen)
    lease.observe(seen, 58)
    assert lease.decide(59) == Wait(60)
    assert lease.decide(60) == Acquire(seen)


def test_the_lease_of_a_dead_holder_is_taken_at_once() -> None:
    lease = standby(now=100)
    lease.holder_dead(OTHER)
    assert lease.decide(100) == Acquire(record(OTHER))


def test_the_death_of_somebody_else_changes_nothing() -> None:
    lease = standby(now=100)
    lease.holder_dead("stranger")
    lease.observe(record("stranger", 2), 101)
    lease.holder_dead(OTHER)
    assert lease.decide(101) == Wait(106)


def test_a_death_counts_for_that_holder_only() -> None:
    lease = standby(now=100)
    lease.holder_dead(OTHER)
    lease.observe(record("third", 2), 101)
    lease.observe(record(OTHER, 3), 102)
    assert lease.decide(102) == Wait(107)


def test_a_refused_challenger_looks_again() -> None:
    lease = standby(now=100)
    lease.holder_dead(OTHER)
    lease.refused()
    assert lease.decide(100) == Observe()


def test_a_failure_makes_a_standby_pause_until_the_store_answers() -> None:
    lease = standby(now=100)
    lease.holder_dead(OTHER)
    lease.failed(100)
    assert lease.decide(101) == Wait(105)
    lease.record_changed()
    assert lease.decide(101) == Observe()


def test_resigning_is_silent() -> None:
    lease = leader()
    lease.resign()
    assert not lease.believes(1)
    assert lease.decide(1) == Observe()
