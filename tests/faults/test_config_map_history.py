"""The witness sees what it is there to see."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hawork.backends.kubernetes.layout import CLAIMED_BY
from hawork.core.types import JobID
from hawork.ha.pointer_store import JOB_GRAPHS, checkpoints
from hawork.lab.nemesis.config_maps import ConfigMapHistory
from tests.backends.kubernetes import kubernetes_setup
from tests.backends.kubernetes.kubernetes_setup import ClusterUnderTest
from tests.contract.kubernetes_server import shared_control_plane

JOB = JobID("0" * 31 + "a")
Meddle = Callable[[ClusterUnderTest], None]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterUnderTest]:
    """Its leases are long: nobody here waits for one to end."""
    for name, seconds in (("LEASE", 20.0), ("RENEW", 15.0), ("RETRY", 1.0)):
        monkeypatch.setattr(kubernetes_setup, name, seconds)
    cluster = ClusterUnderTest(shared_control_plane())
    yield cluster
    cluster.close()


def without_the_lock(cluster: ClusterUnderTest) -> None:
    for each in cluster.contenders:
        each.driver.close()
    cluster.patch(data={"hawork.jobgraphs.b": "1,{}"})


def under_an_old_claim(cluster: ClusterUnderTest) -> None:
    name = cluster.names.job_map(JOB)
    cluster.patch(name, data={"hawork.checkpoints.2": "1,{}"}, annotations={CLAIMED_BY: "old"})


def under_no_claim(cluster: ClusterUnderTest) -> None:
    cluster.patch(cluster.names.job_map(JOB), annotations={CLAIMED_BY: None})
    cluster.patch(cluster.names.job_map(JOB), data={"hawork.checkpoints.2": "1,{}"})


def late(cluster: ClusterUnderTest) -> None:
    """A ConfigMap that a deposed leader creates, after the next one wrote."""
    old = cluster.lock()["holderIdentity"]
    for each in cluster.contenders:
        each.driver.close()
    following = cluster.contender()
    session_id = following.wait_for_grant()
    following.pointers(JOB_GRAPHS).create("later", b"{}", session_id)
    cluster.create(cluster.names.job_map(JobID("0" * 31 + "b")), {CLAIMED_BY: old})


@pytest.mark.parametrize("meddle", [without_the_lock, under_an_old_claim, under_no_claim, late])
def test_a_write_of_somebody_else_is_found(cluster: ClusterUnderTest, meddle: Meddle) -> None:
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    history = ConfigMapHistory(cluster.control_plane, cluster.cluster_id)
    pointers = leader.pointers(checkpoints(JOB))
    leader.pointers(JOB_GRAPHS).create("a", b"{}", session_id)
    pointers.create("1", b"{}", session_id)
    leader.driver.close()
    following = cluster.contender()
    session_id = following.wait_for_grant()
    following.pointers(checkpoints(JOB)).delete("1", session_id)
    assert history.check() == 4  # with the note that the job has a ConfigMap
    history = ConfigMapHistory(cluster.control_plane, cluster.cluster_id)
    meddle(cluster)
    with pytest.raises(AssertionError, match="at version"):
        history.check()
