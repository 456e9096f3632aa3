"""hawork and real Apache Flink 1.20.5 side by side, on the same ZooKeeper server.

Seen from outside, through the znode of the REST address: from the start of a JobManager until
it leads, and from the SIGKILL of the leader until the next one is found. Flink has nobody who
tells ZooKeeper of a death, so it always waits for the session timeout; hawork's supervisor is
measured both switched on and off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from hawork.backends.registry import open_backend
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.events import NullEventSink
from hawork.core.options import checked
from hawork.core.types import REST_SERVER, LeaderInformation, LeaderSessionID
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest, Observer
from tests.benchmarks.bench_zookeeper import SESSION, options
from tests.benchmarks.figures import Table
from tests.contract.zookeeper_harness import shared_servers
from tests.interop.flink import FlinkProcesses

TIMES = 5


class Watching:
    """Who is found as the leader of the REST endpoint, and when."""

    def __init__(self, config: Configuration) -> None:
        self._observer = Observer()
        self._backend = open_backend(config, SYSTEM_CLOCK, NullEventSink())
        self._backend.retrieval_driver(REST_SERVER, self._observer)

    def seconds_until_found(
        self, begin: float, other_than: LeaderSessionID | None = None
    ) -> tuple[float, LeaderInformation]:
        def found() -> tuple[float, LeaderInformation] | None:
            information = self._observer.seen[-1] if self._observer.seen else None
            if information is None or information.session_id == other_than:
                return None
            return time.monotonic() - begin, information

        result = eventually(found, timeout=120.0, interval=0.002)
        assert result is not None
        return result

    def close(self) -> None:
        self._backend.close()


def measure(
    watching: Watching, start: Callable[[], object], kill: Callable[[], object],
    restart: Callable[[], object],
) -> tuple[list[float], list[float]]:  # fmt: skip
    """Start one JobManager, then a second one, then kill the leader again and again."""
    begin = time.monotonic()
    start()
    seconds, leader = watching.seconds_until_found(begin)
    starts, failovers = [seconds], []
    for _ in range(TIMES):
        restart()  # a standby, ready before the leader dies
        begin = time.monotonic()
        kill()
        seconds, leader = watching.seconds_until_found(begin, leader.session_id)
        failovers.append(seconds)
    return starts, failovers


def test_side_by_side(tmp_path: Path) -> None:
    failover = Table(f"SIGKILL of the leader, {SESSION:g} s session", "s", first="next one found")
    start = Table("Start of a JobManager until it is found as the leader", "s", first="JobManager")
    memory = Table("Memory of a leading JobManager without jobs (RSS)", "MB", 0, "JobManager")
    for name, supervisor in (("hawork, supervisor", True), ("hawork, no supervisor", False)):
        starts, failovers, sizes = hawork(tmp_path / name.replace(", ", "-"), supervisor)
        failover.add(name, failovers)
        start.add(name, starts)
        memory.add(name, sizes)
    starts, failovers, sizes = flink(tmp_path / "flink")
    failover.add("Flink 1.20.5", failovers)
    start.add("Flink 1.20.5", starts)
    memory.add("Flink 1.20.5", sizes)
    for table in (failover, start, memory):
        table.print()


def hawork(directory: Path, supervisor: bool) -> tuple[list[float], list[float], list[float]]:
    values = options(SESSION)
    lab = LabCluster(
        1, 0, ha="zookeeper", directory=directory, options=values, supervisor=supervisor
    )
    watching = Watching(lab.config)
    dead: list[str] = []

    def join() -> None:
        if dead:
            lab.restart(dead.pop())
        else:
            lab.add_job_manager()
        eventually(lambda: len(latch(lab)) == 2, timeout=60)

    def kill() -> None:
        dead.append(str(lab.kill("leader").facts["target"]))

    def latch(lab: LabCluster) -> list[str]:
        rows = lab.store_rows().to_dict("records")
        return [row["name"] for row in rows if row["table"].endswith("/latch")]

    try:
        starts, failovers = measure(watching, lab.start, kill, join)
        pid = lab.processes[lab.leader()].pid
        return starts, failovers, [psutil.Process(pid).memory_info().rss / 1e6]
    finally:
        watching.close()
        lab.close()


def flink(directory: Path) -> tuple[list[float], list[float], list[float]]:
    cluster = ClusterUnderTest(shared_servers())
    keys = ("type", "zookeeper.quorum", "cluster-id", "zookeeper.client.session-timeout")
    values = {
        f"high-availability.{key}": cluster.values[f"high-availability.{key}"] for key in keys
    }
    watching = Watching(checked(cluster.values))
    running: list[str] = []
    try:
        with FlinkProcesses(directory, values) as processes:

            def join() -> None:
                name = f"flink-{len(processes.names()) + 1}"
                before = len(cluster.latch())
                processes.start_job_manager(name)
                running.append(name)
                eventually(lambda: len(cluster.latch()) > before or before == 0, timeout=90)

            def kill() -> None:
                eventually(lambda: len(cluster.latch()) == 2, timeout=90)
                processes.kill(running.pop(0))

            starts, failovers = measure(watching, join, kill, join)
            rss = psutil.Process(processes.pid(running[0])).memory_info().rss
            return starts, failovers, [rss / 1e6]
    finally:
        watching.close()
        cluster.close()
