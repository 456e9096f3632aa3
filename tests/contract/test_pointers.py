"""Pointers on every backend: versioned, fenced by the store, and kept exactly."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable

import pytest

from hawork.core.errors import (
    AlreadyExistsError,
    HaworkError,
    HighAvailabilityError,
    LeadershipLostError,
    NotExistError,
    StoreUnavailableError,
    VersionMismatchError,
)
from hawork.core.types import JobID
from hawork.ha.pointer_store import JOB_GRAPHS, RESULTS, PointerStore, checkpoints, counters
from hawork.testing import eventually
from tests.contract.harness import BackendHarness, Contender, Leader

NOBODY = uuid.UUID(int=0)


@pytest.fixture
def leader(ha_backend: BackendHarness) -> Leader:
    return Leader.of(ha_backend, JOB_GRAPHS)


def version_of(pointers: PointerStore, name: str) -> int:
    found = pointers.read(name)
    assert found is not None
    return found.version


def test_an_empty_namespace(leader: Leader) -> None:
    assert leader.pointers.read("a") is None
    assert list(leader.pointers.entries()) == []
    assert leader.pointers.delete("a", leader.session_id) is False


def test_what_is_created_is_read(leader: Leader) -> None:
    leader.pointers.create("a", b"\x00one", leader.session_id)
    found = leader.pointers.read("a")
    assert found is not None
    assert found.value == b"\x00one"
    assert list(leader.pointers.entries()) == [("a", found)]


def test_names_are_taken_once(leader: Leader) -> None:
    leader.pointers.create("a", b"one", leader.session_id)
    with pytest.raises(AlreadyExistsError, match=r"\ba\b"):
        leader.pointers.create("a", b"two", leader.session_id)
    found = leader.pointers.read("a")
    assert found is not None and found.value == b"one"


def test_replacing(leader: Leader) -> None:
    leader.pointers.create("a", b"one", leader.session_id)
    first = version_of(leader.pointers, "a")
    leader.pointers.replace("a", first, b"two", leader.session_id)
    found = leader.pointers.read("a")
    assert found is not None and found.value == b"two"
    assert found.version != first
    with pytest.raises(VersionMismatchError, match=r"\ba\b"):
        leader.pointers.replace("a", first, b"three", leader.session_id)
    assert leader.pointers.read("a") == found


def test_replacing_what_is_not_there(leader: Leader) -> None:
    with pytest.raises(NotExistError, match=r"\ba\b"):
        leader.pointers.replace("a", 0, b"one", leader.session_id)
    assert leader.pointers.read("a") is None


def test_deleting(leader: Leader) -> None:
    leader.pointers.create("a", b"one", leader.session_id)
    leader.pointers.create("b", b"two", leader.session_id)
    assert leader.pointers.delete("a", leader.session_id) is True
    assert leader.pointers.delete("a", leader.session_id) is False
    assert [name for name, _ in leader.pointers.entries()] == ["b"]


def test_superseding_is_one_write(leader: Leader) -> None:
    for name in ("a", "b", "c"):
        leader.pointers.create(name, b"old", leader.session_id)
    assert leader.pointers.create("d", b"new", leader.session_id, ["a", "c"])
    assert [(name, entry.value) for name, entry in leader.pointers.entries()] == [
        ("b", b"old"),
        ("d", b"new"),
    ]
    with pytest.raises(AlreadyExistsError):
        leader.pointers.create("d", b"other", leader.session_id, ["b"])
    assert [name for name, _ in leader.pointers.entries()] == ["b", "d"]


def test_superseding_what_is_gone_is_done_or_changes_nothing(leader: Leader) -> None:
    leader.pointers.create("a", b"old", leader.session_id)
    done = leader.pointers.create("b", b"new", leader.session_id, ["a", "absent"])
    assert [name for name, _ in leader.pointers.entries()] == (["b"] if done else ["a"])


def test_superseding_in_an_empty_namespace(leader: Leader) -> None:
    done = leader.pointers.create("a", b"new", leader.session_id, ["absent"])
    assert [name for name, _ in leader.pointers.entries()] == (["a"] if done else [])


def test_a_version_is_never_used_again(leader: Leader) -> None:
    leader.pointers.create("a", b"one", leader.session_id)
    stale = version_of(leader.pointers, "a")
    leader.pointers.delete("a", leader.session_id)
    leader.pointers.create("a", b"another", leader.session_id)
    with pytest.raises(VersionMismatchError):
        leader.pointers.replace("a", stale, b"two", leader.session_id)


def test_entries_come_in_the_order_of_their_names(leader: Leader) -> None:
    names = ["b", "a", "10", "9", "B", "ä", "a.b"]
    for name in names:
        leader.pointers.create(name, name.encode(), leader.session_id)
    found = [(name, entry.value) for name, entry in leader.pointers.entries()]
    assert found == [(name, name.encode()) for name in sorted(names)]


def test_large_and_empty_values_are_kept_exactly(leader: Leader) -> None:
    for name, value in (("large", bytes(range(256)) * 400), ("empty", b"")):
        leader.pointers.create(name, value, leader.session_id)
        found = leader.pointers.read(name)
        assert found is not None and found.value == value


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a b", "a'b\"", "\x00", "\ud800",
                                  "日本", "x" * 300])  # fmt: skip
def test_odd_names_are_refused_or_kept_exactly(leader: Leader, name: str) -> None:
    leader.pointers.create("neighbour", b"safe", leader.session_id)
    try:
        leader.pointers.create(name, b"odd", leader.session_id)
    except HaworkError as error:
        assert str(error)
        assert [found for found, _ in leader.pointers.entries()] == ["neighbour"]
        return
    assert {found for found, _ in leader.pointers.entries()} == {name, "neighbour"}
    assert leader.pointers.delete(name, leader.session_id)
    assert [found for found, _ in leader.pointers.entries()] == ["neighbour"]


def test_namespaces_are_told_apart(leader: Leader) -> None:
    job, other = JobID("0" * 31 + "a"), JobID("0" * 31 + "b")
    namespaces = [JOB_GRAPHS, RESULTS, checkpoints(job), checkpoints(other), counters(job)]
    stores = [leader.contender.backend.pointers(namespace) for namespace in namespaces]
    for namespace, store in zip(namespaces, stores, strict=True):
        store.create("a", str(namespace).encode(), leader.session_id)
    leader.contender.backend.drop(checkpoints(job), leader.session_id)
    found = [[entry.value for _, entry in store.entries()] for store in stores]
    assert found == [
        [] if namespace == checkpoints(job) else [str(namespace).encode()]
        for namespace in namespaces
    ]


def test_the_store_says_how_full_it_is(leader: Leader) -> None:
    before = leader.contender.backend.fullest()
    for number in range(100):
        leader.pointers.create(f"{number:032x}", b"x" * 200, leader.session_id)
    after = leader.contender.backend.fullest()
    assert 3200 <= after.size < after.limit
    assert after.size > before.size


def test_dropping(leader: Leader) -> None:
    backend = leader.contender.backend
    backend.drop(RESULTS, leader.session_id)  # absent is fine
    leader.pointers.create("a", b"one", leader.session_id)
    with pytest.raises(LeadershipLostError):
        backend.drop(JOB_GRAPHS, uuid.uuid4())
    with pytest.raises(HighAvailabilityError):
        backend.drop(JOB_GRAPHS, None)
    assert len(leader.pointers.entries()) == 1
    backend.drop(JOB_GRAPHS, leader.session_id)
    assert not leader.pointers.entries()
    leader.pointers.create("a", b"two", leader.session_id)


def test_dropping_everything_of_an_unused_cluster(ha_backend: BackendHarness) -> None:
    leader = Leader.of(ha_backend, JOB_GRAPHS)
    leader.pointers.create("a", b"one", leader.session_id)
    leader.contender.driver.close()
    backend = ha_backend.backend()
    backend.drop(None, None)
    assert not backend.pointers(JOB_GRAPHS).entries()


# --- fencing -----------------------------------------------------------------------------

WRITES: dict[str, Callable[[PointerStore, int, uuid.UUID], object]] = {
    "create": lambda pointers, _, session_id: pointers.create("new", b"late", session_id),
    "replace": lambda pointers, version, session_id: pointers.replace(
        "a", version, b"late", session_id
    ),
    "create in place of another": lambda pointers, _, session_id: pointers.create(
        "new", b"late", session_id, ["a"]
    ),
    "delete": lambda pointers, _, session_id: pointers.delete("a", session_id),
    "delete absent": lambda pointers, _, session_id: pointers.delete("new", session_id),
}


@pytest.fixture(params=WRITES)
def write(request: pytest.FixtureRequest) -> Callable[[PointerStore, int, uuid.UUID], object]:
    return WRITES[request.param]


def test_writes_without_leadership_are_refused(
    leader: Leader, write: Callable[[PointerStore, int, uuid.UUID], object]
) -> None:
    leader.pointers.create("a", b"one", leader.session_id)
    before = list(leader.pointers.entries())
    for session_id in (NOBODY, uuid.uuid4()):
        with pytest.raises(LeadershipLostError):
            write(leader.pointers, before[0][1].version, session_id)
    assert list(leader.pointers.entries()) == before


def test_a_deposed_leader_is_refused(
    ha_backend: BackendHarness, write: Callable[[PointerStore, int, uuid.UUID], object]
) -> None:
    first = Leader.of(ha_backend, JOB_GRAPHS)
    first.pointers.create("a", b"one", first.session_id)
    standby = Contender.of(ha_backend)
    first.contender.driver.close()
    standby.listener.wait_for_grant()
    before = list(first.pointers.entries())
    with pytest.raises(LeadershipLostError):
        write(first.pointers, before[0][1].version, first.session_id)
    assert list(first.pointers.entries()) == before


def test_a_leader_whose_leadership_expired_is_refused(ha_backend: BackendHarness) -> None:
    leader = Leader.of(ha_backend, JOB_GRAPHS)
    ha_backend.expire_leadership()

    def is_refused() -> bool:
        """Or nobody is connected, as long as its driver has not heard of it."""
        try:
            leader.pointers.create("a", b"late", leader.session_id)
        except StoreUnavailableError:
            return False
        except LeadershipLostError:
            return True
        pytest.fail("a deposed leader has written")

    eventually(is_refused)
    # The same process, granted again, may not write under the old session id either.
    leader.contender.listener.wait_for_grant(different_from=leader.session_id)
    with pytest.raises(LeadershipLostError):
        leader.pointers.create("a", b"late", leader.session_id)
    assert not leader.pointers.entries()


def test_the_next_leader_finds_everything(ha_backend: BackendHarness) -> None:
    first = Leader.of(ha_backend, JOB_GRAPHS)
    first.pointers.create("a", b"one", first.session_id)
    before = list(first.pointers.entries())
    first.contender.driver.close()
    second = Leader.of(ha_backend, JOB_GRAPHS)
    assert list(second.pointers.entries()) == before
    second.pointers.replace("a", before[0][1].version, b"two", second.session_id)


def test_readers_need_no_leadership(ha_backend: BackendHarness) -> None:
    leader = Leader.of(ha_backend, JOB_GRAPHS)
    leader.pointers.create("a", b"one", leader.session_id)
    reader = ha_backend.backend().pointers(JOB_GRAPHS)
    assert list(reader.entries()) == list(leader.pointers.entries())
    assert reader.read("a") == leader.pointers.read("a")


# --- several at once ---------------------------------------------------------------------


def at_once(count: int, action: Callable[[int], object]) -> list[object]:
    """What ``action`` gave or raised, run by ``count`` threads that begin together."""
    barrier, results = threading.Barrier(count), list[object]()

    def run(number: int) -> None:
        barrier.wait()
        try:
            results.append(action(number))
        except HaworkError as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == count
    return results


def test_of_concurrent_creations_one_wins(leader: Leader) -> None:
    def create(number: int) -> int:
        leader.pointers.create("a", str(number).encode(), leader.session_id)
        return number

    results = at_once(8, create)
    winners = [result for result in results if isinstance(result, int)]
    assert len(winners) == 1
    assert all(isinstance(r, (int, AlreadyExistsError)) for r in results)
    found = leader.pointers.read("a")
    assert found is not None and found.value == str(winners[0]).encode()


def test_of_concurrent_replacements_one_wins(leader: Leader) -> None:
    leader.pointers.create("a", b"start", leader.session_id)
    version = version_of(leader.pointers, "a")

    def replace(number: int) -> int:
        leader.pointers.replace("a", version, str(number).encode(), leader.session_id)
        return number

    results = at_once(8, replace)
    winners = [result for result in results if isinstance(result, int)]
    assert len(winners) == 1
    assert all(isinstance(r, (int, VersionMismatchError)) for r in results)
    found = leader.pointers.read("a")
    assert found is not None and found.value == str(winners[0]).encode()


def test_no_concurrent_increment_is_lost(leader: Leader) -> None:
    leader.pointers.create("counter", b"0", leader.session_id)

    def increment(_: int) -> None:
        for _ in range(5):
            done = False
            while not done:
                found = leader.pointers.read("counter")
                assert found is not None
                value = str(int(found.value) + 1).encode()
                with contextlib.suppress(VersionMismatchError):
                    leader.pointers.replace("counter", found.version, value, leader.session_id)
                    done = True

    assert at_once(4, increment) == [None] * 4
    found = leader.pointers.read("counter")
    assert found is not None and found.value == b"20"
