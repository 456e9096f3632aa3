"""Which store the stories run on: that of ``HAWORK_FAULTS_HA``, or the embedded one."""

from __future__ import annotations

import os
import uuid
from typing import Protocol

from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.core.events import Event, EventKind
from hawork.lab import LabCluster, judge
from tests.contract.kubernetes_server import shared_control_plane
from tests.contract.zookeeper_harness import shared_servers
from tests.faults.witness import StoreWitness
from tests.faults.znode_history import check_history


def store_options() -> tuple[str, dict[str, str]]:
    """The ``high-availability.type``, and the options that go with it."""
    ha = os.environ.get("HAWORK_FAULTS_HA", "embedded")
    given = {"zookeeper": on_shared_zookeeper, "kubernetes": on_shared_kubernetes}
    return ha, given[ha]() if ha in given else {}


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
        return _Events()
    return StoreWitness(lab.directory / "storage" / "lab" / "ha" / "ha.db")


class _Events:
    """The API server keeps no history of writes: the leaders' own word, held against the terms."""

    def check(self, events: list[Event]) -> int:
        verdict = judge(events)
        assert verdict.valid, str(verdict)
        return sum(event.kind is EventKind.POINTER_WRITTEN for event in events)


class _ServersLog:
    def __init__(self, lab: LabCluster) -> None:
        self._paths = ZNodePaths.of(lab.config)

    def check(self, events: list[Event]) -> int:
        return check_history(shared_servers().data("zk-1"), self._paths)
