"""hawork's ``ZooKeeperClient`` on a simulated connection, with kazoo's states, queues and watchers.

Source: kazoo's ``KazooClient._session_callback`` and ``_notify_pending``: what is under way or
queued when a connection breaks fails with ``ConnectionLoss``; watchers are told that they are void.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from kazoo.exceptions import ConnectionClosedError, ConnectionLoss, SessionExpiredError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import EventType, KazooState, KeeperState, WatchedEvent

from hawork.backends.zookeeper.client import OtherSessionError
from hawork.backends.zookeeper.multi_read import GET_DATA, MultiRead
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.simulation.primitives import SimpleQueue
from hawork.simulation.scheduler import SimulatedThread
from hawork.simulation.stores.zookeeper_server import Operation, ServerSession, ZooKeeperServer
from hawork.simulation.world import World

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Ensemble(Protocol):
    """What a client reaches."""

    @property
    def server(self) -> ZooKeeperServer: ...

    @property
    def world(self) -> World: ...

    def leading(self) -> str | None: ...

    def expect(self, session: ServerSession) -> None: ...


class AsyncResult:
    """kazoo's: an answer, or an error, that is waited for or told to a callback."""

    __slots__ = ("_callbacks", "_client", "_done", "_value", "_waiting", "exception")

    def __init__(self, client: SimulatedClient) -> None:
        self._client = client
        self._waiting: SimulatedThread | None = None
        self._done = False
        self._value: Any = None
        self.exception: BaseException | None = None
        self._callbacks: list[Callable[[Any], None]] = []

    def settle(self, value: Any, exception: BaseException | None = None) -> None:
        if self._done:
            return
        self._done, self._value, self.exception = True, value, exception
        if self._waiting is not None:
            self._client.scheduler.wake(self._waiting)
        for callback in self._callbacks:
            self._client.later(partial(callback, self))

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if not self._done:
            scheduler = self._client.scheduler
            self._waiting = scheduler.current
            scheduler.park(timeout)  # only an answer wakes the thread before
            self._waiting = None
            if not self._done:
                raise KazooTimeoutError()
        return self.get_nowait()

    def get_nowait(self) -> Any:
        if self.exception is not None:
            raise self.exception
        return self._value

    def rawlink(self, callback: Callable[[Any], None]) -> None:
        if self._done:
            self._client.later(lambda: callback(self))
        else:
            self._callbacks.append(callback)


class SimulatedClient:
    """The part of ``ZooKeeperClient`` that hawork uses."""

    def __init__(
        self,
        store: Ensemble,
        settings: ZooKeeperSettings,
        client_id: tuple[int, bytes] | None = None,
    ) -> None:
        self._store = store
        self._server: ZooKeeperServer = store.server
        self._world = store.world
        self.scheduler = store.world.scheduler
        current = self.scheduler.current
        assert current is not None
        self.process = current.process
        self.negotiated_timeout = settings.session_timeout
        self.last_failure: BaseException | None = None
        self.failures: dict[str, BaseException] = {}
        self.server = settings.servers[0]
        self.is_refused = False
        self.refused_for = 0.0
        """There is a server; what is cut off is silent."""
        self.client_state: str = KeeperState.CLOSED
        self.chroot = settings.chroot
        self.session: ServerSession | None = None
        self.connected = False
        self._wanted = client_id
        self._stopped = True
        self._listeners: list[Callable[[str], Any]] = []
        self._watchers: dict[str, list[Callable[[Any], None]]] = {}
        self._under_way: list[AsyncResult] = []
        self._queued: list[AsyncResult] = []
        """Asked for while there was no connection: they do not go on the next one."""
        self._callbacks = SimpleQueue(self.scheduler)
        self._states = SimpleQueue(self.scheduler)
        self._arrives = 0.0
        self._answers = 0.0
        self._connection = 0
        """Counts: what belongs to an earlier connection comes to nothing."""

    # --- the client's life ------------------------------------------------------------------

    @property
    def client_id(self) -> tuple[int, bytes] | None:
        session = self.session
        if self.client_state != KeeperState.CONNECTED or session is None:
            return None
        return session.session_id, session.password

    def add_listener(self, listener: Callable[[str], Any]) -> None:
        self._listeners.append(listener)

    def set_hosts(self, hosts: str) -> None:
        """There is one server."""

    def start_async(self) -> None:
        if self._stopped:
            self._stopped = False
            for action, name in ((self._run, "connection"), (self._tell, "callbacks")):
                self.scheduler.spawn(self.process, action, f"kazoo-{name}")

    def stop(self) -> None:
        """End the session, if the server can be told."""
        if self._stopped:
            return
        self._stopped = True
        self.scheduler.park(self._world.latency())
        session = self.session
        if session is not None and self.connected and not self._world.is_cut(self.process.name):
            self._server.forget_watches(self)
            self._server.end_session(session)
        self.connected = False
        self.client_state = KeeperState.CLOSED
        self._fail(ConnectionClosedError())
        self._states.put(None)
        self._callbacks.put(None)

    def close(self) -> None:
        """Nothing is held."""

    def let_go(self) -> None:
        """There is no descriptor."""

    def note_silence(self, server: str) -> None:
        """Of a server that took a session and did not answer."""
        self.failures[server] = OSError("nothing answered")

    def drop_connection(self) -> None:
        self._states.put(self._connection)

    def broken(self, number: int | None = None) -> None:
        """The connection of this number, or the present one, breaks."""
        self._states.put(self._connection if number is None else number)

    def later(self, action: Callable[[], None]) -> None:
        """On the thread of kazoo's callbacks."""
        self._callbacks.put(action)

    def _tell(self) -> None:
        while (action := self._callbacks.get()) is not None:
            action()

    def _run(self) -> None:
        """kazoo's connection thread."""
        while not self._stopped:
            if not self._connect():
                return
            while (number := self._states.get()) is not None:
                if number == self._connection and self.connected:
                    break
            if number is None:
                return
            self.connected = False
            self._server.forget_watches(self)
            self._change(KeeperState.CONNECTING, KazooState.SUSPENDED, ConnectionLoss())

    def _connect(self) -> bool:
        """Try until there is a connection; whether there is one, and not the end."""
        pause = _FIRST_PAUSE
        while not self._stopped:
            self.scheduler.park(self._world.latency())
            if not self._world.is_cut(self.process.name):
                break
            self.scheduler.park(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        else:
            return False
        session = self.session
        if session is None and self._wanted is not None:
            session = self._server.sessions.get(self._wanted[0])
            self._wanted = None
        if session is not None and session.over:
            self.session = session = None
            self._change(KeeperState.EXPIRED_SESSION, KazooState.LOST, SessionExpiredError())
            self.client_state = KeeperState.CONNECTING
            self.scheduler.park(self._world.latency())
        now = self.scheduler.now
        if session is None:
            password = self.scheduler.chance.randbytes(16)
            session = self._server.open_session(self.negotiated_timeout, now, password)
            self._store.expect(session)
        elif isinstance(session.connection, SimulatedClient) and session.connection is not self:
            session.connection.broken()  # its session is taken over
        session.connection, session.heard = self, now
        self.session = session
        self._connection += 1
        self.connected = True
        self.client_state = KeeperState.CONNECTED
        self._notify(KazooState.CONNECTED)
        queued, self._queued = self._queued, []
        for result in queued:
            result.settle(None, ConnectionLoss())
        return True

    def _change(self, state: str, told: str, error: Exception) -> None:
        self.client_state = state
        self._fail(error)
        self._notify(told)
        watchers, self._watchers = self._watchers, {}
        event = WatchedEvent(EventType.NONE, state, None)
        for watching in watchers.values():
            for watcher in watching:
                self.later(partial(watcher, event))

    def _notify(self, state: str) -> None:
        for listener in list(self._listeners):
            listener(state)

    def _fail(self, error: Exception) -> None:
        under_way, self._under_way = self._under_way, []
        queued, self._queued = self._queued, []
        for result in (*under_way, *queued):
            result.settle(None, error)

    # --- watches ----------------------------------------------------------------------------

    def changed(self, kind: str, path: str) -> None:
        """The server tells of a watch; on its way like an answer."""
        connection = self._connection

        def arrive() -> None:
            if connection == self._connection and self.connected:
                event = WatchedEvent(kind, self.client_state, path)
                for watcher in self._watchers.pop(path, ()):
                    self.later(partial(watcher, event))

        self._answer_at(arrive)

    # --- requests -----------------------------------------------------------------------------

    def exists_async(self, path: str, watch: Any = None) -> AsyncResult:
        return self._read(path, lambda: self._server.exists(path), watch, absent_too=True)

    def get_async(self, path: str, watch: Any = None) -> AsyncResult:
        return self._read(path, lambda: self._server.get(path), watch)

    def get_children_async(self, path: str) -> AsyncResult:
        return self._read(path, lambda: self._server.get_children(path))

    def request_async(self, request: MultiRead) -> AsyncResult:
        """What is not there is ``None`` among the answers."""
        read = self._server.get if request.kind == GET_DATA else self._server.get_children

        def perform(_: ServerSession) -> list[Any]:
            return [read(path) if path in self._server.nodes else None for path in request.paths]

        return self._call("zookeeper.read", perform)

    def sync_async(self, path: str) -> AsyncResult:
        return self._read(path, lambda: path)

    def create_async(
        self, path: str, value: bytes, ephemeral: bool = False, sequence: bool = False
    ) -> AsyncResult:
        operation = Operation("create", path, value, -1, ephemeral, sequence)
        return self._call(
            "zookeeper.create", lambda session: self._server.apply(operation, session)
        )

    def delete_async(self, path: str) -> AsyncResult:
        operation = Operation("delete", path)
        return self._call(
            "zookeeper.delete", lambda session: self._server.apply(operation, session)
        )

    def ensure_path_async(self, path: str) -> AsyncResult:
        return self._call(
            "zookeeper.create", lambda session: self._server.ensure_path(path, session)
        )

    def transaction(self) -> Transaction:
        return Transaction(self)

    def _read(
        self, path: str, read: Callable[[], Any], watch: Any = None, *, absent_too: bool = False
    ) -> AsyncResult:
        def perform(_: ServerSession) -> Any:
            found = read()
            if watch is not None and (found is not None or absent_too):
                self._server.watch(self, path)
                watching = self._watchers.setdefault(path, [])
                if watch not in watching:
                    watching.append(watch)
            return found

        return self._call("zookeeper.read", perform)

    def commit_in(self, owner: int, transaction: Transaction) -> AsyncResult:
        return self.transact(transaction.operations, owner)

    def transact(self, operations: list[Operation], owner: int | None = None) -> AsyncResult:
        current = self.scheduler.current
        writer = None if current is None else current.writing
        changes = any(each.kind != "check" for each in operations)

        def perform(session: ServerSession) -> Any:
            leading = self._store.leading()
            found = self._server.transact(operations, session)
            if changes and not any(isinstance(each, Exception) for each in found):
                self._world.audit(self.process.name, writer, leading)
            return found

        return self._call("zookeeper.transaction", perform, owner)

    def _call(
        self, label: str, perform: Callable[[ServerSession], Any], owner: int | None = None
    ) -> AsyncResult:
        """Queue a request, in order; its answer comes, or the connection breaks before."""
        result = AsyncResult(self)
        if self._stopped or self.client_state == KeeperState.CLOSED:
            result.settle(None, ConnectionClosedError())
            return result
        fault = self._world.fault(label)

        def send(pending: AsyncResult) -> None:
            if owner is not None and (self.session is None or self.session.session_id != owner):
                self._under_way.remove(pending)
                pending.settle(None, OtherSessionError())
                return
            self._send(pending, perform, fault)

        if self.connected:
            self._under_way.append(result)
            send(result)
        else:
            self._queued.append(result)
        if fault is not None:
            self._world.strike_after(fault)
        return result

    def _send(
        self, result: AsyncResult, perform: Callable[[ServerSession], Any], fault: str | None
    ) -> None:
        connection, scheduler = self._connection, self.scheduler
        delay = self._world.latency() + self._world.delay_of(fault)
        self._arrives = max(self._arrives + 1e-6, scheduler.now + delay)

        def arrive() -> None:
            session = self.session
            if (
                connection != self._connection
                or not self.connected
                or session is None
                or self._world.is_cut(self.process.name)
            ):
                return  # the connection broke, or nothing gets through: no answer comes
            if session.over or fault == "refused":
                self.broken(connection)
                return
            session.heard = scheduler.now
            value, error = None, None
            try:
                value = perform(session)
            except Exception as raised:  # noqa: BLE001 - kazoo's errors are answers
                error = raised
            if fault == "lost":
                self.broken(connection)
                return
            self._answer_at(lambda: self._answered(connection, result, value, error))

        scheduler.at(self._arrives - scheduler.now, arrive)

    def _answered(
        self, connection: int, result: AsyncResult, value: Any, error: Exception | None
    ) -> None:
        if connection != self._connection or self._world.is_cut(self.process.name):
            return
        if result in self._under_way:
            self._under_way.remove(result)
            result.settle(value, error)

    def _answer_at(self, arrive: Callable[[], None]) -> None:
        """Answers and watches of a connection arrive in the order in which they were sent."""
        scheduler = self.scheduler
        self._answers = max(self._answers + 1e-6, scheduler.now + self._world.latency())
        scheduler.at(self._answers - scheduler.now, arrive)


class Transaction:
    """kazoo's ``TransactionRequest``."""

    def __init__(self, client: SimulatedClient) -> None:
        self._client = client
        self.operations: list[Operation] = []

    def check(self, path: str, version: int) -> None:
        self.operations.append(Operation("check", path, version=version))

    def create(self, path: str, value: bytes = b"", ephemeral: bool = False) -> None:
        self.operations.append(Operation("create", path, value, ephemeral=ephemeral))

    def set_data(self, path: str, value: bytes, version: int = -1) -> None:
        self.operations.append(Operation("set", path, value, version))

    def delete(self, path: str, version: int = -1) -> None:
        self.operations.append(Operation("delete", path, version=version))

    def commit_async(self) -> AsyncResult:
        return self._client.transact(self.operations)
