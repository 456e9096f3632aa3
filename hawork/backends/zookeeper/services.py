"""The ZooKeeper backend: one session per process, and what is built on it.

Source: Flink's ``ZooKeeperLeaderElectionHaServices``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.election_driver import ZooKeeperLeaderElectionDriver
from hawork.backends.zookeeper.ensemble import EnsembleTracker
from hawork.backends.zookeeper.latch import Latch
from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.backends.zookeeper.pointer_store import ZooKeeperPointerStore, read_together
from hawork.backends.zookeeper.retrieval_driver import ZooKeeperLeaderRetrievalDriver
from hawork.backends.zookeeper.session import OutcomeUnknownError, ZooKeeperSession
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core.clock import Clock
from hawork.core.configuration import Configuration
from hawork.core.errors import PossibleInconsistentStateError
from hawork.core.events import EventSink
from hawork.core.types import NO_LEADERSHIP, LeaderSessionID, Versioned
from hawork.ha.backend import Fullness
from hawork.ha.leader_election import LeaderElectionListener
from hawork.ha.leader_retrieval import LeaderRetrievalObserver
from hawork.ha.pointer_store import JOB_GRAPHS, RESULTS, Namespace
from hawork.ha.serial_executor import SerialExecutor

_LARGEST_PACKET = 0xFFFFF
"""Bytes that servers and clients take for one packet. Source: ``jute.maxbuffer``'s default."""
_LENGTH = 4  # bytes in front of each name in a list of children


class ZooKeeperBackend:
    """The HA store of one cluster in a ZooKeeper ensemble, as one process sees it."""

    def __init__(self, session: ZooKeeperSession, paths: ZNodePaths, clock: Clock) -> None:
        self._session = session
        self._paths = paths
        self._clock = clock
        self._latch = Latch(session, paths)
        self._executor = SerialExecutor("zookeeper-watch")
        self._tracker = EnsembleTracker(session, self._executor)

    def election_driver(self, listener: LeaderElectionListener) -> ZooKeeperLeaderElectionDriver:
        return ZooKeeperLeaderElectionDriver(
            self._session, self._paths, self._latch, self._executor, listener, self._clock
        )

    def retrieval_driver(
        self, component_id: str, observer: LeaderRetrievalObserver
    ) -> ZooKeeperLeaderRetrievalDriver:
        return ZooKeeperLeaderRetrievalDriver(
            self._session, self._paths, self._executor, component_id, observer
        )

    def pointers(self, namespace: Namespace) -> ZooKeeperPointerStore:
        return ZooKeeperPointerStore(self._session, self._paths, self._latch, namespace)

    def entries_of(
        self, namespaces: Sequence[Namespace]
    ) -> Sequence[Sequence[tuple[str, Versioned[bytes]]]]:
        return read_together(self._session, [self.pointers(each) for each in namespaces])

    def drop(self, namespace: Namespace | None, session_id: LeaderSessionID | None) -> None:
        if namespace is not None:
            self.pointers(namespace).drop(session_id or NO_LEADERSHIP)
            return
        try:
            self._delete_tree(self._paths.cluster)
            # As Flink does: parents that no other process uses go, too.
            parent = self._paths.cluster.rpartition("/")[0]
            with contextlib.suppress(zk.NotEmptyError, zk.NoNodeError):
                while len(parent) >= len(self._paths.root) and parent:
                    self._delete(parent)
                    parent = parent.rpartition("/")[0]
        except zk.NotEmptyError:
            raise PossibleInconsistentStateError(
                f"{self._paths.cluster} was only removed in part, because a process still writes "
                "to it: stop the cluster's JobManagers and repeat it"
            ) from None
        except OutcomeUnknownError as error:
            raise PossibleInconsistentStateError(
                f"it is unknown what of {self._paths.cluster} was removed: {error}; repeat it"
            ) from None

    def fullest(self) -> Fullness:
        """The longest list of children: one is answered in a single packet, or not at all."""
        parents = [self._paths.namespace(each) for each in (JOB_GRAPHS, RESULTS)]
        sizes = {path: self._list_size(path) for path in (*parents, self._paths.jobs)}
        path = max(sizes, key=lambda path: sizes[path])
        return Fullness(f"list of the children of znode {path}", sizes[path], _LARGEST_PACKET)

    def _list_size(self, path: str) -> int:
        try:
            children = self._session.read(lambda client: client.get_children_async(path), path)
        except zk.NoNodeError:
            return 0
        return sum(len(child.encode()) + _LENGTH for child in children)

    def close(self) -> None:
        self._session.close()
        self._executor.close()

    def _delete_tree(self, path: str) -> None:
        with contextlib.suppress(zk.NoNodeError):
            children = self._session.read(lambda client: client.get_children_async(path), path)
            for child in children:
                self._delete_tree(f"{path}/{child}")
            self._delete(path)

    def _delete(self, path: str) -> None:
        self._session.perform(lambda client: client.delete_async(path), path)


def open_backend(config: Configuration, clock: Clock, events: EventSink) -> ZooKeeperBackend:
    """Connect to the ensemble that the options name.

    ``ConfigurationError`` or ``StoreUnavailableError`` in one sentence.
    """
    paths = ZNodePaths.of(config)
    session = ZooKeeperSession(ZooKeeperSettings.of(config), clock, events)
    session.open()
    try:
        return ZooKeeperBackend(session, paths, clock)
    except BaseException:  # no thread is left, say
        session.close()
        raise
