"""The latch: one ephemeral sequential node for each contender, the first one leads.

Compatible with Curator's ``LeaderLatch``, which Flink uses: same place, same names, empty
data, each contender watches its predecessor only. In hawork the id inside the protected name
*is* the session id of the leadership that the node stands for. A node is granted leadership
at most once: a contender that gave up its turn joins again, with a new id, at the end. So "this
node exists" means "this leadership is still the present one", and that is what every write checks.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.known_versions import KnownVersions
from hawork.backends.zookeeper.paths import ZNodePaths, in_latch_order, session_id_of
from hawork.backends.zookeeper.session import Send, ZooKeeperSession
from hawork.core import options
from hawork.core.errors import ConfigurationError, LeadershipLostError, StoreUnavailableError
from hawork.core.types import NO_LEADERSHIP, LeaderSessionID

_TRIES = 10  # each further one means that another process removed a parent in between

Build = Callable[[Any], None]
"""Adds operations to kazoo's transaction."""


class Fence(NamedTuple):
    """What every write of a leadership checks: its latch node, and whose session it lives in."""

    path: str
    owner: int | None = None
    """``None`` where the leadership was granted to another process."""


@dataclass(frozen=True, slots=True)
class LatchNode:
    """Our own node: the leadership it stands for, and the ZooKeeper session it lives in."""

    session_id: LeaderSessionID
    path: str
    owner: int

    @property
    def fence(self) -> Fence:
        return Fence(self.path, self.owner)


class Latch:
    """The latch of one cluster, as one process sees it. Thread-safe."""

    def __init__(self, session: ZooKeeperSession, paths: ZNodePaths) -> None:
        self._session = session
        self._paths = paths
        self._lock = threading.Lock()
        self._granted: dict[LeaderSessionID, Fence] = {}
        self.versions = KnownVersions()
        self._ended: LeaderSessionID | None = None

    # --- standing in the latch ------------------------------------------------------------

    def join(self, session_id: LeaderSessionID) -> LatchNode | None:
        """Our node for ``session_id``: found, if an earlier try got through, or created.

        May be repeated with the same id after any error. ``None`` when another process removed it
        at once: join with another id.
        """
        path = self.find(session_id) or self._create(session_id)
        stat = self._session.read(lambda client: client.exists_async(path), path)
        return None if stat is None else LatchNode(session_id, path, stat.ephemeralOwner)

    def find(self, session_id: LeaderSessionID) -> str | None:
        """The path of the node of ``session_id``, once what was sent before is decided."""
        for child in self._children(self._session.read_back):
            if session_id_of(child) == session_id:
                return f"{self._paths.latch}/{child}"
        return None

    def predecessor(self, node: LatchNode) -> str | None:
        """The path of the contender before us, or ``None`` when we are the first.

        ``LeadershipLostError`` when our own node is gone.
        """
        name = node.path.rpartition("/")[2]
        children = self._children()
        if name not in children:
            raise LeadershipLostError(f"our latch node {node.path} is gone")
        index = children.index(name)
        return f"{self._paths.latch}/{children[index - 1]}" if index else None

    def watch(self, path: str, changed: Callable[[zk.WatchedEvent], None]) -> LatchNode | None:
        """Call ``changed`` at the next change of the node; ``None`` when it is gone."""
        try:
            _, stat = self._session.read(lambda client: client.get_async(path, watch=changed), path)
        except zk.NoNodeError:
            return None
        return LatchNode(session_id_of(path) or NO_LEADERSHIP, path, stat.ephemeralOwner)

    def leave(self, node: LatchNode) -> None:
        """Remove our node; absent is fine."""
        try:
            self._session.perform(lambda client: client.delete_async(node.path), node.path)
        except zk.NoNodeError:
            return

    # --- fencing --------------------------------------------------------------------------

    def granted(self, node: LatchNode) -> None:
        """Remember which node the leadership stands on."""
        self.versions.begin(node.session_id)
        with self._lock:
            self._granted = {node.session_id: node.fence}

    def ended(self, session_id: LeaderSessionID) -> None:
        with self._lock:
            self._granted.pop(session_id, None)
            self._ended = session_id

    def fence(self, session_id: LeaderSessionID) -> Fence:
        """What to check in every write of a leadership.

        ``LeadershipLostError`` when it is known to have ended, or never was.
        """
        with self._lock:
            fence = self._granted.get(session_id)
            ended = session_id in (self._ended, NO_LEADERSHIP)
        if fence is None and not ended:
            # Granted to another process, or to none.
            first = next(iter(self._children()), None)
            if first is not None and session_id_of(first) == session_id:
                fence = Fence(f"{self._paths.latch}/{first}")
        if fence is None:
            raise LeadershipLostError(f"{session_id} does not lead, or not any more")
        return fence

    def commit(self, fence: Fence, build: Build, what: str) -> list[Any]:
        """One transaction: check the latch node of ``fence``, and do what ``build`` adds.

        Returns the results of what was added. ``LeadershipLostError`` when the node is gone, or
        lives in a session that is not ours any more: servers that were away keep it for a session
        timeout after they are back, while its leadership was revoked. The errors of the
        operations themselves are kazoo's; otherwise as ``ZooKeeperSession.perform``.
        """
        results: list[Any]
        try:
            results = self._session.perform(_transaction(fence, build), what)
        except zk.OtherSessionError:
            raise LeadershipLostError(
                f"the leadership is over: its latch node {fence.path} is of session "
                f"{fence.owner or 0:#x}, and ours is another one now"
            ) from None
        if isinstance(results[0], zk.NoNodeError):
            raise LeadershipLostError(
                f"the leadership is over: its latch node {fence.path} is gone"
            )
        for result in results:
            if isinstance(result, (zk.NoAuthError, zk.InvalidACLError)):
                raise self._session.access_denied(what, result)
            if isinstance(result, Exception) and not isinstance(
                result, (zk.RolledBackError, zk.RuntimeInconsistency)
            ):
                raise result
        return results[1:]

    def prove(self, path: str, done: Callable[[bool | None], None]) -> None:
        """Ask the ensemble, by a transaction, whether the latch node is there.

        ``done`` hears it on one of kazoo's threads; ``None`` when there was no answer.
        """

        def answered(result: Any) -> None:
            try:
                found = result.get_nowait()[0]
            except Exception:  # noqa: BLE001 - also an answer that kazoo could not read
                done(None)
            else:
                done(not isinstance(found, zk.NoNodeError))

        self._session.send(_transaction(Fence(path), lambda _: None), answered)

    def watch_own(
        self, path: str, changed: Callable[[zk.WatchedEvent], None], gone: Callable[[], None]
    ) -> None:
        """Like ``watch``, without waiting; ``gone`` is called when the node is not there."""

        def answered(result: Any) -> None:
            if isinstance(result.exception, zk.NoNodeError):
                gone()

        self._session.send(lambda client: client.get_async(path, watch=changed), answered)

    # --- nodes ----------------------------------------------------------------------------

    def _create(self, session_id: LeaderSessionID) -> str:
        prefix = self._paths.latch_prefix(session_id)

        def send(client: zk.ZooKeeperClient) -> Any:
            return client.create_async(prefix, b"", ephemeral=True, sequence=True)

        try:
            return str(self._session.perform(send, prefix))
        except zk.NoNodeError:
            ensure_path(self._session, self._paths, self._paths.latch)
            return str(self._session.perform(send, prefix))

    def _children(self, read: Callable[[Send, str], Any] | None = None) -> Sequence[str]:
        latch = self._paths.latch
        try:
            children = (read or self._session.read)(
                lambda client: client.get_children_async(latch), latch
            )
        except zk.NoNodeError:
            return ()
        return in_latch_order(children)


def ensure_path(session: ZooKeeperSession, paths: ZNodePaths, path: str) -> None:
    """Create ``path`` and its parents where they are absent.

    ``ConfigurationError`` when the root belongs to another process.
    """
    for _ in range(_TRIES):
        try:
            for ancestor in (paths.root, paths.cluster):
                _check_owner(session, ancestor)
            session.read(lambda client: client.ensure_path_async(path), path)
            return
        except zk.NoChildrenForEphemeralsError:
            raise _foreign(path, "a znode on the way is ephemeral") from None
        except zk.NoNodeError:
            continue  # a parent was removed before the child was created
    raise StoreUnavailableError(
        f"{path} cannot be created: another process keeps removing what is above it; find out who"
    )


def _check_owner(session: ZooKeeperSession, path: str) -> None:
    try:
        data, stat = session.read(lambda client: client.get_async(path), path)
    except zk.NoNodeError:
        return
    if stat.ephemeralOwner:
        raise _foreign(path, "it is an ephemeral node")
    if data and not _is_address(data):
        raise _foreign(path, f"it holds {len(data)} bytes of data")


def _is_address(data: bytes) -> bool:
    """Whether ``data`` is what Curator writes where it has nothing to say: an IP address."""
    try:
        return bool(ipaddress.ip_address(data.decode("ascii")))
    except ValueError:
        return False


def _foreign(path: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"znode {path} belongs to another process ({reason}): set option {options.ZK_ROOT.key} or "
        f"{options.CLUSTER_ID.key} to another path"
    )


def _transaction(fence: Fence, build: Build) -> Send:
    path, owner = fence

    def send(client: zk.ZooKeeperClient) -> Any:
        transaction = client.transaction()
        transaction.check(path, -1)
        build(transaction)
        return transaction.commit_async() if owner is None else client.commit_in(owner, transaction)

    return send
