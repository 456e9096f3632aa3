"""Who stands for the leadership now, as far as a store tells; and which clusters it knows instead.

In ZooKeeper each contender has a znode in the latch, the standbys, too; that of a dead one stays
until its session ends. On Kubernetes only the holder of the lock is told, and when it renewed it: a
standby leaves no trace there. Source: Curator's ``LeaderLatch``, fabric8's ``LeaderElector``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration

_MOST_NAMED = 8
_MAP_SUFFIX = "-cluster-config-map"


@dataclass(frozen=True, slots=True)
class Election:
    """What a store said at ``wall`` (seconds since 1970)."""

    wall: float
    contenders: int | None = None
    """JobManagers in the latch, the leader among them; ``None``: this store does not tell."""
    renewed: float | None = None
    """When the lock was renewed last, by the clock of its holder; ``None`` on ZooKeeper."""
    lease: float | None = None
    """For how many seconds a lock lasts after that."""
    missing: str = ""
    """Says that there is no such cluster-id, and what there is instead; empty when there is."""

    @property
    def standbys(self) -> int | None:
        """JobManagers that wait, when one leads. A dead one counts until its session ends."""
        return None if self.contenders is None else max(0, self.contenders - 1)


class ElectionReader(Protocol):
    """Looks again and again, and keeps its connection."""

    def look(self) -> Election:
        """``StoreUnavailableError`` when the store does not answer."""

    def close(self) -> None: ...


def election_reader(config: Configuration) -> ElectionReader | None:
    """For this cluster's HA store, connecting with the first look; ``None`` for another kind."""
    kind = config.get_option(options.HA_TYPE)
    if kind == "zookeeper":
        return _ZooKeeper(config)
    if kind == "kubernetes":
        return _Kubernetes(config)
    return None


class _ZooKeeper:
    def __init__(self, config: Configuration) -> None:
        from hawork.backends.zookeeper.paths import ZNodePaths

        self._config = config
        self._paths = ZNodePaths.of(config)
        self._session: Any = None

    def look(self) -> Election:
        from hawork.backends.zookeeper.multi_read import read_children

        if self._session is None:
            from hawork.inspect.zookeeper_session import open_to_look

            self._session = open_to_look(self._config)
        paths = self._paths
        latch, cluster, root = read_children(
            self._session, [paths.latch, paths.cluster, paths.root]
        )
        now = SYSTEM_CLOCK.time()
        if cluster is None:
            return Election(now, missing=self._missing(root is not None, isinstance(root, list)))
        if isinstance(latch, list) or latch is None:
            return Election(now, contenders=len(latch or ()))
        return Election(now)  # it may not be listed by us

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    def _missing(self, has_root: bool, may_list: bool) -> str:
        paths = self._paths
        if not has_root:
            said = f"there is no {paths.root} in this ZooKeeper"
            return instead(said, self._clusters("/"), options.ZK_ROOT.key, "clusters are below")
        found = [path.removeprefix(paths.root.rstrip("/")) for path in self._clusters(paths.root)]
        cluster_id = self._config.get_option(options.CLUSTER_ID)
        said = f"there is no cluster {cluster_id} below {paths.root}"
        if not may_list:
            return f"{said}, and which there are we may not list: see {options.CLUSTER_ID.key}"
        return instead(said, found, options.CLUSTER_ID.key)

    def _clusters(self, parent: str) -> list[str]:
        """Znodes below ``parent`` that look like clusters; below ``/``: parents of such."""
        from hawork.backends.zookeeper.multi_read import read_children

        def below(paths: Sequence[str]) -> list[list[str]]:
            found = read_children(self._session, paths) if paths else []
            return [each if isinstance(each, list) else [] for each in found]

        (names,) = below([parent])
        paths = [f"{parent.rstrip('/')}/{name}" for name in names if name != "zookeeper"]
        children = below(paths)
        if parent != "/":
            return [path for path, each in zip(paths, children, strict=True) if _is_cluster(each)]
        inner = [
            (path, f"{path}/{name}")
            for path, each in zip(paths, children, strict=True)
            for name in each
        ]
        known = below([each for _, each in inner])
        return list(dict.fromkeys(
            path for (path, _), each in zip(inner, known, strict=True) if _is_cluster(each)
        ))  # fmt: skip


class _Kubernetes:
    def __init__(self, config: Configuration) -> None:
        from hawork.backends.kubernetes.client import KubernetesClient
        from hawork.backends.kubernetes.layout import Names
        from hawork.backends.kubernetes.settings import KubernetesSettings

        self._settings = KubernetesSettings.of(config)
        self._client = KubernetesClient(self._settings)
        self._name = Names(self._settings.cluster_id).cluster_map

    def look(self) -> Election:
        from hawork.backends.kubernetes.answers import ConfigMap
        from hawork.backends.kubernetes.layout import LOCK
        from hawork.backends.kubernetes.lock_record import Lock

        written = self._client.written(self._name)
        now = SYSTEM_CLOCK.time()
        if written is None:
            return Election(now, missing=self._missing())
        found = ConfigMap.of(written)
        lock = Lock.of(found)
        if lock is None:
            return Election(now)
        return Election(now, renewed=_renewed(found.annotations[LOCK]), lease=lock.lease_duration)

    def close(self) -> None:
        self._client.close()

    def _missing(self) -> str:
        names = (
            str(item["metadata"]["name"])
            for page in self._client.pages({})
            for item in page["items"]
        )
        found = [name.removesuffix(_MAP_SUFFIX) for name in names if name.endswith(_MAP_SUFFIX)]
        said = f"there is no ConfigMap {self._name} in namespace {self._settings.namespace}"
        return instead(said, found, options.K8S_CLUSTER_ID.key)


def instead(said: str, found: Iterable[str], key: str, here: str = "here are") -> str:
    """``said``, and the clusters that there are, or that there is none.

    >>> instead("there is no cluster /prod below /flink", ["/test"], "the.option")
    'there is no cluster /prod below /flink: here are /test; see the.option'
    """
    names = sorted(found)
    if not names:
        return f"{said}, and no other cluster: see {key}, or start its first JobManager"
    more = len(names) - _MOST_NAMED
    shown = ", ".join(names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
    return f"{said}: {here} {shown}; see {key}"


def _is_cluster(children: Sequence[str]) -> bool:
    return not {"leader", "jobgraphs", "execution-plans", "jobs"}.isdisjoint(children)


def _renewed(text: str) -> float | None:
    from hawork.inspect.configmaps import parse_time

    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        return parse_time(str(json.loads(text)["renewTime"]))
    return None
