"""The network and the servers fail: on ZooKeeper every job still ends exact, by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind
from hawork.lab import LabCluster
from hawork.lab.job import Job
from hawork.lab.nemesis.znodes import check_history
from hawork.testing import eventually
from tests.contract.zookeeper_harness import shared_servers
from tests.faults.scenario import FAST, Scenario
from tests.faults.shared_lab import SharedLab, scenario, shared_lab_on
from tests.faults.stores import on_shared_zookeeper
from tests.kept_runs import check_kept_run

__all__ = ["lab_with_a_server", "lab_with_servers", "scenario", "shared_lab"]

SESSION_TIMEOUT = 2.0
OPTIONS = {**FAST, "high-availability.zookeeper.client.session-timeout": "2 s"}


@pytest.fixture
def shared() -> dict[str, str]:
    """The options of a cluster on the server that all tests share."""
    return {**OPTIONS, **on_shared_zookeeper()}


def on_shared_server() -> tuple[str, dict[str, str]]:
    return "zookeeper", {**OPTIONS, **on_shared_zookeeper()}


def on_own_servers() -> tuple[str, dict[str, str]]:
    return "zookeeper", OPTIONS


shared_lab = shared_lab_on(on_shared_server)
lab_with_a_server = shared_lab_on(on_own_servers)
lab_with_servers = shared_lab_on(on_own_servers, store_servers=3)


@pytest.fixture
def with_a_server(
    lab_with_a_server: SharedLab, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scenario]:
    with lab_with_a_server.scenario(tmp_path, request) as scenario:
        yield scenario


@pytest.fixture
def with_servers(
    lab_with_servers: SharedLab, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scenario]:
    with lab_with_servers.scenario(tmp_path, request) as scenario:
        yield scenario


def running_job(scenario: Scenario) -> Job:
    """A job of some seconds that has completed a checkpoint."""
    job = scenario.submit(end=9000)
    scenario.wait_for_event(EventKind.CHECKPOINT_COMPLETED)
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


def test_kill_the_leader(scenario: Scenario, tmp_path: Path) -> None:
    job = running_job(scenario)
    fault = scenario.lab.kill("leader")
    scenario.lab.wait_for_leader(other_than=fault).wait()
    check(scenario, job)
    kept = check_kept_run(scenario.lab, tmp_path)
    assert kept.verdict().valid
    assert "kill" in [takeover.cause for takeover in kept.timeline().takeovers]
    assert kept.store_rows().table.str.endswith("/latch").sum() == 2


def test_pause_the_leader_past_its_session(scenario: Scenario) -> None:
    job = running_job(scenario)
    fault = scenario.lab.pause("leader")
    scenario.lab.wait_for_leader(other_than=fault).wait()
    scenario.lab.resume(fault.facts["target"])
    scenario.wait_for_event(EventKind.LEADERSHIP_REVOKED, process=fault.facts["target"])
    check(scenario, job)


def test_expire_the_leaders_session(scenario: Scenario) -> None:
    lab = scenario.lab
    before = len(faults(lab))
    job = running_job(scenario)
    fault = lab.expire_session("leader")
    lab.wait_for_leader(other_than=fault).wait()
    name = fault.facts["target"]
    scenario.wait_for_event(EventKind.LEADERSHIP_REVOKED, process=name)
    # Its session is a new one, and the supervisor was told the new ticket.
    assert lab.processes[name].alive
    check(scenario, job)
    with pytest.raises(LabError, match="no process 'tm-99'"):
        lab.expire_session("tm-99")
    with pytest.raises(LabError, match="there is no partition 'flood': choose one of cut, "):
        lab.partition("leader", "flood")
    with pytest.raises(LabError, match="tm-1 cannot be cut off from the store"):
        lab.partition("tm-1")
    with pytest.raises(LabError, match="not for servers that were given"):
        lab.store_outage()
    assert len(faults(lab)) == before + 1, "what was refused has not happened"


def faults(lab: LabCluster) -> list[Event]:
    return [event for event in lab.event_list() if event.kind is EventKind.FAULT]


@pytest.mark.parametrize("how", ["cut", "blackhole", "to_store", "from_store"])
def test_partition_of_the_leader(scenario: Scenario, how: str) -> None:
    lab = scenario.lab
    job = running_job(scenario)
    fault = lab.partition("leader", how)
    lab.wait_for_leader(other_than=fault).wait()
    lab.heal()
    check(scenario, job)


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
def test_outage_of_the_only_server(with_a_server: Scenario, how: str, sessions: float) -> None:
    job = running_job(with_a_server)
    with_a_server.lab.store_outage(how=how)
    pass_seconds(sessions * SESSION_TIMEOUT)
    with_a_server.lab.heal()
    check(with_a_server, job)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["leader", "follower"])
def test_one_of_three_servers_is_lost(with_servers: Scenario, which: str) -> None:
    lab = with_servers.lab
    job = running_job(with_servers)
    lab.store_outage(a_server(lab, which), how="kill")
    check(with_servers, job)
    lab.heal()


def a_server(lab: LabCluster, role: str) -> str:
    servers = lab._store._own_servers("test")  # type: ignore[attr-defined]
    return eventually(
        lambda: next((name for name in servers.names if servers.role(name) == role), None)
    )


def test_without_a_supervisor_the_session_timeout_decides(
    tmp_path: Path, shared: dict[str, str]
) -> None:
    # The dead leader may not have been heard of for some seconds when the machine is busy.
    options = {**shared, "high-availability.zookeeper.client.session-timeout": "8 s"}
    with LabCluster(
        3, 2, ha="zookeeper", directory=tmp_path / "lab", options=options, supervisor=False
    ) as lab:
        scenario = Scenario(lab, tmp_path)
        job = running_job(scenario)
        fault = lab.kill("leader")
        lab.wait_for_leader(other_than=fault).wait()
        granted = [e for e in lab.event_list() if e.kind is EventKind.LEADERSHIP_GRANTED]
        # Not before the servers may have ended the session of the dead leader.
        assert granted[-1].monotonic - fault.monotonic > 8.0 / 2
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
