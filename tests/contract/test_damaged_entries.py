"""What another hand wrote into the HA store, on every backend: set aside; the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError
from hawork.core.events import EventKind, EventLog
from hawork.core.jobs import (
    ApplicationStatus,
    CompletedCheckpoint,
    JobGraph,
    JobResult,
    SubtaskState,
)
from hawork.core.steps import NoSteps
from hawork.core.types import JobID, StateHandle
from hawork.ha.leader_stores import LeaderStores
from hawork.ha.pointer_store import JOB_GRAPHS, RESULTS, Namespace, checkpoints, counters
from hawork.testing import InMemoryStorage
from tests.contract.harness import BackendHarness, Contender

GOOD, BAD = JobID("0" * 31 + "a"), JobID("0" * 31 + "b")


def pointer(path: str) -> bytes:
    return json.dumps({"format": 1, "path": path, "size": 1, "sha256": "x"}).encode()


VALUES = [
    b"",
    b"\x00\xff\xfe",
    b"[" * 50_000,
    b"1" * 6_000,
    b'{"format":1,"path":"jobs/\\ud800/x","size":1,"sha256":"x"}',
    b'{"format":1,"path":"","size":1e400,"sha256":"x"}',
    pointer(""),
    pointer("jobs"),
    pointer(f"jobs/{GOOD}/submittedJobGraph0123456789ab"),
]


class Cluster:
    """A leader of a real HA store, with storageDir in memory."""

    def __init__(self, harness: BackendHarness) -> None:
        self.contender = Contender.of(harness)
        self.session_id = self.contender.listener.wait_for_grant()
        self.files, self.results = InMemoryStorage(), InMemoryStorage()
        self.events = EventLog("test")

    def stores(self) -> LeaderStores:
        return LeaderStores(
            Configuration({}), self.contender.backend, self.session_id, self.files, self.results,
            NoSteps(), self.events,
        )  # fmt: skip

    def put(self, namespace: Namespace, name: str, value: bytes) -> None:
        pointers = self.contender.backend.pointers(namespace)
        pointers.delete(name, self.session_id)
        pointers.create(name, value, self.session_id)

    def told(self) -> list[str]:
        found = [e.facts for e in self.events.recent() if e.kind is EventKind.STATE_SET_ASIDE]
        return [f"{facts['what']}: {facts['reason']}" for facts in found]


@pytest.fixture
def cluster(ha_backend: BackendHarness) -> Iterator[Cluster]:
    cluster = Cluster(ha_backend)
    cluster.stores().job_graphs.put(graph(GOOD))
    yield cluster


def graph(job_id: JobID) -> JobGraph:
    return JobGraph(job_id, "flights", "m:f", StateHandle(f"jobs/{job_id}/blob/x", 1, "x"))


def checkpoint(number: int) -> CompletedCheckpoint:
    return CompletedCheckpoint(BAD, number, 1, 2, (SubtaskState(0, "a", number, number),))


def test_a_damaged_job_graph_or_result_costs_its_own_job(cluster: Cluster) -> None:
    for value in VALUES:
        cluster.put(JOB_GRAPHS, BAD, value)
        cluster.put(RESULTS, BAD, value)
        recovered = cluster.stores().job_graphs.recover_all()
        assert recovered.graphs == (graph(GOOD),)
        assert [name for name, _ in recovered.set_aside] == [BAD]
        found = cluster.stores().job_results.dirty_results()
        assert found.results == () and [name for name, _ in found.set_aside] == [BAD]
        files = dict(cluster.files.files)
        assert cluster.stores().job_graphs.remove(BAD) is True
        assert cluster.files.files == files
    stores, result = cluster.stores(), JobResult(GOOD, ApplicationStatus.FAILED)
    stores.job_results.create_dirty(result)
    stores.cleanup.run(result)
    assert cluster.files.files == {}
    for sentence in cluster.told():
        sentence.encode()


def test_a_damaged_checkpoint_is_passed_over_for_good(cluster: Cluster) -> None:
    stores = cluster.stores()
    store = stores.completed_checkpoints(BAD, 3)
    store.add(checkpoint(1))
    store.add(checkpoint(2))
    good = dict(cluster.contender.backend.pointers(checkpoints(BAD)).entries())
    name = f"{2:019d}"
    for value in VALUES:
        cluster.put(checkpoints(BAD), name, value)
        assert cluster.stores().completed_checkpoints(BAD, 3).recover().checkpoint == checkpoint(1)
        kept = cluster.contender.backend.pointers(checkpoints(BAD)).read(name)
        assert kept is not None and "set_aside" in json.loads(kept.value)
        again = cluster.stores().completed_checkpoints(BAD, 3).recover()
        assert again.checkpoint == checkpoint(1) and "set aside" in again.skipped[0][1]
    cluster.put(checkpoints(BAD), name, good[name].value)
    assert cluster.stores().completed_checkpoints(BAD, 3).recover().checkpoint == checkpoint(2)


def test_names_that_hawork_does_not_give(cluster: Cluster) -> None:
    store = cluster.stores().completed_checkpoints(BAD, 3)
    store.add(checkpoint(1))
    for name in ("9" * 200, "²" * 19, "x y", "\n", ".", "A" * 32, "\ud800"):
        for namespace in (JOB_GRAPHS, RESULTS, checkpoints(BAD), counters(BAD)):
            try:
                cluster.put(namespace, name, pointer("jobs"))
            except HaworkError as error:  # this backend can have no such name
                str(error).encode(errors="backslashreplace")
    stores = cluster.stores()
    assert stores.job_graphs.recover_all().graphs == (graph(GOOD),)
    assert stores.job_results.dirty_results().results == ()
    store = stores.completed_checkpoints(BAD, 3)
    assert store.recover().checkpoint == checkpoint(1) and store.all_ids() == [1]
    assert stores.checkpoint_id_counter(BAD).get_and_increment() == 2
    stores.job_results.create_dirty(JobResult(BAD, ApplicationStatus.SUCCEEDED))
    stores.cleanup.run(JobResult(BAD, ApplicationStatus.SUCCEEDED))
    assert list(cluster.contender.backend.pointers(checkpoints(BAD)).entries()) == []
