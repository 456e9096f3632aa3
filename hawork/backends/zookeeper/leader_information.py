"""``connection_info`` znodes as their leader writes and guards them, in Flink's bytes.

Stricter than Flink's: the write is one transaction with a check of the leader's latch node.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.latch import Fence, Latch, LatchNode, ensure_path
from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.backends.zookeeper.session import OutcomeUnknownError, ZooKeeperSession
from hawork.core.errors import (
    LeaderRetrievalError,
    LeadershipLostError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.types import LeaderInformation, LeaderSessionID
from hawork.ha.java_serialization import decode_leader_information, encode_leader_information
from hawork.ha.serial_executor import SerialExecutor

_TRIES = 10  # each further one means that another process changed the node in between

OnChange = Callable[[str, LeaderInformation | None], None]
Watcher = Callable[[zk.WatchedEvent], None]


class PublishedInformation:
    """What one contender published: written fenced, and watched while it leads."""

    def __init__(
        self,
        session: ZooKeeperSession,
        paths: ZNodePaths,
        latch: Latch,
        executor: SerialExecutor,
        on_change: OnChange,
    ) -> None:
        self._session = session
        self._paths = paths
        self._latch = latch
        self._executor = executor
        self._on_change = on_change
        self._lock = threading.Lock()
        self._published: dict[str, Watcher] = {}
        self._muted = False

    def publish(self, component_id: str, information: LeaderInformation) -> None:
        """Write the information as an ephemeral node of this session.

        Errors as ``LeaderElectionDriver.publish_leader_information``.
        """
        path = self._paths.connection_info(component_id)
        data = encode_leader_information(information)
        fence = self._latch.fence(information.session_id)
        self._decided(path, lambda: self._write(path, data, fence))
        with self._lock:
            # One callable for each: kazoo keeps watchers in a set.
            self._published.setdefault(component_id, lambda _: self.look(component_id))
        self.look(component_id)

    def delete(self, component_id: str, session_id: LeaderSessionID) -> None:
        """Remove the information; absent is fine. Errors as for ``publish``."""
        self._delete(component_id, self._latch.fence(session_id))

    def withdraw(self, node: LatchNode) -> None:
        """Remove everything published while ``node``, which is still there, stood first."""
        with self._lock:
            components = list(self._published)
        with contextlib.suppress(LeadershipLostError):
            for component_id in components:
                self._delete(component_id, node.fence)
        self.forget()

    def forget(self) -> None:
        """What was published is gone, with the session or the leadership."""
        with self._lock:
            self._published.clear()

    def mute(self) -> None:
        """Report no more changes."""
        self._muted = True

    def look_at_all(self) -> None:
        """Look again at everything published; after a connection came back."""
        with self._lock:
            components = list(self._published)
        for component_id in components:
            self.look(component_id)

    def look(self, component_id: str) -> None:
        """Watch the node, and report what is there now."""
        self._executor.submit(lambda: self._look(component_id))

    def _look(self, component_id: str) -> None:
        changed = self._watcher(component_id)
        if changed is None:
            return
        path = self._paths.connection_info(component_id)
        try:
            found = read_and_watch(self._session, path, changed)
        except StoreUnavailableError:
            return  # looked at again when the connection is back
        information = None
        if found is not None and self._is_ours(found[1]):
            with contextlib.suppress(LeaderRetrievalError):  # as in Flink: written again
                information = decode_leader_information(found[0])
        if self._watcher(component_id) is not None:
            self._on_change(component_id, information)

    def _watcher(self, component_id: str) -> Watcher | None:
        with self._lock:
            return None if self._muted else self._published.get(component_id)

    def _is_ours(self, stat: zk.ZnodeStat) -> bool:
        identity = self._session.identity
        return identity is not None and stat.ephemeralOwner == identity[0]

    # --- transactions ---------------------------------------------------------------------

    def _delete(self, component_id: str, fence: Fence) -> None:
        with self._lock:
            self._published.pop(component_id, None)
        paths = self._paths
        for path in (paths.connection_info(component_id), paths.component(component_id)):
            self._decided(path, functools.partial(self._remove, path, fence))

    def _write(self, path: str, data: bytes, fence: Fence) -> None:
        for _ in range(_TRIES):
            stat = self._session.read(lambda client: client.exists_async(path), path)
            try:
                self._latch.commit(fence, self._replacement(path, data, stat), path)
                return
            except zk.NoNodeError:
                if stat is None:
                    ensure_path(self._session, self._paths, path.rpartition("/")[0])
            except (zk.NodeExistsError, zk.BadVersionError):
                continue  # changed by another process: look again
        raise StoreUnavailableError(
            f"{path} cannot be written: another process keeps changing it; find out who"
        )

    def _replacement(self, path: str, data: bytes, stat: Any) -> Callable[[Any], None]:
        def build(transaction: Any) -> None:
            if stat is not None and self._is_ours(stat):
                transaction.set_data(path, data, stat.version)
                return
            if stat is not None:
                transaction.delete(path, stat.version)
            transaction.create(path, data, ephemeral=True)

        return build

    def _remove(self, path: str, fence: Fence) -> None:
        with contextlib.suppress(zk.NoNodeError, zk.NotEmptyError):
            self._latch.commit(fence, lambda transaction: transaction.delete(path), path)

    def _decided(self, path: str, write: Callable[[], None]) -> None:
        """Run a write that may be repeated; once more when its outcome is unknown."""
        try:
            write()
            return
        except OutcomeUnknownError:
            pass
        try:
            self._session.wait_connected(self._session.settings.connection_timeout)
            write()
        except (OutcomeUnknownError, StoreUnavailableError) as error:
            raise PossibleInconsistentStateError(
                f"it is unknown whether {path} was written: {error}; repeat it when the servers "
                "answer"
            ) from None


def read_and_watch(
    session: ZooKeeperSession, path: str, changed: Watcher
) -> tuple[bytes, zk.ZnodeStat] | None:
    """The node's data and stat, or ``None``; ``changed`` is called at its next change."""
    while True:
        try:
            data, stat = session.read(lambda client: client.get_async(path, watch=changed), path)
            return data, stat
        except zk.NoNodeError:
            if session.read(lambda client: client.exists_async(path, watch=changed), path) is None:
                return None
