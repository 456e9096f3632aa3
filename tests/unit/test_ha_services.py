"""``HighAvailabilityServices`` as a whole, the layout in storageDir, and ``import hawork``."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stores_setup import JOB, graph, result

import hawork
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError, HighAvailabilityError, LeaderElectionError
from hawork.core.events import EventKind, EventLog
from hawork.core.types import DISPATCHER, NO_LEADERSHIP, REST_SERVER, LeaderInformation
from hawork.ha.leader_retrieval_service import LeaderRetriever
from hawork.ha.services import HighAvailabilityServices
from hawork.testing import InMemoryCluster, RecordingContender, eventually

TIMEOUT = 60


@pytest.fixture
def cluster() -> Iterator[InMemoryCluster]:
    cluster = InMemoryCluster()
    yield cluster
    cluster.close()


def open_services(
    cluster: InMemoryCluster, directory: Path | None = None, **values: Any
) -> HighAvailabilityServices:
    if directory is not None:
        values["high-availability.storageDir"] = str(directory)
    return HighAvailabilityServices(
        Configuration(values), cluster.backend(), events=EventLog("test")
    )


def tree(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def test_ten_lines_of_library_use(cluster: InMemoryCluster, tmp_path: Path) -> None:
    with open_services(cluster, tmp_path) as ha:
        contender, retriever = RecordingContender(), LeaderRetriever()
        election = ha.leader_election(DISPATCHER)
        election.start(contender)
        session_id = contender.wait_for_grant()
        ha.leader_retrieval(DISPATCHER, retriever)
        election.confirm_leadership(session_id, "http://here").result(TIMEOUT)
        found = retriever.wait_for_leader(TIMEOUT)
        assert found == LeaderInformation(session_id, "http://here")
        ha.stores(session_id).job_graphs.put(graph())
    assert contender.calls[-1] == ("revoke", session_id)  # leaving gives up leadership


def test_all_components_of_a_process_lead_together(cluster: InMemoryCluster) -> None:
    with open_services(cluster) as first, open_services(cluster) as second:
        leading = [RecordingContender(), RecordingContender()]
        first.leader_election(DISPATCHER).start(leading[0])
        first.leader_election(REST_SERVER).start(leading[1])
        standby = RecordingContender()
        second.leader_election(DISPATCHER).start(standby)
        session_id = leading[0].wait_for_grant()
        assert leading[1].wait_for_grant() == session_id and standby.calls == []
        cluster.expire_leadership()
        assert standby.wait_for_grant() != session_id
        leading[0].wait_for_revoke()
        leading[1].wait_for_revoke()


def test_the_layout_in_storage_dir(cluster: InMemoryCluster, tmp_path: Path) -> None:
    with open_services(cluster, tmp_path, **{"high-availability.cluster-id": "/one/two/"}) as ha:
        stores = ha.stores(cluster.lead())
        stores.job_graphs.announce(JOB)
        stores.blobs.put(JOB, b"artifact")
        marker, blob = tree(tmp_path)
        assert marker == f"one/two/jobs/{JOB}/_SUBMITTING-{stores.session_id}"
        directory, _, name = blob.rpartition("/")
        assert directory == f"one/two/jobs/{JOB}/blob"
        assert re.fullmatch(r"[0-9a-f]{64}-" + stores.session_id.hex[:12], name)
        stores.job_graphs.put(graph())
        stores.job_results.create_dirty(result())
        assert f"job-result-store/one/two/{JOB}_DIRTY.json" in tree(tmp_path)
        stores.cleanup.run(result())
        (ended,) = tree(tmp_path)
        assert re.fullmatch(rf"job-result-store/one/two/ended/\d+/{JOB}\.json", ended)


def test_the_job_result_store_may_lie_elsewhere(cluster: InMemoryCluster, tmp_path: Path) -> None:
    elsewhere = {"job-result-store.storage-path": f"file:{tmp_path}/results"}
    with open_services(cluster, tmp_path / "ha", **elsewhere) as ha:
        ha.stores(cluster.lead()).job_results.create_dirty(result())
    assert tree(tmp_path) == [f"results/{JOB}_DIRTY.json"]


def test_storage_dir_is_needed_for_stores_only(cluster: InMemoryCluster) -> None:
    with open_services(cluster) as ha:
        ha.leader_retrieval(DISPATCHER, LeaderRetriever())
        with pytest.raises(ConfigurationError, match=r"high-availability\.storageDir is not set"):
            ha.stores(NO_LEADERSHIP)


@pytest.mark.parametrize("cluster_id", ["/", "../other", "a//b", "a/../../b"])
def test_cluster_ids_that_are_refused(
    cluster: InMemoryCluster, tmp_path: Path, cluster_id: str
) -> None:
    values = {"high-availability.cluster-id": cluster_id}
    with (
        open_services(cluster, tmp_path, **values) as ha,
        pytest.raises(ConfigurationError, match=r"high-availability\.cluster-id is"),
    ):
        ha.stores(NO_LEADERSHIP)


def test_close_keeps_data_and_cleanup_deletes_it(cluster: InMemoryCluster, tmp_path: Path) -> None:
    def put(ha: HighAvailabilityServices) -> None:
        stores = ha.stores(cluster.lead())
        stores.job_graphs.put(graph())
        stores.job_results.create_dirty(result())

    ha = open_services(cluster, tmp_path)
    put(ha)
    ha.close()
    ha.close()
    assert len(tree(tmp_path)) == 2
    again = open_services(cluster, tmp_path)
    assert again.stores(NO_LEADERSHIP).job_graphs.recover(JOB) == graph()
    again.cleanup_all_data()
    assert tree(tmp_path) == [f"job-result-store/default/{JOB}_DIRTY.json"]  # as in Flink
    with open_services(cluster, tmp_path) as last:
        assert last.stores(NO_LEADERSHIP).job_graphs.job_ids() == []
    with pytest.raises(HighAvailabilityError, match="closed"):
        last.cleanup_all_data()


@pytest.mark.parametrize("at", ["deregister_all", "close"])
def test_a_close_that_was_interrupted_is_ended_by_the_next(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Nobody would end a session otherwise that goes on leading."""
    ha = open_services(cluster)
    backend, election_service = ha._backend, ha._election_service
    closed: list[str] = []
    monkeypatch.setattr(backend, "close", lambda: closed.append("backend"))
    ha.leader_election(DISPATCHER).start(RecordingContender())
    retrieval = ha.leader_retrieval(DISPATCHER, LeaderRetriever())

    def interrupted() -> None:
        monkeypatch.undo()
        monkeypatch.setattr(backend, "close", lambda: closed.append("backend"))
        raise KeyboardInterrupt

    monkeypatch.setattr(election_service, at, interrupted)
    with pytest.raises(KeyboardInterrupt):
        ha.close()
    assert (retrieval.closed, closed) == (False, [])
    ha.close()
    assert (retrieval.closed, closed) == (True, ["backend"])
    assert cluster.leader_session_id is None


def test_an_election_may_be_closed_after_the_services(cluster: InMemoryCluster) -> None:
    with open_services(cluster) as ha:
        election = ha.leader_election(DISPATCHER)
        election.start(RecordingContender())
    election.close()
    assert cluster.leader_session_id is None


def test_closed_services_take_no_contender(cluster: InMemoryCluster) -> None:
    ha = open_services(cluster)
    ha.close()
    with pytest.raises(LeaderElectionError, match="closed"):
        ha.leader_election(DISPATCHER)


def test_retrieved_leaders_are_events(cluster: InMemoryCluster) -> None:
    events = EventLog("test")
    with HighAvailabilityServices(Configuration(), cluster.backend(), events=events) as ha:
        ha.leader_retrieval(DISPATCHER, LeaderRetriever())
        contender = RecordingContender()
        election = ha.leader_election(DISPATCHER)
        election.start(contender)
        session_id = contender.wait_for_grant()
        election.confirm_leadership(session_id, "http://here").result(TIMEOUT)

        def retrieved() -> list[object]:
            found = [e for e in events.recent() if e.kind is EventKind.LEADER_RETRIEVED]
            return [event.facts["address"] for event in found]

        eventually(lambda: retrieved() == ["http://here"])
        cluster.expire_leadership()
        eventually(lambda: retrieved() == ["http://here", None])


def test_the_ticket_is_handed_on(cluster: InMemoryCluster) -> None:
    tickets: list[dict[str, str]] = []
    with HighAvailabilityServices(
        Configuration(), cluster.backend(), ticket_sink=tickets.append
    ) as ha:
        ha.leader_election(DISPATCHER).start(RecordingContender())
    assert tickets == [{"type": "in-memory"}]


# --- import hawork -----------------------------------------------------------------------


def test_public_names_are_sorted_and_there() -> None:
    constants = sorted(name for name in hawork.__all__ if name.isupper())
    classes = sorted(n for n in hawork.__all__ if n[0].isupper() and not n.isupper())
    functions = sorted(name for name in hawork.__all__ if name.islower())
    assert hawork.__all__ == [*constants, *classes, *functions]
    for name in hawork.__all__:
        assert getattr(hawork, name) is not None
    assert set(hawork.__all__) <= set(dir(hawork))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = hawork.nonsense


def test_importing_hawork_imports_nothing_else() -> None:
    code = "import sys, hawork; print(*sorted(m for m in sys.modules if m.startswith('hawork')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["hawork", "hawork.core", "hawork.core.library_path"]
