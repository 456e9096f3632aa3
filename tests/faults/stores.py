"""Which store the stories run on: that of ``HAWORK_FAULTS_HA``, or the embedded one."""

from __future__ import annotations

import os
import uuid
from typing import Protocol

from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.core import options
from hawork.core.events import Event
from hawork.lab import LabCluster
from hawork.lab.nemesis.config_maps import ConfigMapHistory
from hawork.lab.nemesis.znodes import check_history
from tests.contract.kubernetes_server import shared_control_plane
from tests.contract.zookeeper_harness import shared_servers
from tests.faults.scenario import FAST, PATIENT
from tests.faults.witness import StoreWitness

_LEASE = "high-availability.embedded.leader-election"


def store_options() -> tuple[str, dict[str, str]]:
    """The ``high-availability.type``, and the options that go with it."""
    ha = os.environ.get("HAWORK_FAULTS_HA", "embedded")
    given = {"zookeeper": on_shared_zookeeper, "kubernetes": on_shared_kubernetes}
    return ha, given[ha]() if ha in given else {}


def chosen_store() -> tuple[str, dict[str, str]]:
    """The same, with leases short enough to wait for their end, and long enough to be renewed.

    Who is to stand still at a step of a job has to lead until it comes to that step.
    """
    ha, store = store_options()
    return ha, {
        **FAST,
        f"{_LEASE}.lease-duration": "2 s",
        f"{_LEASE}.renew-deadline": "1600 ms",
        **store,
    }


def patient_store() -> tuple[str, dict[str, str]]:
    """The same, with leases that do not end: by a kill alone is a leader replaced."""
    ha, store = store_options()
    return ha, {**store, **PATIENT}


def on_shared_zookeeper() -> dict[str, str]:
    """The options of a cluster of its own on the server that all tests share."""
    return {
        "high-availability.zookeeper.quorum": shared_servers().quorum,
        "high-availability.zookeeper.path.root": f"/faults-{uuid.uuid4().hex[:8]}",
        "high-availability.zookeeper.client.session-timeout": "2 s",
    }


def on_shared_kubernetes() -> dict[str, str]:
    """The options of a cluster of its own on the API server that all tests share."""
    control_plane = shared_control_plane()
    return {
        "kubernetes.config.file": str(control_plane.kubeconfig("jm-1")),
        "kubernetes.namespace": control_plane.namespace,
        "kubernetes.cluster-id": f"faults-{uuid.uuid4().hex[:8]}",
        "high-availability.kubernetes.leader-election.lease-duration": "2 s",
        "high-availability.kubernetes.leader-election.renew-deadline": "1500 ms",
        "high-availability.kubernetes.leader-election.retry-period": "300 ms",
    }


class Witness(Protocol):
    """Somebody in the store who sees every accepted write."""

    def check(self, events: list[Event]) -> int:
        """Every write was the present leader's; returns how many there were."""


def witness_of(lab: LabCluster) -> Witness:
    ha = os.environ.get("HAWORK_FAULTS_HA", "embedded")
    if ha == "zookeeper":
        return _ServersLog(lab)
    if ha == "kubernetes":
        return _ServersWord(lab)
    return StoreWitness(lab.directory / "storage" / "lab" / "ha" / "ha.db")


class _ServersWord:
    def __init__(self, lab: LabCluster) -> None:
        cluster_id = str(lab.config.get_option(options.K8S_CLUSTER_ID))
        self._history = ConfigMapHistory(shared_control_plane(), cluster_id)

    def check(self, events: list[Event]) -> int:
        return self._history.check()


class _ServersLog:
    def __init__(self, lab: LabCluster) -> None:
        self._paths = ZNodePaths.of(lab.config)

    def check(self, events: list[Event]) -> int:
        return check_history(shared_servers().data("zk-1"), self._paths)
