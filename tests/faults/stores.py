"""Which store the stories run on: that of ``HAWORK_FAULTS_HA``, or the embedded one."""

from __future__ import annotations

import os
import uuid
from typing import Protocol

from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.core.events import Event
from hawork.lab import LabCluster
from tests.contract.zookeeper_harness import shared_servers
from tests.faults.witness import StoreWitness
from tests.faults.znode_history import check_history


def store_options() -> tuple[str, dict[str, str]]:
    """The ``high-availability.type``, and the options that go with it."""
    ha = os.environ.get("HAWORK_FAULTS_HA", "embedded")
    return ha, on_shared_zookeeper() if ha == "zookeeper" else {}


def on_shared_zookeeper() -> dict[str, str]:
    """The options of a cluster of its own on the server that all tests share."""
    return {
        "high-availability.zookeeper.quorum": shared_servers().quorum,
        "high-availability.zookeeper.path.root": f"/faults-{uuid.uuid4().hex[:8]}",
        "high-availability.zookeeper.client.session-timeout": "2 s",
    }


class Witness(Protocol):
    """Somebody in the store who sees every accepted write."""

    def check(self, events: list[Event]) -> int:
        """Every write was the present leader's; returns how many there were."""


def witness_of(lab: LabCluster) -> Witness:
    if store_options()[0] == "zookeeper":
        return _ServersLog(lab)
    return StoreWitness(lab.directory / "storage" / "lab" / "ha" / "ha.db")


class _ServersLog:
    def __init__(self, lab: LabCluster) -> None:
        self._paths = ZNodePaths.of(lab.config)

    def check(self, events: list[Event]) -> int:
        return check_history(shared_servers().data("zk-1"), self._paths)
