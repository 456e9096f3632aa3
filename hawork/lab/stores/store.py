"""The HA store of a lab: what has to be started for it, and the faults it can have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hawork.backends.kubernetes.rights import JOB_MANAGER_VERBS
from hawork.core import options
from hawork.core.configuration import Configuration, flatten
from hawork.core.errors import LabError
from hawork.lab.run_directory import RunDirectory
from hawork.lab.stores.given import GivenStore
from hawork.lab.stores.kubernetes import GivenKubernetesStore, KubernetesStore
from hawork.lab.stores.network import PreparedFault
from hawork.lab.stores.zookeeper import ZooKeeperStore as ZooKeeperStore
from hawork.servers.kubernetes.control_plane import ControlPlane


class LabStore(Protocol):
    """The store of one lab; ``LabError`` for a fault that this store cannot have.

    A fault is checked when it is asked for, and done when its ``PreparedFault`` is called: what is
    refused has not happened, and is not an event.
    """

    options: Mapping[str, str]
    """What the lab's processes must know to reach it."""
    no_sessions: str
    """Why no process has a session with it; empty where each has one."""
    own: bool
    """Whether its servers are the lab's own, and end with it."""
    secrets: Sequence[str]
    """What opens its servers, besides what the options say."""

    @property
    def control_plane(self) -> ControlPlane:
        """The API server and its etcd, of a store that has servers of that kind of its own."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def config_file(self, process: str) -> Path:
        """The configuration of one process."""

    def partition(self, process: str, how: str) -> PreparedFault: ...

    def outage(self, server: str | None, how: str) -> PreparedFault: ...

    def heal(self) -> PreparedFault:
        """End every partition and outage."""

    def expire_session(
        self, process: str, config: Configuration, session: str, *, connected: bool = False
    ) -> None:
        """Close a process's session, on its connection or, unless ``connected``, without one."""

    def server_data(self) -> Sequence[Path]:
        """Where each ZooKeeper server of the lab's own keeps its transactions; else none."""


def lab_store(
    run: RunDirectory,
    ha: str,
    more: Mapping[str, Any] | None,
    servers: int,
    verbs: Sequence[str] = JOB_MANAGER_VERBS,
) -> LabStore:
    """The store for ``high-availability.type`` ``ha``; servers are started by ``start``.

    No server is started when the options name a quorum, a kubeconfig or a context of one.
    ``verbs`` are what JobManagers may do on a control plane of the lab's own. ``LabError`` for
    more ``servers`` than one where no ensemble is started.
    """
    values = flatten(more or {})
    quorum = values.get(options.ZK_QUORUM.key)
    if servers != 1 and (ha.lower() != "zookeeper" or quorum is not None):
        there = "a quorum that is named" if quorum is not None else f'ha="{ha}"'
        raise LabError(f'{servers} servers: {there} starts none of them; use ha="zookeeper"')
    if ha.lower() == "kubernetes":
        named = any(key.key in values for key in (options.K8S_CONFIG_FILE, options.K8S_CONTEXT))
        return GivenKubernetesStore(run, values) if named else KubernetesStore(run, verbs)
    if ha.lower() != "zookeeper":
        return GivenStore(
            run,
            f'needs a store that is a server: use ha="zookeeper" or "kubernetes", not {ha}',
        )
    return ZooKeeperStore(run, None if quorum is None else str(quorum), servers)
