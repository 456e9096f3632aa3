"""200 real contenders of 100 clusters on one HA service: idle, and when a rack of them dies.

Each contender has a connection and threads of its own; all are in one process, so it is the
service that is measured, and not how many processes a machine can start. What follows from it
for 1,000 clusters is in ``docs/scale.md``.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hawork.backends.kubernetes.rights import JOB_MANAGER_VERBS
from hawork.servers.kubernetes.control_plane import ControlPlane
from hawork.testing import eventually
from tests.backends.kubernetes import kubernetes_setup
from tests.backends.zookeeper import zookeeper_setup
from tests.benchmarks.bench_kubernetes import FLINKS_DEFAULTS
from tests.benchmarks.bench_scale import received_packets
from tests.benchmarks.figures import Table
from tests.contract.zookeeper_harness import shared_servers

CLUSTERS = 100
RACK = 20
"""Leaders that die at once."""
LIVING = 1 - RACK / (2 * CLUSTERS)
"""Share of the contenders that go on as before."""
IDLE_SECONDS = 12.0
SESSION = 6.0

pytestmark = [pytest.mark.timeout(600)]


def test_zookeeper() -> None:
    table = Table(f"{CLUSTERS} clusters, one leader and one standby each, on ZooKeeper", "", 1)
    clusters = [zookeeper_setup.ClusterUnderTest(shared_servers()) for _ in range(CLUSTERS)]
    try:
        session = {"ZK_SESSION_TIMEOUT": f"{SESSION:g} s"}
        rack = clusters[0].proxy()
        leaders = [
            cluster.contend(
                cluster.open(**session, **({"ZK_QUORUM": rack.address} if number < RACK else {})),
                wait=False,
            )
            for number, cluster in enumerate(clusters)
        ]
        for leader in leaders:
            leader.granted()
        standbys = [cluster.contend(cluster.open(**session), wait=False) for cluster in clusters]
        latches, looking = [cluster.paths.latch for cluster in clusters], clusters[0].kazoo
        eventually(
            lambda: all(len(looking.get_children(latch)) == 2 for latch in latches), timeout=60
        )
        before, begin = received_packets("zookeeper"), time.monotonic()
        time.sleep(IDLE_SECONDS)  # what is measured is that nothing happens
        idle = (received_packets("zookeeper") - before) / (time.monotonic() - begin)
        table.add(f"requests per second, idle, session timeout {SESSION:g} s", [idle])
        before, begin = received_packets("zookeeper"), time.monotonic()
        rack.cut()
        for standby in standbys[:RACK]:
            standby.granted()
        seconds = [standby.calls[0][2] - begin for standby in standbys[:RACK]]
        table.add(f"seconds until each of {RACK} dead leaders has a successor", seconds)
        spent = received_packets("zookeeper") - before - LIVING * idle * (time.monotonic() - begin)
        table.add("requests of a takeover, idle ones of all others left out", [spent / RACK])
        assert all(leader.leads for leader in leaders[RACK:]), "no other cluster is disturbed"
    finally:
        for cluster in clusters:
            cluster.close()
    table.print()


def test_kubernetes(tmp_path: Path) -> None:
    table = Table(f"{CLUSTERS} clusters, one leader and one standby each, on Kubernetes", "", 1)
    with ControlPlane(tmp_path, {"jm-1": JOB_MANAGER_VERBS}, audit=True) as control_plane:
        clusters = [kubernetes_setup.ClusterUnderTest(control_plane) for _ in range(CLUSTERS)]

        def requests() -> int:
            return len(control_plane.requests())

        try:
            leaders = [cluster.contender(**FLINKS_DEFAULTS) for cluster in clusters]
            for leader in leaders:
                leader.wait_for_grant()
            standbys = [cluster.contender(**FLINKS_DEFAULTS) for cluster in clusters]
            eventually(lambda: all(each.backend._watch.live for each in standbys), timeout=60)
            before, begin = requests(), time.monotonic()
            time.sleep(IDLE_SECONDS)  # what is measured is that nothing happens
            idle = (requests() - before) / (time.monotonic() - begin)
            table.add("requests per second, idle, retry period 5 s", [idle])
            before, begin = requests(), time.monotonic()
            for leader in leaders[:RACK]:
                leader.driver.close()  # as a supervisor gives up what a dead process held
            for standby in standbys[:RACK]:
                standby.wait_for_grant()
            seconds = [
                standby.times["grant", standby.session_id] - begin for standby in standbys[:RACK]
            ]
            table.add(f"seconds until each of {RACK} leaders has a successor", seconds)
            spent = requests() - before - LIVING * idle * (time.monotonic() - begin)
            table.add("requests of a takeover, idle ones of all others left out", [spent / RACK])
        finally:
            for cluster in clusters:
                cluster.close()
    table.print()
