"""The Kubernetes backend on a real API server, which all tests of a run share."""

from __future__ import annotations

import uuid
from pathlib import Path

from hawork.backends.registry import open_backend, release_leadership
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.events import EventLog
from hawork.core.options import checked
from hawork.ha.backend import Backend
from hawork.servers.kubernetes.control_plane import NAMESPACE
from tests.contract.kubernetes_server import shared_control_plane
from tests.contract.remembering import RememberingBackend, close_all, leading


class KubernetesHarness:
    """A cluster-id of its own. Closes what it handed out, drivers first."""

    def __init__(self, _: Path) -> None:
        self.config = checked(
            {
                "high-availability.type": "kubernetes",
                "high-availability.kubernetes.leader-election.lease-duration": "60 s",
                "high-availability.kubernetes.leader-election.renew-deadline": "50 s",
                "high-availability.kubernetes.leader-election.retry-period": "500 ms",
                "kubernetes.cluster-id": f"contract-{uuid.uuid4().hex[:12]}",
                "kubernetes.config.file": str(shared_control_plane().kubeconfig("jm-1")),
                "kubernetes.namespace": NAMESPACE,
            }
        )
        self.events = EventLog("test")
        self._backends: list[RememberingBackend] = []

    def backend(self) -> Backend:
        backend = RememberingBackend(open_backend(self.config, SYSTEM_CLOCK, self.events))
        self._backends.append(backend)
        return backend

    def expire_leadership(self) -> None:
        """Clear the lock under the leader's feet."""
        driver = leading(self._backends)
        if driver is not None:
            release_leadership(self.config, driver.ticket())

    def close(self) -> None:
        close_all(self._backends)
