"""Reading the checkpoints of many jobs together, at a takeover."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hawork.core.errors import StoreUnavailableError
from hawork.core.types import JobID, Versioned
from hawork.ha.pointer_store import Namespace, checkpoints
from hawork.ha.read_ahead import Entries, ReadAhead, ReadsTogether
from hawork.testing import InMemoryBackend, InMemoryCluster

JOBS = [checkpoints(JobID(f"{number:032x}")) for number in range(600)]


class Together(InMemoryBackend):
    """A backend in memory that reads together, and says how often."""

    def __init__(self, cluster: InMemoryCluster) -> None:
        super().__init__(cluster)
        self.reads: list[int] = []
        self.error: Exception | None = None

    def entries_of(self, namespaces: Sequence[Namespace]) -> Sequence[Entries]:
        self.reads.append(len(namespaces))
        if self.error is not None:
            raise self.error
        return [self.pointers(each).entries() for each in namespaces]


@pytest.fixture
def cluster() -> InMemoryCluster:
    return InMemoryCluster()


def values(entries: Sequence[tuple[str, Versioned[bytes]]]) -> list[bytes]:
    return [entry.value for _, entry in entries]


def test_what_is_expected_is_read_in_few_batches(cluster: InMemoryCluster) -> None:
    session_id, backend = cluster.lead(), Together(cluster)
    for number, namespace in enumerate(JOBS):
        backend.pointers(namespace).create("1", str(number).encode(), session_id)
    ahead = ReadAhead(backend)
    ahead.expect(JOBS)
    for number, namespace in reversed(list(enumerate(JOBS))):
        entries = ahead.pointers(namespace, backend.pointers(namespace)).entries()
        assert values(entries) == [str(number).encode()]
    assert sum(backend.reads) == len(JOBS)
    assert len(backend.reads) <= 4


def test_entries_are_read_anew_after_the_first_look(cluster: InMemoryCluster) -> None:
    session_id, backend = cluster.lead(), Together(cluster)
    ahead = ReadAhead(backend)
    ahead.expect(JOBS[:2])
    pointers = ahead.pointers(JOBS[0], backend.pointers(JOBS[0]))
    assert pointers.entries() == []
    pointers.create("1", b"new", session_id)
    assert values(pointers.entries()) == [b"new"]
    assert backend.reads == [2]


def test_what_is_not_expected_is_read_in_the_ordinary_way(cluster: InMemoryCluster) -> None:
    session_id, backend = cluster.lead(), Together(cluster)
    backend.pointers(JOBS[0]).create("1", b"value", session_id)
    pointers = ReadAhead(backend).pointers(JOBS[0], backend.pointers(JOBS[0]))
    assert values(pointers.entries()) == [b"value"]
    assert backend.reads == []


def test_what_could_not_be_read_ahead_is_read_one_by_one(cluster: InMemoryCluster) -> None:
    session_id, backend = cluster.lead(), Together(cluster)
    backend.pointers(JOBS[1]).create("1", b"value", session_id)
    backend.error = StoreUnavailableError("no store")
    ahead = ReadAhead(backend)
    ahead.expect(JOBS[:2])
    with pytest.raises(StoreUnavailableError):
        ahead.pointers(JOBS[0], backend.pointers(JOBS[0])).entries()
    for namespace, wanted in zip(JOBS[:2], ([], [b"value"]), strict=True):
        assert values(ahead.pointers(namespace, backend.pointers(namespace)).entries()) == wanted
    assert backend.reads == [2]


def test_a_backend_need_not_read_together(cluster: InMemoryCluster) -> None:
    assert isinstance(Together(cluster), ReadsTogether)
    assert not isinstance(InMemoryBackend(cluster), ReadsTogether)
