"""What the Kubernetes backend costs: failover, requests, writes, recovery, memory."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from hawork.backends.kubernetes.layout import CLAIMED_BY, encode_entry, entry_key, new_version
from hawork.backends.kubernetes.rights import JOB_MANAGER_VERBS
from hawork.core.types import JobID
from hawork.ha.pointer_store import checkpoints
from hawork.lab import LabCluster
from hawork.servers.kubernetes.audit import AuditedRequest
from hawork.servers.kubernetes.control_plane import ControlPlane
from hawork.testing import eventually
from tests.backends.kubernetes.kubernetes_setup import ClusterUnderTest, Contender
from tests.benchmarks.bench_failover import Fault, kill, pause, terminate
from tests.benchmarks.figures import Table
from tests.benchmarks.lab_events import wait_until_published, wait_until_started
from tests.benchmarks.leading import leadership
from tests.benchmarks.taking_over import (
    JOBS,
    print_takeovers,
    store_jobs,
    take_over_often,
    wait_until_restored,
)

TIMES = 7
WRITES = 200
STANDBYS = 20
HANDOVERS = 9
IDLE_SECONDS = 60.0
LEASE = 4.0
_LEASE_OPTIONS = "high-availability.kubernetes.leader-election"
FLINKS_DEFAULTS: dict[str, Any] = {
    "K8S_LEASE_DURATION": "15 s", "K8S_RENEW_DEADLINE": "15 s", "K8S_RETRY_PERIOD": "5 s",
}  # fmt: skip


def options(lease: float, retry: float) -> Mapping[str, str]:
    return {
        f"{_LEASE_OPTIONS}.lease-duration": f"{lease:g} s",
        f"{_LEASE_OPTIONS}.renew-deadline": f"{lease:g} s",
        f"{_LEASE_OPTIONS}.retry-period": f"{retry:g} s",
    }


def cluster_of(control_plane: ControlPlane) -> Mapping[str, str]:
    """The options of one more cluster."""
    return {
        "kubernetes.config.file": str(control_plane.kubeconfig("jm-1")),
        "kubernetes.namespace": control_plane.namespace,
        "kubernetes.cluster-id": f"bench-{uuid.uuid4().hex[:8]}",
    }


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One that counts requests, with a user for each of many contenders."""
    users = {f"jm-{number}": JOB_MANAGER_VERBS for number in range(1, STANDBYS + 2)}
    with ControlPlane(tmp_path_factory.mktemp("kubernetes"), users, audit=True) as control_plane:
        yield control_plane


def test_failover(tmp_path: Path) -> None:
    table = Table("Kubernetes: fault to the next leader's published address", "s", first="fault")

    def measure(
        name: str, fault: Fault, lease: float, retry: float, at_most: float | None, **more: Any
    ) -> None:
        directory = tmp_path / str(len(list(tmp_path.iterdir())))
        seconds = []
        with LabCluster(
            3, 0, ha="kubernetes", directory=directory, options=options(lease, retry), **more
        ) as lab:
            for _ in range(TIMES):
                leader = lab.leader()
                begin = fault(lab, leader)
                seconds.append(wait_until_published(lab, begin).monotonic - begin.monotonic)
                wait_until_started(lab, lab.restart(leader), leader)
        table.add(f"{name}, {lease:g} s lease", seconds, at_most)

    measure("SIGKILL, supervisor", kill, 15.0, 5.0, 0.7)
    measure("SIGKILL, no supervisor", kill, LEASE, 1.0, LEASE + 0.5, supervisor=False)
    measure("SIGSTOP", pause, LEASE, 1.0, LEASE + 0.5)
    measure("SIGTERM", terminate, LEASE, 1.0, None)
    table.print()


def contenders_of(cluster: ClusterUnderTest, number: int) -> list[Contender]:
    """With Flink's default timeouts, each as a user of its own."""
    return [
        cluster.contender(
            **FLINKS_DEFAULTS,
            K8S_CONFIG_FILE=str(cluster.control_plane.kubeconfig(f"jm-{index}")),
        )
        for index in range(1, number + 1)
    ]


def next_leader(contenders: list[Contender]) -> Contender | None:
    return next((each for each in contenders if each.leads), None)


def users_requests(requests: list[AuditedRequest], since: float) -> Counter[str]:
    """How often each contender asked anything since then."""
    return Counter(
        request.user
        for request in requests
        if request.received >= since and request.user.startswith("jm-")
    )


def test_requests_of_idle_contenders(control_plane: ControlPlane) -> None:
    """Real Flink asked 0.4 times a second as leader and 0.13 as standby, in a trial."""
    cluster = ClusterUnderTest(control_plane)
    try:
        contenders = contenders_of(cluster, 3)
        leader = eventually(lambda: next((each for each in contenders if each.leads), None))
        assert leader is not None
        since = time.time()
        time.sleep(IDLE_SECONDS)  # what is measured is that nothing happens
        counted = users_requests(control_plane.requests(), since)
        leaders = f"jm-{contenders.index(leader) + 1}"
        table = Table("Requests of idle contenders, 5 s retry period", "1/s", 3, "contender")
        table.add("the leader", [counted[leaders] / IDLE_SECONDS], at_most=0.4)
        standbys = [counted[f"jm-{n}"] / IDLE_SECONDS for n in (1, 2, 3) if f"jm-{n}" != leaders]
        table.add("a standby", standbys, at_most=0.13)
        table.print()
    finally:
        cluster.close()


def test_requests_of_a_handover(control_plane: ControlPlane) -> None:
    cluster = ClusterUnderTest(control_plane)
    table = Table(f"A handover with {STANDBYS} standbys", "", 1, "what")
    milliseconds, requests = [], []
    try:
        contenders = contenders_of(cluster, STANDBYS + 1)
        eventually(lambda: any(each.leads for each in contenders))
        for _ in range(HANDOVERS):
            eventually(lambda: all(each.backend._watch.live for each in contenders))
            leader = next(each for each in contenders if each.leads)
            index, since, begin = contenders.index(leader), time.time(), time.monotonic()
            leader.driver.close()
            others = [each for each in contenders if each is not leader]
            following = eventually(partial(next_leader, others))
            granted = following.times["grant", following.session_id]
            milliseconds.append((granted - begin) * 1000)
            time.sleep(1.0)  # for those who were late
            requests.append(float(users_requests(control_plane.requests(), since).total()))
            file = str(control_plane.kubeconfig(f"jm-{index + 1}"))
            contenders[index] = cluster.contender(**FLINKS_DEFAULTS, K8S_CONFIG_FILE=file)
    finally:
        cluster.close()
    table.add("milliseconds to the grant", milliseconds)
    table.add("requests of all of them", requests)
    table.print()


def test_writes_against_plain_patches(control_plane: ControlPlane) -> None:
    """The same guarded patches to the like of the map, made by hand over the same client.

    In turns: the API server takes the longer, the more is in a map.
    """
    cluster = ClusterUnderTest(control_plane)
    table = Table(
        f"{WRITES} pointer writes, fenced, one after the other", "ratio", 2, "hawork/plain"
    )
    try:
        leader = cluster.contender(**FLINKS_DEFAULTS)
        session_id = leader.wait_for_grant()
        namespace = checkpoints(JobID.random())
        store, client = leader.pointers(namespace), leader.backend._client
        store.create("warm", b"", session_id)
        metadata = {
            "name": f"plain-{uuid.uuid4().hex[:8]}",
            "labels": dict(cluster.names.labels),
            "annotations": {CLAIMED_BY: str(session_id)},
        }
        plain = client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        ratios = []
        for turn in range(5):
            ours = theirs = 0.0
            for number in range(WRITES):
                name, value = f"{turn}-{number}", b"x" * 200
                change = {entry_key(namespace, name): encode_entry(new_version(), value)}
                begin = time.perf_counter()
                store.create(name, value, session_id)
                between = time.perf_counter()
                plain = client.patch(plain, change)
                ours, theirs = ours + between - begin, theirs + time.perf_counter() - between
            ratios.append(ours / theirs)
        table.add("create", ratios, at_most=1.3)
        client.delete(plain)
    finally:
        cluster.close()
    table.print()


@pytest.mark.timeout(1200)
def test_recovery_and_memory(tmp_path: Path, control_plane: ControlPlane) -> None:
    memory = Table("Memory of a JobManager (RSS)", "MB", 1, "JobManager")
    given = {
        **options(30.0, 5.0),
        **cluster_of(control_plane),
    }
    lab = LabCluster(2, 0, ha="kubernetes", directory=tmp_path / "jobs", options=given)
    try:
        with leadership(lab.config) as (backend, stores):
            begin = time.monotonic()
            store_jobs(stores, JOBS)
            print(f"\nstoring {JOBS:,} jobs: {time.monotonic() - begin:.1f} s")
            print(backend.fullest())
        lab.start()
        wait_until_restored(lab, JOBS, lab.leader())
        for name, process in lab.processes.items():
            role = "leads, all jobs" if name == lab.leader() else "stands by"
            memory.add(role, [psutil.Process(process.pid).memory_info().rss / 1e6], 80)
        seen = take_over_often(lab, 3)
    finally:
        lab.close()
    print_takeovers(f"Kubernetes: takeover with {JOBS:,} stored jobs", seen)
    memory.print()
