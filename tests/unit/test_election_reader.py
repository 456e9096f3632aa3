"""Who stands for the leadership, and which clusters there are instead of one that is not there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from fake_flink import JOB, FakeJobManager

from hawork.backends.kubernetes import client as kubernetes_client
from hawork.backends.kubernetes import settings as kubernetes_settings
from hawork.backends.zookeeper import multi_read, session
from hawork.client.tls import SYSTEM_TRUST
from hawork.core.configuration import Configuration
from hawork.core.events import EventKind
from hawork.inspect.election import Election, election_reader
from hawork.lab.flink.endpoints import Endpoints
from hawork.lab.flink.rest_watch import RestWatch

LOCK = "control-plane.alpha.kubernetes.io/leader"
TREE: dict[str, list[str] | multi_read.Denied] = {
    "/": ["zookeeper", "flink", "kafka", "other"],
    "/flink": ["prod", "test", "tmp"],
    "/flink/prod": ["leader", "jobgraphs"],
    "/flink/prod/leader": ["latch"],
    "/flink/prod/leader/latch": ["_c_1-latch-0000000001", "_c_2-latch-0000000002", "_c_3-latch-3"],
    "/flink/test": ["jobs"],
    "/flink/tmp": ["x"],
    "/kafka": ["brokers"],
    "/kafka/brokers": ["ids"],
    "/other": ["flights"],
    "/other/flights": ["leader"],
}


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found = dict(TREE)

    def read(_: object, paths: Sequence[str]) -> list[Any]:
        return [found.get(path) for path in paths]

    monkeypatch.setattr(multi_read, "read_children", read)
    for name in ("open", "close"):
        monkeypatch.setattr(session.ZooKeeperSession, name, lambda self, *_, **__: None)
    return found


def zookeeper(cluster_id: str = "/prod", root: str = "/flink") -> Election:
    reader = election_reader(
        Configuration(
            {
                "high-availability.type": "zookeeper",
                "high-availability.storageDir": "file:///ha",
                "high-availability.zookeeper.quorum": "127.0.0.1:1",
                "high-availability.cluster-id": cluster_id,
                "high-availability.zookeeper.path.root": root,
            }
        )
    )
    assert reader is not None
    found = reader.look()
    reader.close()
    return found


def test_standbys_are_counted_from_the_latch(tree: dict[str, Any]) -> None:
    found = zookeeper()
    assert (found.contenders, found.standbys, found.missing) == (3, 2, "")
    tree["/flink/prod/leader/latch"] = []
    assert (zookeeper().contenders, zookeeper().standbys) == (0, 0)
    del tree["/flink/prod/leader/latch"]  # its first JobManager was never there
    assert (zookeeper().contenders, zookeeper().missing) == (0, "")
    tree["/flink/prod/leader/latch"] = multi_read.Denied()
    assert zookeeper().standbys is None


def test_a_wrong_cluster_id_says_what_there_is(tree: dict[str, Any]) -> None:
    key = "high-availability.cluster-id"
    said = f"there is no cluster /porod below /flink: here are /prod, /test; see {key}"
    assert zookeeper("/porod").missing == said
    said = (
        "there is no /flnk in this ZooKeeper: clusters are below /flink, /other; see "
        "high-availability.zookeeper.path.root"
    )
    assert zookeeper(root="/flnk").missing == said
    tree["/flink"] = multi_read.Denied()
    said = "there is no cluster /porod below /flink, and which there are we may not list: see "
    assert zookeeper("/porod").missing == f"{said}{key}"


def test_many_are_not_all_named(tree: dict[str, Any]) -> None:
    tree["/flink"] = [f"c{number:02d}" for number in range(30)]
    tree.update({f"/flink/c{number:02d}": ["leader"] for number in range(30)})
    assert ": here are /c00, /c01, " in zookeeper("/x").missing
    assert "/c07 and 22 more; see" in zookeeper("/x").missing


def config_map(name: str, lock: Mapping[str, Any] | str | None = None) -> dict[str, Any]:
    text = lock if isinstance(lock, str) else json.dumps(lock)
    annotations = {} if lock is None else {LOCK: text}
    about = {"name": name, "resourceVersion": "7", "uid": "u", "annotations": annotations}
    return {"metadata": about, "data": {}}


def kubernetes(monkeypatch: pytest.MonkeyPatch, *maps: dict[str, Any]) -> Election:
    monkeypatch.setattr(kubernetes_settings, "_kubeconfig", lambda _: "kubeconfig")
    by_name = {each["metadata"]["name"]: each for each in maps}

    class Client:
        def __init__(self, _: object) -> None: ...

        def written(self, name: str) -> dict[str, Any] | None:
            return by_name.get(name)

        def pages(self, _: object) -> Iterator[dict[str, Any]]:
            yield {"items": list(maps)}

        def close(self) -> None: ...

    monkeypatch.setattr(kubernetes_client, "KubernetesClient", Client)
    reader = election_reader(
        Configuration(
            {
                "high-availability.type": "kubernetes",
                "high-availability.storageDir": "file:///ha",
                "kubernetes.cluster-id": "prod",
                "kubernetes.namespace": "flink",
            }
        )
    )
    assert reader is not None
    found = reader.look()
    reader.close()
    return found


def test_on_kubernetes_the_lock_tells_when_it_was_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = {
        "holderIdentity": "a", "leaseDuration": 15.0, "acquireTime": "2026-11-29T16:49:00.000000Z",
        "renewTime": "2026-11-29T16:49:39.500000Z", "leaderTransitions": 2,
    }  # fmt: skip
    found = kubernetes(monkeypatch, config_map("prod-cluster-config-map", lock))
    assert (found.contenders, found.standbys, found.lease) == (None, None, 15.0)
    assert found.renewed == 1795970979.5
    for damaged in ("{", "[]", '{"renewTime": 7}', ""):
        found = kubernetes(monkeypatch, config_map("prod-cluster-config-map", damaged))
        assert (found.renewed, found.missing) == (None, "")


def test_on_kubernetes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = kubernetes(
        monkeypatch, config_map("test-cluster-config-map"), config_map("kube-root-ca.crt")
    )
    said = (
        "there is no ConfigMap prod-cluster-config-map in namespace flink: here are test; see "
        "kubernetes.cluster-id"
    )
    assert found.missing == said
    assert "and no other cluster: see kubernetes.cluster-id" in kubernetes(monkeypatch).missing


def test_an_embedded_store_is_not_looked_at() -> None:
    assert election_reader(Configuration({"high-availability.type": "embedded"})) is None


# --- what a leader is asked --------------------------------------------------------------------


class Written:
    """Forgets events."""

    def write(self, kind: EventKind, process: str, **facts: Any) -> None: ...


def test_a_job_that_is_initializing_or_has_ended_is_left_alone() -> None:
    """Asked for the checkpoints of the first Flink logs an error; the other has no news."""
    manager, events = FakeJobManager(), Written()
    asked: list[str] = []
    answer = manager.answer
    manager.answer = lambda path: (asked.append(path), answer(path))[1]  # type: ignore[method-assign]
    watch = RestWatch(events, Endpoints(events), None, SYSTEM_TRUST)  # type: ignore[arg-type]

    def checkpoints() -> int:
        asked.clear()
        watch.look(manager.address, manager.name, None)
        return asked.count(f"/jobs/{JOB}/checkpoints")

    try:
        manager.status = "INITIALIZING"
        assert checkpoints() == 0
        manager.status = "RUNNING"
        assert (checkpoints(), checkpoints()) == (1, 1)
        manager.status = "FINISHED"
        assert (checkpoints(), checkpoints(), checkpoints()) == (1, 0, 0)
    finally:
        manager.close()


def test_a_job_that_runs_for_a_month_does_not_begin_the_timeline() -> None:
    class Walls(Written):
        def __init__(self) -> None:
            self.walls: list[float] = []

        def write(self, kind: EventKind, process: str, **facts: Any) -> None:
            self.walls.append(facts.get("wall") or time.time())

    manager, events = FakeJobManager(), Walls()
    manager.began -= 30 * 86_400_000
    manager.restored = 7
    try:
        watch = RestWatch(events, Endpoints(events), None, SYSTEM_TRUST)  # type: ignore[arg-type]
        watch.look(manager.address, manager.name, None)
        assert len(events.walls) == 4, "its state and its TaskManager, and no restore of then"
        assert min(events.walls) > time.time() - 65
    finally:
        manager.close()
