"""Leader retrieval on ZooKeeper: one ``connection_info`` znode, watched.

Source: Flink's ``ZooKeeperLeaderRetrievalDriver``. The leader may be hawork or Flink.
"""

from __future__ import annotations

import contextlib

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.leader_information import read_and_watch
from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.backends.zookeeper.session import (
    AccessDeniedError,
    OutcomeUnknownError,
    ZooKeeperSession,
)
from hawork.core import options
from hawork.core.connection import ConnectionState
from hawork.core.errors import LeaderRetrievalError, StoreUnavailableError
from hawork.core.types import LeaderInformation
from hawork.ha.java_serialization import decode_leader_information
from hawork.ha.leader_retrieval import LeaderRetrievalObserver
from hawork.ha.serial_executor import SerialExecutor

_PATIENCE = 2.0  # seconds for the answer to whether a znode may be read
_FIX = (
    f"see who writes it and remove it, or correct option {options.ZK_ROOT.key} or "
    f"{options.CLUSTER_ID.key}"
)


class ZooKeeperLeaderRetrievalDriver:
    """Tells the observer who leads, and ``None`` when that is unsure.

    Unsure is: no server answers (unless suspended connections are tolerated), the session is
    lost, or the znode holds something that is not leader information.
    """

    def __init__(
        self,
        session: ZooKeeperSession,
        paths: ZNodePaths,
        executor: SerialExecutor,
        component_id: str,
        observer: LeaderRetrievalObserver,
    ) -> None:
        self._session = session
        self._path = paths.connection_info(component_id)
        # Where contenders come to be and a leader's address does; what the cluster is made in.
        self._places = (paths.component(component_id), paths.latch, paths.leader, paths.cluster)
        self._root = paths.root
        self._executor = executor
        self._observer = observer
        self._closed = False
        self._losses = 0
        session.add_listener(self._on_state)
        executor.submit(self._look)

    def close(self) -> None:
        self._closed = True
        self._session.remove_listener(self._on_state)

    def hindrance(self) -> str | None:
        """What of the cluster may not be read, or why no server can be asked.

        Every client is told whether a znode is there, and what a closed one lacks passes for
        absent: no leader can publish an address there.
        """
        if not self._session.state.usable:
            return self._session.absence()
        try:
            there = [path for path in self._places if self._is_readable(path)]
            if not there:
                self._is_readable(self._root)
        except (StoreUnavailableError, OutcomeUnknownError) as error:
            return str(error)
        return None

    def _is_readable(self, path: str) -> bool:
        """False for a znode that is not there; ``AccessDeniedError`` for one that is closed."""
        with contextlib.suppress(zk.NoNodeError):
            self._session.perform(lambda client: client.get_children_async(path), path, _PATIENCE)
            return True
        return False

    def _on_state(self, state: ConnectionState) -> None:
        tolerated = self._session.settings.tolerate_suspended
        if state.usable:
            self._executor.submit(self._look)
        elif state == ConnectionState.LOST or not tolerated:
            # At once: a look that waits for an answer on the lost connection is in the way.
            self._losses += 1
            self._tell(None)

    def _on_watch(self, _: zk.WatchedEvent) -> None:
        if not self._closed:
            self._executor.submit(self._look)

    def _look(self) -> None:
        if self._closed:
            return
        losses = self._losses
        try:
            found = read_and_watch(self._session, self._path, self._on_watch)
            self._tell(None if found is None else decode_leader_information(found[0]))
            if losses != self._losses:
                self._tell(None)  # what was read is older than the loss; another look follows
        except LeaderRetrievalError as error:
            self._tell(None, LeaderRetrievalError(f"znode {self._path}: {error}; {_FIX}"))
        except AccessDeniedError as error:
            self._tell(None, error)
        except StoreUnavailableError:
            return  # told by the state of the connection; looked at again when it is back

    def _tell(self, information: LeaderInformation | None, error: Exception | None = None) -> None:
        if self._closed:
            return
        self._observer.on_leader_information(information)
        if error is not None:
            self._observer.on_error(error)
