"""One cluster-id on a real API server, seen by several processes' worth of backends."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hawork.backends.kubernetes.election_driver import KubernetesLeaderElectionDriver
from hawork.backends.kubernetes.layout import LOCK, Names
from hawork.backends.kubernetes.pointer_store import KubernetesPointerStore
from hawork.backends.kubernetes.services import KubernetesBackend, open_backend
from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.configuration import Configuration
from hawork.core.events import EventLog
from hawork.core.types import LeaderSessionID
from hawork.ha.pointer_store import Namespace
from hawork.servers.kubernetes.control_plane import ControlPlane
from tests.contract.harness import ElectionListener

LEASE, RENEW, RETRY = 2.0, 1.5, 0.3
"""Seconds: short enough to wait for, long enough for a busy machine."""


class Contender(ElectionListener):
    """A driver's listener that also remembers when it was told what."""

    def __init__(self, backend: KubernetesBackend) -> None:
        super().__init__()
        self.times: dict[tuple[str, LeaderSessionID | None], float] = {}
        self.tickets: list[dict[str, str]] = []
        self.backend = backend
        self.driver: KubernetesLeaderElectionDriver = backend.election_driver(self)

    def add(self, kind: str, value: Any = None) -> None:
        told = self.session_id if kind == "revoke" else value
        if kind in ("grant", "revoke"):
            self.times[kind, told] = time.monotonic()
        super().add(kind, value)

    def on_ticket_change(self, ticket: dict[str, str]) -> None:
        self.tickets.append(ticket)

    @property
    def leads(self) -> bool:
        return self.session_id is not None and self.driver.has_leadership(self.session_id)

    def pointers(self, namespace: Namespace) -> KubernetesPointerStore:
        return self.backend.pointers(namespace)


class SkewedClock:
    """The system's, with a wall clock that somebody set wrong."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic()

    def time(self) -> float:
        return SYSTEM_CLOCK.time() + self._seconds


class ClusterUnderTest:
    """Closes what it handed out, drivers first."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.control_plane = control_plane
        self.cluster_id = f"test-{uuid.uuid4().hex[:12]}"
        self.names = Names(self.cluster_id)
        self.events = EventLog("test")
        self._path = f"/api/v1/namespaces/{control_plane.namespace}/configmaps"
        self.contenders: list[Contender] = []
        self._closing: list[Callable[[], object]] = []

    def values(self, **values: Any) -> dict[str, Any]:
        """Options of the cluster; keyword arguments are names of ``hawork.core.options``."""
        common: dict[str, Any] = {
            options.HA_TYPE.key: "kubernetes",
            options.K8S_CLUSTER_ID.key: self.cluster_id,
            options.K8S_NAMESPACE.key: self.control_plane.namespace,
            options.K8S_LEASE_DURATION.key: f"{LEASE * 1000:g} ms",
            options.K8S_RENEW_DEADLINE.key: f"{RENEW * 1000:g} ms",
            options.K8S_RETRY_PERIOD.key: f"{RETRY * 1000:g} ms",
        }
        named = {getattr(options, name).key: value for name, value in values.items()}
        if options.K8S_CONFIG_FILE.key not in named:
            named[options.K8S_CONFIG_FILE.key] = str(self.control_plane.kubeconfig("jm-1"))
        return {key: value for key, value in {**common, **named}.items() if value is not None}

    def config(self, **values: Any) -> Configuration:
        return options.checked(self.values(**values))

    def open(self, clock: Clock = SYSTEM_CLOCK, **values: Any) -> KubernetesBackend:
        backend = open_backend(self.config(**values), clock, self.events)
        self._closing.append(backend.close)
        return backend

    def contender(self, clock: Clock = SYSTEM_CLOCK, **values: Any) -> Contender:
        contender = Contender(self.open(clock, **values))
        self.contenders.append(contender)
        self._closing.append(contender.driver.close)
        return contender

    def proxied(self, user: str, **values: Any) -> Contender:
        """A contender whose network can be broken: ``control_plane.proxy(user)``.

        It is healed when the cluster is closed.
        """
        file: Path = self.control_plane.kubeconfig(user, proxied=True)
        contender = self.contender(K8S_CONFIG_FILE=str(file), **values)
        self._closing.append(lambda: self.control_plane.proxy(user).heal())
        return contender

    # --- looking and meddling as the administrator ------------------------------------------

    def get(self, name: str | None = None) -> dict[str, Any] | None:
        status, found = self.control_plane.admin.call(
            "GET", f"{self._path}/{name or self.names.cluster_map}"
        )
        return found if status == 200 else None

    def data(self, name: str | None = None) -> dict[str, str]:
        return (self.get(name) or {}).get("data") or {}

    def lock(self) -> dict[str, Any]:
        return json.loads(self.lock_text())

    def lock_text(self) -> str:
        found = self.get()
        assert found is not None
        return str(found["metadata"]["annotations"][LOCK])

    def patch(
        self,
        name: str | None = None,
        *,
        data: Mapping[str, str | None] | None = None,
        annotations: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str | None] | None = None,
    ) -> None:
        metadata = {"annotations": annotations or {}, "labels": labels or {}}
        body = {"data": data or {}, "metadata": metadata}
        path = f"{self._path}/{name or self.names.cluster_map}"
        self.control_plane.admin.must("PATCH", path, body)

    def create(self, name: str, annotations: Mapping[str, str]) -> None:
        """A ConfigMap with the cluster's labels."""
        metadata = {"name": name, "labels": self.names.labels, "annotations": annotations}
        self.control_plane.admin.must("POST", self._path, {"metadata": metadata})

    def delete(self, name: str | None = None) -> None:
        self.control_plane.admin.must("DELETE", f"{self._path}/{name or self.names.cluster_map}")

    def close(self) -> None:
        for close in reversed(self._closing):
            close()
