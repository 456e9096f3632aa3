"""A cluster's leader, as a client finds it, and what a cluster's processes ask their HA store."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

import psutil

from hawork.backends.registry import open_backend
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.events import NullEventSink
from hawork.core.types import REST_SERVER, LeaderInformation, LeaderSessionID
from hawork.lab import FlinkCluster, LabCluster
from hawork.lab.stores.kubernetes import KubernetesStore
from hawork.servers.kubernetes.audit import AuditedRequest
from tests.benchmarks import bench_kubernetes, bench_zookeeper
from tests.contract.zookeeper_harness import shared_servers

_WHOLE_SECONDS = 1.0
"""How far the start of a process may be off: the system counts from when it was booted."""


class Watching:
    """Who is found as the leader of the REST endpoint, and when."""

    def __init__(self, config: Configuration) -> None:
        self._found: list[tuple[float, LeaderInformation | None]] = []
        self._told = threading.Condition()
        self._backend = open_backend(config, SYSTEM_CLOCK, NullEventSink())
        self._backend.retrieval_driver(REST_SERVER, self)

    def on_leader_information(self, information: LeaderInformation | None) -> None:
        with self._told:
            self._found.append((time.monotonic(), information))
            self._told.notify_all()

    def on_error(self, error: Exception) -> None:
        """Looked for again by the driver."""

    @property
    def leader(self) -> LeaderSessionID | None:
        with self._told:
            information = self._found[-1][1] if self._found else None
        return information.session_id if information else None

    def found(self, since: float, other_than: LeaderSessionID | None) -> float:
        """Seconds from ``since`` until another leader is found; waits for it."""

        def look() -> float | None:
            for at, information in self._found:
                new = information is not None and information.session_id != other_than
                if new and at >= since:
                    return at - since
            return None

        with self._told:
            assert self._told.wait_for(lambda: look() is not None, timeout=120)
            return look() or 0.0

    def close(self) -> None:
        self._backend.close()


class Meter(Protocol):
    """One HA service, with the same timeouts for everybody."""

    def options(self) -> Mapping[str, str]: ...

    def standing(self, lab: LabCluster | FlinkCluster) -> set[str]:
        """The JobManagers that take part in the election by now."""

    def asked(self, lab: LabCluster | FlinkCluster) -> Mapping[str, int]:
        """How often each JobManager asked the server so far; only differences mean anything."""


class ZooKeeperMeter:
    """Sessions of one server for all labs; counted are its packets, heartbeats included."""

    def options(self) -> Mapping[str, str]:
        return bench_zookeeper.options(bench_zookeeper.SESSION)

    def standing(self, lab: LabCluster | FlinkCluster) -> set[str]:
        return set(self._sessions(lab))

    def asked(self, lab: LabCluster | FlinkCluster) -> Mapping[str, int]:
        servers = shared_servers()
        text = servers.four_letters(servers.names[0], "cons")
        packets = {
            int(session, 16): int(count)
            for count, session in re.findall(r"recved=(\d+),.*?sid=(0x[0-9a-f]+)", text)
        }
        return {name: packets.get(session, 0) for name, session in self._sessions(lab).items()}

    def _sessions(self, lab: LabCluster | FlinkCluster) -> dict[str, int]:
        """From the owners of the latch's znodes."""
        rows = lab.store_rows()
        latch = rows[rows.table.str.endswith("/latch")]
        found = re.findall(r"\((\S+), session (0x[0-9a-f]+)", " ".join(latch.value))
        return {name: int(session, 16) for name, session in found}


class KubernetesMeter:
    """A control plane for each lab, with a user per process; counted are audited requests."""

    def options(self) -> Mapping[str, str]:
        lease = bench_kubernetes.LEASE
        return bench_kubernetes.options(lease, lease / 4)

    def standing(self, lab: LabCluster | FlinkCluster) -> set[str]:
        """Whoever asked for ConfigMaps has read the lock, and takes it when it is free."""
        since = {
            process.name: psutil.Process(process.pid).create_time() - _WHOLE_SECONDS
            for process in lab.processes.values()
            if process.alive
        }
        return {
            request.user
            for request in self._requests(lab)
            if request.resource == "configmaps"
            and request.received >= since.get(request.user, math.inf)
        }

    def asked(self, lab: LabCluster | FlinkCluster) -> Mapping[str, int]:
        return Counter(request.user for request in self._requests(lab))

    def _requests(self, lab: LabCluster | FlinkCluster) -> list[AuditedRequest]:
        store = lab._store
        assert isinstance(store, KubernetesStore)
        return store.control_plane.requests()


METERS: Mapping[str, Meter] = {"zookeeper": ZooKeeperMeter(), "kubernetes": KubernetesMeter()}
