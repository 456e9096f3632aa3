"""A ZooKeeper server as its clients see it: znodes, versions, sessions, watches, transactions.

Source: ZooKeeper's *Programmer's Guide*. One server stands for the ensemble: what an answer says
is never older than what another client was told. All changes are numbered by ``zxid``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kazoo.exceptions import (
    BadVersionError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
    ZookeeperError,
)
from kazoo.protocol.states import EventType


class Stat(NamedTuple):
    """The part of ``ZnodeStat`` that hawork looks at."""

    mzxid: int
    version: int
    ephemeralOwner: int


@dataclass(slots=True)
class _Node:
    data: bytes
    mzxid: int
    owner: int = 0
    version: int = 0
    created: int = 0
    """Children that it ever had: what the next sequential one is numbered by."""
    children: set[str] = field(default_factory=set)


@dataclass(slots=True)
class ServerSession:
    """A client's session. ``heard``: when the server last heard from it."""

    session_id: int
    password: bytes
    timeout: float
    heard: float
    connection: Any = None
    over: bool = False
    ephemerals: set[str] = field(default_factory=set)


class Operation(NamedTuple):
    """One operation of a transaction."""

    kind: str
    path: str
    data: bytes = b""
    version: int = -1
    ephemeral: bool = False
    sequence: bool = False


Notify = Callable[[Any, str, str], None]
"""Called with a connection, a kind of event and a path: a watch was set there."""


class ZooKeeperServer:
    """The state of the ensemble. Nothing here waits; all of it happens at one moment."""

    def __init__(self, notify: Notify) -> None:
        self.nodes: dict[str, _Node] = {"/": _Node(b"", 0)}
        self.sessions: dict[int, ServerSession] = {}
        self._notify = notify
        self._zxid = itertools.count(1)
        self._ids = itertools.count(0x100001)
        self._watches: dict[str, list[Any]] = {}

    # --- sessions -----------------------------------------------------------------------------

    def open_session(self, timeout: float, now: float, password: bytes) -> ServerSession:
        session = ServerSession(next(self._ids), password, timeout, now)
        self.sessions[session.session_id] = session
        return session

    def end_session(self, session: ServerSession) -> None:
        """What is ephemeral of it goes."""
        if session.over:
            return
        session.over = True
        del self.sessions[session.session_id]
        for path in sorted(session.ephemerals):
            if path in self.nodes:
                self._delete(path)
        session.ephemerals.clear()

    # --- reading ------------------------------------------------------------------------------

    def get(self, path: str) -> tuple[bytes, Stat]:
        node = self._node(path)
        return node.data, Stat(node.mzxid, node.version, node.owner)

    def exists(self, path: str) -> Stat | None:
        return None if path not in self.nodes else self.get(path)[1]

    def get_children(self, path: str) -> list[str]:
        return sorted(self._node(path).children)

    def watch(self, connection: Any, path: str) -> None:
        """Tell the connection of the next change of the znode, once."""
        watching = self._watches.setdefault(path, [])
        if connection not in watching:
            watching.append(connection)

    def forget_watches(self, connection: Any) -> None:
        for watching in self._watches.values():
            if connection in watching:
                watching.remove(connection)

    # --- writing ------------------------------------------------------------------------------

    def apply(self, operation: Operation, session: ServerSession) -> Any:
        """One write by itself; raises kazoo's error."""
        self._check(operation, {})
        return self._do(operation, session)

    def transact(self, operations: Sequence[Operation], session: ServerSession) -> list[Any]:
        """All or none. kazoo's results: the errors as values, where it was not carried out."""
        pending: dict[str, bool] = {}
        for number, operation in enumerate(operations):
            try:
                self._check(operation, pending)
            except ZookeeperError as error:
                return [
                    *(RolledBackError() for _ in range(number)),
                    error,
                    *(RuntimeInconsistency() for _ in operations[number + 1 :]),
                ]
        return [self._do(operation, session) for operation in operations]

    def ensure_path(self, path: str, session: ServerSession) -> bool:
        parts = path.strip("/").split("/")
        for length in range(1, len(parts) + 1):
            ancestor = "/" + "/".join(parts[:length])
            if ancestor not in self.nodes:
                self.apply(Operation("create", ancestor), session)
        return True

    def take_away(self, path: str) -> None:
        """Another client removes a znode."""
        self._delete(path)

    def _check(self, operation: Operation, pending: dict[str, bool]) -> None:
        """Raise what the operation would, after those before it in its transaction.

        ``pending`` says of paths whether those made or removed them.
        """
        path = operation.path

        def there(each: str) -> bool:
            return pending.get(each, each in self.nodes)

        if operation.kind == "create":
            parent = _parent(path)
            if not there(parent):
                raise NoNodeError()
            if parent in self.nodes and self.nodes[parent].owner:
                raise NoChildrenForEphemeralsError()
            if not operation.sequence and there(path):
                raise NodeExistsError()
            pending[path] = True
            return
        if not there(path):
            raise NoNodeError()
        node = self.nodes.get(path)
        if node is None:
            return
        if operation.version not in (-1, node.version):
            raise BadVersionError()
        if operation.kind == "delete":
            prefix = "/" if path == "/" else f"{path}/"
            if any(there(f"{prefix}{child}") for child in node.children):
                raise NotEmptyError()
            pending[path] = False

    def _do(self, operation: Operation, session: ServerSession) -> Any:
        path = operation.path
        match operation.kind:
            case "create":
                return self._create(operation, session)
            case "delete":
                self._delete(path)
                return True
            case "set":
                node = self.nodes[path]
                node.data, node.mzxid = operation.data, next(self._zxid)
                node.version += 1
                self._tell(path, EventType.CHANGED)
                return Stat(node.mzxid, node.version, node.owner)
        return True

    def _create(self, operation: Operation, session: ServerSession) -> str:
        path, parent = operation.path, self.nodes[_parent(operation.path)]
        if operation.sequence:
            path = f"{path}{parent.created:010d}"
        parent.created += 1
        parent.children.add(path.rpartition("/")[2])
        owner = session.session_id if operation.ephemeral else 0
        self.nodes[path] = _Node(operation.data, next(self._zxid), owner)
        if owner:
            session.ephemerals.add(path)
        self._tell(path, EventType.CREATED)
        self._tell(_parent(path), EventType.CHILD)
        return path

    def _delete(self, path: str) -> None:
        node = self.nodes.pop(path)
        next(self._zxid)
        self.nodes[_parent(path)].children.discard(path.rpartition("/")[2])
        owner = self.sessions.get(node.owner)
        if owner is not None:
            owner.ephemerals.discard(path)
        self._tell(path, EventType.DELETED)
        self._tell(_parent(path), EventType.CHILD)

    def _tell(self, path: str, kind: str) -> None:
        if kind == EventType.CHILD:
            return  # hawork watches no children
        for connection in self._watches.pop(path, ()):
            self._notify(connection, kind, path)

    def _node(self, path: str) -> _Node:
        node = self.nodes.get(path)
        if node is None:
            raise NoNodeError()
        return node


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
