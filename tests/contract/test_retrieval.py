"""Leader retrieval on every backend: the latest leader, and None when there is none."""

from __future__ import annotations

from hawork.core.types import DISPATCHER, REST_SERVER, LeaderInformation
from hawork.testing import eventually
from tests.contract.harness import BackendHarness, Contender, Retrieval


def test_without_a_leader_there_is_none(ha_backend: BackendHarness) -> None:
    retrieval = Retrieval.of(ha_backend, DISPATCHER)
    retrieval.observer.wait_for(None)
    # That there is none is sure: neither a right nor the store is missing.
    eventually(lambda: retrieval.driver.hindrance() is None)


def test_a_leader_that_has_not_published_is_not_found(ha_backend: BackendHarness) -> None:
    leader = Contender.of(ha_backend)
    leader.publish(REST_SERVER, "rest:1")
    retrieval = Retrieval.of(ha_backend, DISPATCHER)
    retrieval.observer.wait_for(None)
    assert all(value is None for _, value in retrieval.observer.calls)


def test_early_and_late_observers_see_the_leader(ha_backend: BackendHarness) -> None:
    early = Retrieval.of(ha_backend, DISPATCHER)
    early.observer.wait_for(None)
    information = Contender.of(ha_backend).publish(DISPATCHER, "a:1")
    early.observer.wait_for(information)
    Retrieval.of(ha_backend, DISPATCHER).observer.wait_for(information)


def test_components_are_told_apart(ha_backend: BackendHarness) -> None:
    leader = Contender.of(ha_backend)
    retrievals = [Retrieval.of(ha_backend, name) for name in (DISPATCHER, REST_SERVER)]
    published = [leader.publish(DISPATCHER, "d:1"), leader.publish(REST_SERVER, "r:1")]
    for retrieval, information in zip(retrievals, published, strict=True):
        retrieval.observer.wait_for(information)
        assert {value for _, value in retrieval.observer.calls} <= {None, information}


def test_the_latest_of_many_addresses_arrives(ha_backend: BackendHarness) -> None:
    leader = Contender.of(ha_backend)
    retrieval = Retrieval.of(ha_backend, DISPATCHER)
    for number in range(50):
        latest = leader.publish(DISPATCHER, f"a:{number}")
    retrieval.observer.wait_for(latest)
    told = [value for _, value in retrieval.observer.calls if value is not None]
    numbers = [int(value.address.partition(":")[2]) for value in told]
    assert numbers == sorted(numbers)


def test_a_leader_that_leaves_is_forgotten(ha_backend: BackendHarness) -> None:
    leader = Contender.of(ha_backend)
    retrieval = Retrieval.of(ha_backend, DISPATCHER)
    retrieval.observer.wait_for(leader.publish(DISPATCHER, "a:1"))
    leader.driver.close()
    retrieval.observer.wait_for(None)


def test_a_leader_whose_leadership_expires_is_forgotten(ha_backend: BackendHarness) -> None:
    leader = Contender.of(ha_backend)
    retrieval = Retrieval.of(ha_backend, DISPATCHER)
    retrieval.observer.wait_for(leader.publish(DISPATCHER, "a:1"))
    ha_backend.expire_leadership()
    retrieval.observer.wait_for(None)


def test_the_old_leader_is_not_shown_as_the_new_one(ha_backend: BackendHarness) -> None:
    first = Contender.of(ha_backend)
    old = first.publish(DISPATCHER, "old:1")
    second = Contender.of(ha_backend)
    first.driver.close()
    second.listener.wait_for_grant()
    late = Retrieval.of(ha_backend, DISPATCHER)
    late.observer.wait_for(None)
    late.observer.wait_for(second.publish(DISPATCHER, "new:1"))
    assert ("leader", old) not in late.observer.calls


def test_a_closed_driver_says_nothing_more(ha_backend: BackendHarness) -> None:
    leader = Contender.of(ha_backend)
    closed, open_one = (Retrieval.of(ha_backend, DISPATCHER) for _ in range(2))
    information = leader.publish(DISPATCHER, "a:1")
    for retrieval in (closed, open_one):
        retrieval.observer.wait_for(information)
    closed.driver.close()
    heard = list(closed.observer.calls)
    open_one.observer.wait_for(leader.publish(DISPATCHER, "b:2"))
    assert closed.observer.calls == heard
    closed.driver.close()


def test_addresses_are_kept_exactly(ha_backend: BackendHarness) -> None:
    leader = Contender.of(ha_backend)
    retrieval = Retrieval.of(ha_backend, DISPATCHER)
    for address in ("http://[::1]:8081/ä?x=1", "", "x" * 2000):
        information = leader.publish(DISPATCHER, address)
        assert isinstance(information, LeaderInformation)
        retrieval.observer.wait_for(information)
