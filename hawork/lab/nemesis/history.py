"""The history of the HA store while a drill ran, on each backend: who wrote, and while who led."""

from __future__ import annotations

from typing import Protocol

from hawork.core import options
from hawork.core.errors import LabError
from hawork.lab.nemesis.cluster import Breakable, OwnProcesses, Store


class History(Protocol):
    """What the store itself noted; begins with its making."""

    def judge(self, harmed: set[str]) -> tuple[int, list[str]]:
        """How many pointers were written, and the writes that no leader could make.

        ``harmed`` are the jobs whose entries the drill itself changed.
        """

    def close(self) -> None: ...


def history_of(cluster: Breakable, store: Store) -> History:
    """The history of this cluster from now on. ``LabError`` when its store tells none."""
    kind = cluster.config.get_option(options.HA_TYPE)
    if kind == "embedded":
        from hawork.backends.embedded.directory import directory_of
        from hawork.backends.embedded.layout import DATABASE
        from hawork.lab.nemesis.rows import RowHistory

        return RowHistory(directory_of(cluster.config) / DATABASE)
    if kind == "kubernetes":
        return _OfConfigMaps(cluster, store)
    if kind == "zookeeper":
        return _OfZNodes(cluster, store)
    raise LabError(f"high-availability.type {kind} keeps no history")


class _OfConfigMaps:
    def __init__(self, cluster: Breakable, store: Store) -> None:
        from hawork.lab.nemesis.config_maps import ConfigMapHistory

        cluster_id = str(cluster.config.get_option(options.K8S_CLUSTER_ID))
        self._history = ConfigMapHistory(
            store.control_plane, cluster_id, flink=not isinstance(cluster, OwnProcesses)
        )

    def judge(self, harmed: set[str]) -> tuple[int, list[str]]:
        writes, broken = self._history.judge()
        return writes, [each for each in broken if not any(job in each for job in harmed)]

    def close(self) -> None:
        self._history.close()


class _OfZNodes:
    def __init__(self, cluster: Breakable, store: Store) -> None:
        from hawork.backends.zookeeper.paths import ZNodePaths
        from hawork.lab.nemesis.znodes import ZNodeHistory

        if not store.server_data():
            raise LabError(
                "the transactions of ZooKeeper servers that were given cannot be read: leave out "
                f"option {options.ZK_QUORUM.key} and the lab starts its own"
            )
        self._history = ZNodeHistory(
            store.server_data(), ZNodePaths.of(cluster.config),
            flink=not isinstance(cluster, OwnProcesses),
        )  # fmt: skip

    def judge(self, harmed: set[str]) -> tuple[int, list[str]]:
        writes, broken = self._history.judge()
        return writes, [each for each in broken if not any(job in each for job in harmed)]

    def close(self) -> None:
        return  # it only reads
