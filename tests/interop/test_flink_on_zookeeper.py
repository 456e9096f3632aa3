"""hawork and real Flink 1.20.5 find each other and stand in one election."""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.core import options
from hawork.core.types import RESOURCE_MANAGER, REST_SERVER, LeaderInformation
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.testing import eventually
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest, Contender, Observer
from tests.contract.zookeeper_harness import shared_servers
from tests.interop.flink import FlinkProcesses

START_SECONDS = 90  # of a Flink JobManager on a busy machine


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    cluster = ClusterUnderTest(shared_servers())
    yield cluster
    cluster.close()


@pytest.fixture
def flink(cluster: ClusterUnderTest, tmp_path: Path) -> Iterator[FlinkProcesses]:
    keys = (
        options.HA_TYPE, options.ZK_QUORUM, options.CLUSTER_ID, options.ZK_SESSION_TIMEOUT,
    )  # fmt: skip
    with FlinkProcesses(tmp_path, {key.key: cluster.values[key.key] for key in keys}) as processes:
        yield processes


def observe(cluster: ClusterUnderTest, component_id: str = REST_SERVER) -> Observer:
    observer = Observer()
    cluster.open().retrieval_driver(component_id, observer)
    return observer


def flink_version(information: LeaderInformation) -> str:
    with urllib.request.urlopen(f"{information.address}/v1/config", timeout=10) as answer:
        return str(json.load(answer)["flink-version"])


@pytest.mark.slow
def test_retrieval_finds_a_flink_leader(cluster: ClusterUnderTest, flink: FlinkProcesses) -> None:
    observers = [observe(cluster, component) for component in (REST_SERVER, RESOURCE_MANAGER)]
    flink.start_job_manager("flink-1")
    eventually(lambda: all(o.seen and o.seen[-1] for o in observers), timeout=START_SECONDS)
    rest, resource_manager = (observer.seen[-1] for observer in observers)
    assert rest is not None and resource_manager is not None
    # Until the dispatcher leads, too, every question is answered by 503.
    eventually(lambda: flink_leads(observers[0]), timeout=START_SECONDS)
    assert flink_version(rest) == "1.20.5"
    assert resource_manager.address.startswith("pekko.tcp://flink@")
    assert rest.session_id == resource_manager.session_id
    flink.kill("flink-1")
    observers[0].wait_for(None)
    assert not observers[0].errors


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_hawork_and_flink_stand_in_one_latch(
    cluster: ClusterUnderTest, flink: FlinkProcesses
) -> None:
    """Contenders of both kinds join and die in random order; each leads in its turn, alone."""
    chance = random.Random(20)
    observer = observe(cluster)
    hawork: dict[str, Contender] = {}
    waiting: list[str] = []
    pointers = cluster.open().pointers(JOB_GRAPHS)

    def join(name: str) -> None:
        before = len(cluster.latch())
        if name.startswith("flink"):
            flink.start_job_manager(name)
        else:
            hawork[name] = cluster.contend(cluster.open(), wait=False)
        eventually(lambda: len(cluster.latch()) > before, timeout=START_SECONDS)
        waiting.append(name)

    def leave(name: str) -> None:
        if name.startswith("flink"):
            flink.kill(name, chance.choice(["KILL", "TERM"]))
        else:
            hawork.pop(name).driver.close()
        eventually(lambda: len(cluster.latch()) < len(waiting), timeout=START_SECONDS)
        waiting.remove(name)

    def first_leads() -> None:
        """The first of the latch leads and is found; nobody of hawork leads besides."""
        name = waiting[0]
        if name in hawork:
            leader = hawork[name]
            session_id = leader.granted()
            information = LeaderInformation(session_id, f"http://127.0.0.1:1/{name}")
            leader.driver.publish_leader_information(REST_SERVER, information)
            observer.wait_for(information)
            pointers.create(f"{len(pointers.entries()):032x}", name.encode(), session_id)
        else:
            eventually(lambda: flink_leads(observer), timeout=START_SECONDS)
        assert [each for each, contender in hawork.items() if contender.leads] == [
            each for each in waiting[:1] if each in hawork
        ]

    for name in ("hawork-1", "flink-1", "hawork-2", "flink-2"):
        join(name)
    first_leads()
    for turn in range(5):
        leave(waiting[0] if turn % 2 == 0 else chance.choice(waiting))
        if len(waiting) < 3:
            kind = "hawork" if not hawork or chance.random() < 0.7 else "flink"
            join(f"{kind}-{turn + 3}")
        first_leads()
    # Flink's leaders neither minded nor touched what hawork keeps.
    values = [entry.value for _, entry in pointers.entries()]
    assert b"hawork-1" in values and len(values) >= 2
    assert all(flink.is_alive(name) for name in waiting if name.startswith("flink"))


def flink_leads(observer: Observer) -> bool:
    information = observer.seen[-1] if observer.seen else None
    if information is None or "/hawork" in information.address:
        return False
    assert information.session_id != uuid.UUID(int=0)
    try:
        return flink_version(information) == "1.20.5"
    except urllib.error.HTTPError as error:
        assert error.code == 503, "what Flink answers while its own election goes on"
        return False
    except OSError:
        return False  # it is not there yet, or no more
