"""The network and the servers fail: on ZooKeeper every job still ends exact, by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.core.errors import LabError
from hawork.core.events import EventKind
from hawork.lab import LabCluster
from hawork.lab.job import Job
from hawork.lab.nemesis.znodes import check_history
from hawork.testing import eventually
from tests.contract.zookeeper_harness import shared_servers
from tests.faults.scenario import FAST, Scenario, wait_for_event
from tests.faults.stores import on_shared_zookeeper
from tests.kept_runs import check_kept_run

SESSION_TIMEOUT = 2.0
OPTIONS = {**FAST, "high-availability.zookeeper.client.session-timeout": "2 s"}


@pytest.fixture
def shared() -> dict[str, str]:
    """The options of a cluster on the server that all tests share."""
    return {**OPTIONS, **on_shared_zookeeper()}


@pytest.fixture
def on_shared_server(tmp_path: Path, shared: dict[str, str]) -> Iterator[Scenario]:
    directory = tmp_path / "lab"
    with LabCluster(3, 2, ha="zookeeper", directory=directory, options=shared) as lab:
        yield Scenario(lab, tmp_path)


@pytest.fixture
def on_own_servers(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scenario]:
    directory, servers = tmp_path / "lab", getattr(request, "param", 1)
    with LabCluster(
        3, 2, ha="zookeeper", directory=directory, options=OPTIONS, store_servers=servers
    ) as lab:
        yield Scenario(lab, tmp_path)


def running_job(scenario: Scenario) -> Job:
    """A job of some seconds that has completed a checkpoint."""
    job = scenario.submit(end=9000)
    wait_for_event(scenario.lab, EventKind.CHECKPOINT_COMPLETED)
    return job


def check(scenario: Scenario, job: Job) -> None:
    scenario.check_exact(job, end=9000)
    scenario.check_nothing_left(job)
    scenario.check_verdict()
    own = sorted((scenario.lab.directory / "zookeeper").glob("zk-*/data"))
    paths = ZNodePaths.of(scenario.lab.config)
    writes = [check_history(data, paths) for data in own or [shared_servers().data("zk-1")]]
    # The job's own: its graph, its result, its counter, some checkpoints.
    assert max(writes) > 10


def pass_seconds(seconds: float) -> None:
    """The fault lasts this long; that is the scenario, not a way to synchronise."""
    time.sleep(seconds)


def test_kill_the_leader(on_shared_server: Scenario, tmp_path: Path) -> None:
    job = running_job(on_shared_server)
    fault = on_shared_server.lab.kill("leader")
    on_shared_server.lab.wait_for_leader(other_than=fault).wait()
    check(on_shared_server, job)
    kept = check_kept_run(on_shared_server.lab, tmp_path)
    assert kept.verdict().valid
    assert kept.timeline().takeovers[0].cause == "kill"
    assert kept.store_rows().table.str.endswith("/latch").sum() == 2


def test_pause_the_leader_past_its_session(on_shared_server: Scenario) -> None:
    job = running_job(on_shared_server)
    fault = on_shared_server.lab.pause("leader")
    on_shared_server.lab.wait_for_leader(other_than=fault).wait()
    on_shared_server.lab.resume(fault.facts["target"])
    wait_for_event(
        on_shared_server.lab, EventKind.LEADERSHIP_REVOKED, process=fault.facts["target"]
    )
    check(on_shared_server, job)


def test_expire_the_leaders_session(on_shared_server: Scenario) -> None:
    lab = on_shared_server.lab
    job = running_job(on_shared_server)
    fault = lab.expire_session("leader")
    lab.wait_for_leader(other_than=fault).wait()
    name = fault.facts["target"]
    wait_for_event(lab, EventKind.LEADERSHIP_REVOKED, process=name)
    # Its session is a new one, and the supervisor was told the new ticket.
    assert lab.processes[name].alive
    check(on_shared_server, job)
    with pytest.raises(LabError, match="no process 'tm-99'"):
        lab.expire_session("tm-99")
    with pytest.raises(LabError, match="there is no partition 'flood': choose one of cut, "):
        lab.partition("leader", "flood")
    with pytest.raises(LabError, match="tm-1 cannot be cut off from the store"):
        lab.partition("tm-1")
    with pytest.raises(LabError, match="not for servers that were given"):
        lab.store_outage()
    faults = [event for event in lab.event_list() if event.kind is EventKind.FAULT]
    assert len(faults) == 1, "what was refused has not happened"


@pytest.mark.parametrize("how", ["cut", "blackhole", "to_store", "from_store"])
def test_partition_of_the_leader(on_shared_server: Scenario, how: str) -> None:
    lab = on_shared_server.lab
    job = running_job(on_shared_server)
    fault = lab.partition("leader", how)
    lab.wait_for_leader(other_than=fault).wait()
    lab.heal()
    check(on_shared_server, job)


def test_a_slow_network_and_a_lost_standby_cost_no_leadership(
    tmp_path: Path, shared: dict[str, str]
) -> None:
    # kazoo gives up a connection whose answers take longer than a sixth of the session timeout.
    options = {**shared, "high-availability.zookeeper.client.session-timeout": "10 s"}
    with LabCluster(3, 2, ha="zookeeper", directory=tmp_path / "lab", options=options) as lab:
        scenario = Scenario(lab, tmp_path)
        job = running_job(scenario)
        leader = lab.leader()
        lab.partition("leader", "delay")
        check(scenario, job)
        granted = [e for e in lab.event_list() if e.kind is EventKind.LEADERSHIP_GRANTED]
        assert [event.process for event in granted] == [leader]
        lab.heal()
        job = running_job(scenario)
        standby = next(name for name in ("jm-1", "jm-2") if name != leader)
        lab.partition(standby)
        lab.expire_session(standby)  # which nobody waits for, then
        check(scenario, job)
        assert lab.leader() == leader


@pytest.mark.slow
@pytest.mark.parametrize("sessions", [0.5, 3.0])
@pytest.mark.parametrize("how", ["pause", "kill"])
def test_outage_of_the_only_server(on_own_servers: Scenario, how: str, sessions: float) -> None:
    job = running_job(on_own_servers)
    on_own_servers.lab.store_outage(how=how)
    pass_seconds(sessions * SESSION_TIMEOUT)
    on_own_servers.lab.heal()
    check(on_own_servers, job)


@pytest.mark.slow
@pytest.mark.parametrize("on_own_servers", [3], indirect=True)
@pytest.mark.parametrize("which", ["leader", "follower"])
def test_one_of_three_servers_is_lost(on_own_servers: Scenario, which: str) -> None:
    lab = on_own_servers.lab
    job = running_job(on_own_servers)
    lab.store_outage(a_server(lab, which), how="kill")
    check(on_own_servers, job)
    lab.heal()


def a_server(lab: LabCluster, role: str) -> str:
    servers = lab._store._own_servers("test")  # type: ignore[attr-defined]
    return eventually(
        lambda: next((name for name in servers.names if servers.role(name) == role), None)
    )


def test_without_a_supervisor_the_session_timeout_decides(
    tmp_path: Path, shared: dict[str, str]
) -> None:
    with LabCluster(
        3, 2, ha="zookeeper", directory=tmp_path / "lab", options=shared, supervisor=False
    ) as lab:
        scenario = Scenario(lab, tmp_path)
        job = running_job(scenario)
        fault = lab.kill("leader")
        lab.wait_for_leader(other_than=fault).wait()
        granted = [e for e in lab.event_list() if e.kind is EventKind.LEADERSHIP_GRANTED]
        # Not before the servers may have ended the session of the dead leader.
        assert granted[-1].monotonic - fault.monotonic > SESSION_TIMEOUT / 2
        check(scenario, job)


VERBS: list[Callable[[LabCluster], object]] = [
    lambda lab: lab.partition(), lambda lab: lab.store_outage(), lambda lab: lab.heal(),
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_other_stores_have_no_such_faults(
    tmp_path: Path, verb: Callable[[LabCluster], object]
) -> None:
    lab = LabCluster(1, 0, directory=tmp_path / "lab", options=FAST)
    with lab, pytest.raises(LabError, match='use ha="zookeeper"'):
        verb(lab)
