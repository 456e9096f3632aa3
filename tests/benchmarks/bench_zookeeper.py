"""What the ZooKeeper backend costs: failover, many standbys, writes, recovery, memory."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
from kazoo.client import KazooClient

from hawork.core.types import JobID
from hawork.ha.pointer_store import checkpoints
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest, Contender
from tests.benchmarks.bench_failover import Fault, kill, pause, terminate
from tests.benchmarks.figures import Table
from tests.benchmarks.lab_events import wait_until_published, wait_until_started
from tests.benchmarks.leading import leadership
from tests.benchmarks.taking_over import JOBS, print_takeovers, store_jobs, take_over_often
from tests.contract.zookeeper_harness import shared_servers

TIMES = 7
WRITES = 300
HANDOVERS = 9
SESSION = 4.0
TICK = 0.5


def options(session: float) -> Mapping[str, str]:
    return {
        "high-availability.zookeeper.quorum": shared_servers().quorum,
        "high-availability.zookeeper.path.root": f"/bench-{uuid.uuid4().hex[:8]}",
        "high-availability.zookeeper.client.session-timeout": f"{session:g} s",
    }


def test_failover(tmp_path: Path) -> None:
    table = Table("ZooKeeper: fault to the next leader's published address", "s", first="fault")

    def measure(
        name: str, fault: Fault, session: float, at_most: float | None, **more: Any
    ) -> None:
        directory = tmp_path / str(len(list(tmp_path.iterdir())))
        seconds = []
        with LabCluster(
            3, 0, ha="zookeeper", directory=directory, options=options(session), **more
        ) as lab:
            for _ in range(TIMES):
                leader = lab.leader()
                begin = fault(lab, leader)
                seconds.append(wait_until_published(lab, begin).monotonic - begin.monotonic)
                wait_until_started(lab, lab.restart(leader), leader)
        table.add(f"{name}, {session:g} s session", seconds, at_most)

    measure("SIGKILL, supervisor", kill, 30.0, 0.5)
    measure("SIGKILL, no supervisor", kill, SESSION, SESSION + 2 * TICK, supervisor=False)
    measure("SIGSTOP", pause, SESSION, SESSION + 2 * TICK)
    measure("SIGTERM", terminate, SESSION, None)
    table.print()


def test_handover_does_not_depend_on_the_number_of_standbys() -> None:
    table = Table("From closing the leader's driver to the next grant", "ms", 2, "standbys")
    for standbys in (2, 50):
        cluster = ClusterUnderTest(shared_servers())
        try:
            contenders = [cluster.contender(ZK_SESSION_TIMEOUT="60 s") for _ in range(standbys)]
            contenders.insert(0, cluster.contend(cluster.open(), wait=False))
            contenders.sort(key=lambda each: not each.leads)
            table.add(str(standbys), [handover(cluster, contenders) for _ in range(HANDOVERS)])
        finally:
            cluster.close()
    table.print()


def handover(cluster: ClusterUnderTest, contenders: list[Contender]) -> float:
    """Milliseconds; the one that leaves joins again, so that the number stays."""
    leader = eventually(lambda: next((each for each in contenders if each.leads), None))
    begin = time.monotonic()
    leader.driver.close()
    contenders.remove(leader)
    following = eventually(lambda: next((e for e in contenders if e.leads), None), interval=0.0005)
    granted = following.time_of("grant", following.session_id)
    contenders.append(cluster.contend(cluster.open(ZK_SESSION_TIMEOUT="60 s")))
    return (granted - begin) * 1000


def test_writes_against_plain_kazoo() -> None:
    """The same transactions, made by hand with the same client library."""
    table = Table(
        f"{WRITES} pointer writes, fenced, one after the other", "ratio", 2, "hawork/kazoo"
    )
    cluster = ClusterUnderTest(shared_servers())
    try:
        backend = cluster.open()
        contender = cluster.contend(backend)
        session_id = contender.granted()
        store = backend.pointers(checkpoints(JobID.random()))
        store.create("warm", b"", session_id)
        fence = f"{cluster.paths.latch}/{cluster.latch()[0]}"
        cluster.kazoo.ensure_path("/plain")
        ratios: dict[str, list[float]] = {"create": [], "replace": [], "delete": []}
        for turn in range(5):
            names = [f"{turn}-{number}" for number in range(WRITES)]
            ours = write_ours(store, names, session_id)
            plain = write_plain(cluster.kazoo, fence, names)
            for operation, samples in ratios.items():
                samples.append(ours[operation] / plain[operation])
        for operation, samples in ratios.items():
            table.add(operation, samples, at_most=1.3)
    finally:
        cluster.kazoo.delete("/plain", recursive=True)
        cluster.close()
    table.print()


def write_ours(store: Any, names: list[str], session_id: uuid.UUID) -> dict[str, float]:
    value = b"x" * 200
    seconds = {"create": timed(lambda name: store.create(name, value, session_id), names)}
    versions = {name: entry.version for name, entry in store.entries()}
    seconds["replace"] = timed(
        lambda name: store.replace(name, versions[name], value, session_id), names
    )
    seconds["delete"] = timed(lambda name: store.delete(name, session_id), names)
    return seconds


def write_plain(kazoo: KazooClient, fence: str, names: list[str]) -> dict[str, float]:
    value = b"x" * 200

    def transaction(operation: str, *arguments: Any) -> None:
        fenced = kazoo.transaction()
        fenced.check(fence, -1)
        getattr(fenced, operation)(*arguments)
        fenced.commit()

    return {
        "create": timed(lambda name: transaction("create", f"/plain/{name}", value), names),
        "replace": timed(lambda name: transaction("set_data", f"/plain/{name}", value, 0), names),
        "delete": timed(lambda name: transaction("delete", f"/plain/{name}"), names),
    }


def timed(action: Callable[[str], object], names: list[str]) -> float:
    begin = time.perf_counter()
    for name in names:
        action(name)
    return time.perf_counter() - begin


def test_recovery_and_memory(tmp_path: Path) -> None:
    memory = Table("Memory of a JobManager (RSS)", "MB", 1, "JobManager")
    with LabCluster(2, 0, ha="zookeeper", directory=tmp_path / "empty", options=options(30)) as lab:
        leader = lab.leader()
        for role, name in (
            ("leads, no jobs", leader),
            ("stands by", "jm-2" if leader == "jm-1" else "jm-1"),
        ):
            memory.add(role, [psutil.Process(lab.processes[name].pid).memory_info().rss / 1e6], 55)
    lab = LabCluster(2, 0, ha="zookeeper", directory=tmp_path / "jobs", options=options(30))
    try:
        with leadership(lab.config) as (_, stores):
            store_jobs(stores, JOBS)
        lab.start()
        seen = take_over_often(lab, 3)
    finally:
        lab.close()
    print_takeovers(f"ZooKeeper: takeover with {JOBS:,} stored jobs", seen)
    memory.print()
