"""What happens to a living leader when somebody tampers with the store."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from hawork.core.errors import LeadershipLostError, StoreUnavailableError
from hawork.core.events import EventKind
from hawork.core.types import DISPATCHER, LeaderInformation
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.testing import eventually
from tests.contract.embedded_harness import EmbeddedHarness
from tests.contract.harness import Contender, Leader, Retrieval

_ELECTION = "high-availability.embedded.leader-election"
SLOW = {
    f"{_ELECTION}.lease-duration": "1 h",
    f"{_ELECTION}.renew-deadline": "1 h",
    f"{_ELECTION}.retry-period": "30 min",
}


@pytest.mark.parametrize("embedded", [SLOW], indirect=True)
def test_a_removed_lease_row_is_noticed_before_the_next_renewal(embedded: EmbeddedHarness) -> None:
    leader = Contender.of(embedded)
    before = leader.listener.wait_for_grant()
    embedded.execute("DELETE FROM lease")
    leader.listener.wait_for_revoke()
    assert not leader.driver.has_leadership(before)
    assert leader.listener.wait_for_grant(different_from=before) != before


@pytest.mark.parametrize("embedded", [SLOW], indirect=True)
def test_a_lease_row_of_somebody_else_ends_the_leadership(embedded: EmbeddedHarness) -> None:
    leader = Contender.of(embedded)
    leader.listener.wait_for_grant()
    embedded.execute("UPDATE lease SET contender = 'thief', session_id = 'stolen'")
    leader.listener.wait_for_revoke()
    assert not leader.leads()


def test_leader_information_changed_by_somebody_else_is_reported(embedded: EmbeddedHarness) -> None:
    leader = Contender.of(embedded)
    information = leader.publish(DISPATCHER, "right:1")
    register = {DISPATCHER: information}
    leader.listener.wait_until(lambda: ("register", register) in leader.listener.calls, "seeing it")
    embedded.execute("UPDATE leader_information SET address = 'wrong:1'")
    wrong = {DISPATCHER: LeaderInformation(information.session_id, "wrong:1")}
    leader.listener.wait_until(lambda: ("register", wrong) in leader.listener.calls, "seeing it")
    embedded.execute("DELETE FROM leader_information")
    leader.listener.wait_until(lambda: leader.listener.calls[-1] == ("register", {}), "seeing it")


def test_information_under_another_session_id_is_not_shown(embedded: EmbeddedHarness) -> None:
    leader = Contender.of(embedded)
    retrieval = Retrieval.of(embedded, DISPATCHER)
    retrieval.observer.wait_for(leader.publish(DISPATCHER, "a:1"))
    embedded.execute("UPDATE leader_information SET session_id = 'no uuid at all'")
    retrieval.observer.wait_for(None)
    assert not retrieval.observer.of("error")


def test_a_store_that_stays_locked_costs_the_leadership_and_nothing_else(
    embedded: EmbeddedHarness,
) -> None:
    leader = Contender.of(embedded)
    before = leader.listener.wait_for_grant()
    path = embedded.directory / "ha.db"
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        leader.listener.wait_for_revoke()
        assert not leader.driver.has_leadership(before)
        connection.execute("ROLLBACK")
    assert leader.listener.wait_for_grant(different_from=before) != before
    assert not leader.listener.of("error"), "a store that comes back is not an error"
    errors = [e for e in embedded.events.recent() if e.kind is EventKind.ERROR]
    assert errors and "locked" in errors[0].facts["message"]


def test_a_file_that_is_replaced_is_another_store(embedded: EmbeddedHarness) -> None:
    leader = Leader.of(embedded, JOB_GRAPHS)
    leader.pointers.create("a", b"one", leader.session_id)
    retrieval = Retrieval.of(embedded, DISPATCHER)
    retrieval.observer.wait_for(leader.contender.publish(DISPATCHER, "a:1"))
    for path in embedded.directory.glob("ha.db*"):
        path.unlink()
    with pytest.raises(StoreUnavailableError, match="was removed"):
        leader.pointers.create("b", b"two", leader.session_id)
    retrieval.observer.wait_for(None)
    second = Contender.of(embedded)
    leader.contender.listener.wait_for_revoke()
    with pytest.raises(LeadershipLostError):
        leader.pointers.create("b", b"two", leader.session_id)
    assert not leader.pointers.entries()
    eventually(lambda: second.leads() != leader.contender.leads())
