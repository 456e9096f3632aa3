"""The only module that knows kazoo: how a client is made, and what its errors are called.

Eight things of kazoo's are put right here. The session timeout that the server granted is
kept. A server that swallows bytes is given up after the connection timeout, not after a whole
session timeout, and the session with it when that lasts. A connection can be dropped: while
requests are being sent kazoo sends no pings, hence does not notice that nothing answers any more.
A ping is due when nothing was sent for ``PING_INTERVAL``, not up to 0.4 s earlier, so that what a
leader sends to prove its session takes the place of its pings. A connection that breaks during a
SASL login is tried again; kazoo takes it for a refusal, and never connects again. Over TLS
several answers may arrive at once, of which kazoo would take in the first and wait for more bytes.
An answer to another request than the next one breaks the connection, as in ZooKeeper's own
client; kazoo gives the one that waits an error that says nothing of the outcome. And what was asked
of a connection that is gone is not sent on the next one; kazoo keeps it until there is one, after
no matter how long, when who asked has given it up.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import os
import select
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from kazoo import exceptions
from kazoo.client import KazooClient
from kazoo.exceptions import (
    APIError,
    AuthFailedError,
    BadVersionError,
    ConnectionClosedError,
    ConnectionDropped,
    ConnectionLoss,
    InvalidACLError,
    KazooException,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    OperationTimeoutError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
    SessionMovedError,
    UnimplementedError,
    ZookeeperError,
)
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.serialization import Connect, Transaction
from kazoo.protocol.states import EventType, KazooState, KeeperState, WatchedEvent, ZnodeStat
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL

from hawork.backends.zookeeper.kazoo_check import check_client, check_methods
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration

__all__ = [
    "APIError",
    "AuthFailedError",
    "BadVersionError",
    "ConnectionClosedError",
    "ConnectionLoss",
    "EventType",
    "InvalidACLError",
    "KazooException",
    "KazooState",
    "KazooTimeoutError",
    "KeeperState",
    "NoAuthError",
    "NoChildrenForEphemeralsError",
    "NoNodeError",
    "NodeExistsError",
    "NotEmptyError",
    "OperationTimeoutError",
    "OtherSessionError",
    "RolledBackError",
    "RuntimeInconsistency",
    "SessionClosedRequireSaslError",
    "SessionExpiredError",
    "SessionMovedError",
    "UnimplementedError",
    "WatchedEvent",
    "ZnodeStat",
    "ZooKeeperClient",
    "ZookeeperError",
]

check_methods()

SessionClosedRequireSaslError = getattr(
    exceptions, "SessionClosedRequireSaslError", AuthFailedError
)
"""Servers serve only clients that log in (error -124); kazoo knows it since 2.11."""

_FIRST_PAUSE = 0.05  # seconds between rounds of tries to connect; doubles
_LONGEST_PAUSE = 1.0  # as in ZooKeeper's own client

_SHARE_OF_TRIES = 0.8
"""Part of the connection timeout for one round of tries: its failure is known before the end."""

PING_INTERVAL = 2 / 5
"""Part of the session timeout without a request after which a ping is sent."""
PATIENCE = 2 / 3
"""Part of the session timeout without an answer after which a connection counts as broken;
the same as in ZooKeeper's own client."""

_BROKEN_LOGINS = 5
_BROKEN_FOR = 2.0
"""A server that refuses a SASL login closes the connection, and so does one that is stopped or cut
off meanwhile. What breaks off so often, for so many seconds, and fails in no other way, is a
refusal."""

_READABLE = select.POLLIN | select.POLLPRI

_NOWHERE = ("", 0)
"""In place of the servers when no name of them has an address."""

_OF_THE_LOOP = 2
"""What kazoo's loop waits for: the connection, and the pipe that tells of new requests."""

_log = logging.getLogger("hawork.zookeeper")
_log.addHandler(logging.NullHandler())  # kazoo's warnings are for a program that sets up logging


class OtherSessionError(KazooException):  # type: ignore[misc]
    """The session is not the one in which a transaction was to go: it was not sent."""


class _InSession(Transaction):  # type: ignore[misc]
    """A transaction that goes in the session ``owner``, or not at all."""

    owner: int


class ZooKeeperClient(KazooClient):  # type: ignore[misc]
    """A kazoo client set up from the options; ``client_id`` takes over an open session.

    >>> client = ZooKeeperClient.of(lab.config)                            # doctest: +SKIP
    """

    def __init__(
        self, settings: ZooKeeperSettings, client_id: tuple[int, bytes] | None = None
    ) -> None:
        retry = KazooRetry(max_tries=-1, delay=_FIRST_PAUSE, backoff=2, max_delay=_LONGEST_PAUSE)
        sasl = None if settings.sasl is None else dict(settings.sasl)
        super().__init__(
            hosts=settings.quorum,
            timeout=settings.session_timeout,
            client_id=client_id,
            handler=_Handler(settings.tls),
            default_acl=CREATOR_ALL_ACL if settings.creator_acl else None,
            auth_data=list(settings.authorization),
            connection_retry=retry,
            logger=_log,
        )
        self._connection = _Connection(self, settings.connection_timeout, sasl)
        check_client(self)

    @classmethod
    def of(cls, config: Configuration) -> ZooKeeperClient:
        """A client, not started, that reaches the servers and logs in as ``config`` says."""
        return cls(ZooKeeperSettings.of(config))

    @property
    def negotiated_timeout(self) -> float:
        """The session timeout in seconds that the server granted last."""
        return float(self._connection.negotiated_timeout)

    @property
    def last_failure(self) -> BaseException | None:
        """Why the last try to connect failed."""
        failure: BaseException | None = self.handler.last_failure
        return failure

    @property
    def failures(self) -> dict[str, BaseException]:
        """Why the last try to connect failed, by server, as its ``host:port`` was given."""
        return dict(self._connection.failures)

    @property
    def server(self) -> str:
        """The server that was tried last, or is connected; empty before the first one."""
        return self._connection.server

    def note_silence(self, server: str) -> None:
        """A server took a session, and then did not answer: that is the last failure."""
        failure = OSError("a session was opened, but then nothing answered")
        self.handler.last_failure = self._connection.failures[server] = failure

    @property
    def refused_for(self) -> float:
        """For how many seconds every server has refused each connection at once, or has had no
        address; 0 when one did not.
        """
        seconds: float = self.handler.refusals.lasted()
        return seconds

    @property
    def is_refused(self) -> bool:
        """Whether the servers refuse our SASL login; it is tried again all the same."""
        return self._connection.is_refused

    def request_async(self, request: Any) -> Any:
        """Send a request, in kazoo's manner, that kazoo has no method for."""
        result = self.handler.async_result()
        self._call(request, result)
        return result

    def commit_in(self, owner: int, transaction: Any) -> Any:
        """kazoo's ``commit_async``, for the session ``owner`` only: else ``OtherSessionError``.

        That is looked at as the transaction is sent: the thread that asks for it may have stood
        still since it knew what the session is.
        """
        request = _InSession(transaction.operations)
        request.owner = owner
        return self.request_async(request)

    def _call(self, request: Any, async_object: Any) -> Any:
        async_object.asked_of = self._connection.number
        return super()._call(request, async_object)

    def let_go(self) -> None:
        """In a forked child: the session and its connection are the parent's."""
        self._connection.let_go()
        atexit.unregister(self.handler.stop)

    def drop_connection(self) -> None:
        """Cut the connection; kazoo connects again, to any server, in the same session."""
        self._connection.drop()


class _Refusals:
    """Which servers refused each connection of late, since when. Used on two threads."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, int], float] = {}

    def expect(self, servers: Sequence[tuple[str, int]]) -> None:
        """These are the servers: what was noted of others is forgotten."""
        self._since = {server: self._since.get(server, math.inf) for server in servers}

    def note(self, server: tuple[str, int], refused: bool) -> None:
        before = self._since.get(server, math.inf)
        self._since[server] = min(before, SYSTEM_CLOCK.monotonic()) if refused else math.inf

    def lasted(self) -> float:
        """Seconds for which all of them have refused."""
        since = max(self._since.values(), default=math.inf)
        return 0.0 if since == math.inf else SYSTEM_CLOCK.monotonic() - since


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """Connects with our own TLS context, closes what failed, remembers why."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._tls = tls
        self.connect_timeout: float | None = None
        self.last_failure: BaseException | None = None
        self.refusals = _Refusals()
        self.quiet_time: Callable[[], float] | None = None
        """How long the connection's loop may wait for something to read or to send."""

    def create_connection(
        self, address: tuple[str, int], hostname: str | None = None, **_: Any
    ) -> socket.socket:
        try:
            return self._connect(address, hostname)
        except OSError as error:
            self.last_failure = error
            raise

    def select(
        self, readable: Sequence[Any], writable: Sequence[Any], failed: Sequence[Any],
        timeout: float | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:  # fmt: skip
        if len(readable) == _OF_THE_LOOP and self.quiet_time is not None:
            timeout = self.quiet_time()
        # kazoo's own makes an epoll object each time, and takes most of a request's time.
        poller = select.poll()
        events: dict[int, int] = {}
        for each in readable:
            events[each.fileno()] = _READABLE
        for each in writable:
            events[each.fileno()] = events.get(each.fileno(), 0) | select.POLLOUT
        for descriptor, mask in events.items():
            poller.register(descriptor, mask)
        # What TLS has decrypted already makes no socket readable any more.
        waiting = [each for each in readable if isinstance(each, ssl.SSLSocket) and each.pending()]
        milliseconds = None if timeout is None else max(0, math.ceil(timeout * 1000))
        found = dict(poller.poll(0 if waiting else milliseconds))
        ready = [
            each
            for each in readable
            if each in waiting or found.get(each.fileno(), 0) & ~select.POLLOUT
        ]
        return ready, [each for each in writable if each.fileno() in found], []

    def _connect(self, address: tuple[str, int], hostname: str | None) -> socket.socket:
        try:
            connection = socket.create_connection(address, self.connect_timeout)
        except OSError as error:
            self.refusals.note(address, refused=not isinstance(error, TimeoutError))
            raise
        self.refusals.note(address, refused=False)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                return connection
            return self._tls.wrap_socket(connection, server_hostname=hostname or address[0])
        except BaseException:
            connection.close()
            raise


class _Connection(ConnectionHandler):  # type: ignore[misc]
    _socket: Any

    def __init__(
        self, client: ZooKeeperClient, connection_timeout: float, sasl: dict[str, str] | None
    ) -> None:
        super().__init__(client, client._conn_retry.copy(), logger=_log, sasl_options=sasl)
        self._connection_timeout = connection_timeout
        self.negotiated_timeout = client._session_timeout / 1000
        self._unanswered_since: float | None = None
        self._broken_logins: list[float] = []
        self.server = ""
        self.failures: dict[str, BaseException] = {}
        self._sent_at = SYSTEM_CLOCK.monotonic()
        self.number = 0
        """How many connections there have been."""
        self.handler.quiet_time = self._quiet_time

    def _quiet_time(self) -> float:
        """Until a ping is due, or until the answer to one is."""
        share = PATIENCE - PING_INTERVAL if self.ping_outstanding.is_set() else PING_INTERVAL
        due: float = self._sent_at + share * self.negotiated_timeout
        return max(0.0, due - SYSTEM_CLOCK.monotonic())

    def _send_request(self, read_timeout: float, connect_timeout: float) -> None:
        if not self._passes_over():
            super()._send_request(read_timeout, connect_timeout)
            self._sent_at = SYSTEM_CLOCK.monotonic()

    def _passes_over(self) -> bool:
        """Take the next request off the queue when it is not to be sent; whether it was."""
        if not self.client._queue:
            return False
        request, result = self.client._queue[0]
        if result is not None and result.asked_of != self.number:
            error: Exception = ConnectionLoss()
        elif isinstance(request, _InSession) and request.owner != self.client._session_id:
            error = OtherSessionError()
        else:
            return False
        result.set_exception(error)
        self.client._queue.popleft()
        self._read_sock.recv(1)  # each request has put a byte there
        return True

    def _read_response(self, header: Any, buffer: bytes, offset: int) -> Any:
        pending = self.client._pending
        if not pending or pending[0][2] != header.xid:
            # Servers that lose their leader have left answers out (ZOOKEEPER-1863).
            raise ConnectionDropped(f"answer {header.xid} is not that to the next request")
        return super()._read_response(header, buffer, offset)

    def _send_ping(self, connect_timeout: float) -> None:
        super()._send_ping(connect_timeout)
        self._sent_at = SYSTEM_CLOCK.monotonic()

    def _expand_client_hosts(self) -> list[tuple[str, str, int]]:
        found: list[tuple[str, str, int]] = super()._expand_client_hosts()
        servers = [(address, port) for _, address, port in found]
        self.handler.refusals.expect(servers or [_NOWHERE])
        if not found:
            self.handler.refusals.note(_NOWHERE, refused=True)
            names = " and ".join(dict.fromkeys(host for host, _ in self.client.hosts))
            self.handler.last_failure = OSError(f"no address is known for {names}")
        return found

    def _connect_attempt(self, host: str, hostip: str, port: int, retry: KazooRetry) -> Any:
        try:
            return super()._connect_attempt(host, hostip, port, retry)
        except Exception:  # noqa: BLE001 - of whatever kind: kazoo did not understand what came
            if self.client.client_state != KeeperState.CONNECTING:
                self.client._session_callback(KeeperState.CONNECTING)
            return None  # tried again, like a connection that broke

    def _connect(self, host: str, hostip: str, port: int) -> Any:
        # One server must not use up the time in which another one could save the session.
        seconds = min(self._connection_timeout, self.negotiated_timeout)
        if not self.client._session_id:
            seconds *= _SHARE_OF_TRIES
        self.handler.connect_timeout = seconds / len(self.client.hosts)
        before = len(self._broken_logins)
        known = self.handler.last_failure
        self.server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            timeouts = super()._connect(host, hostip, port)
        except SessionClosedRequireSaslError as error:
            # What servers answer to a wrong password that serve no client without a login.
            raise AuthFailedError("the servers refused the login") from error
        except BaseException as error:
            latest = self.handler.last_failure
            self.failures[self.server] = error if latest is None or latest is known else latest
            if len(self._broken_logins) == before:
                self._broken_logins.clear()  # a server that is away refuses nothing
            raise
        self._broken_logins.clear()
        self.failures.pop(self.server, None)
        self._sent_at = SYSTEM_CLOCK.monotonic()
        return timeouts

    def _invoke(self, timeout: float, request: Any, xid: int | None = None) -> Any:
        if not isinstance(request, Connect):
            return super()._invoke(timeout, request, xid)
        if self._unanswered_since is None:
            self._unanswered_since = SYSTEM_CLOCK.monotonic()
        try:
            answer = super()._invoke(min(timeout, self.handler.connect_timeout), request, xid)
        except KazooTimeoutError:
            self.handler.last_failure = OSError("the connection was taken, but nothing answered")
            if request.session_id and self._is_lost():
                raise SessionExpiredError("nothing answered for a session timeout") from None
            raise
        except Exception:
            self.handler.last_failure = OSError(
                "what answered is not a ZooKeeper server that serves, or wants TLS or wants none"
            )
            raise
        self._unanswered_since = None
        self.number += 1
        granted = answer[0].time_out
        if granted > 0:
            self.negotiated_timeout = granted / 1000
            if self.sasl_options is None:
                self.handler.last_failure = None
        return answer

    def _is_lost(self) -> bool:
        """Whether to let the session go, for which each try to connect asks the servers to wait.

        Where our requests get through and the answers do not, they would wait for ever, and so
        would everybody who stands behind our latch node.
        """
        since = self._unanswered_since
        return since is not None and SYSTEM_CLOCK.monotonic() - since >= self.negotiated_timeout

    @property
    def is_refused(self) -> bool:
        times = self._broken_logins
        return len(times) >= _BROKEN_LOGINS and times[-1] - times[0] >= _BROKEN_FOR

    def _authenticate_with_sasl(self, host: str, timeout: float) -> None:
        try:
            super()._authenticate_with_sasl(host, min(timeout, self.handler.connect_timeout))
        except AuthFailedError as error:
            if not isinstance(error.__cause__, ConnectionDropped):
                raise
            # kazoo would never connect again.
            self._broken_logins.append(SYSTEM_CLOCK.monotonic())
            self.handler.last_failure = OSError(
                "the connection was closed during the login, as a server does that refuses it: see "
                f"option {options.ZK_SASL_MECHANISM.key}, and what goes with it"
            )
            raise ConnectionDropped("the connection was closed during the login") from error
        except (ConnectionDropped, KazooTimeoutError):
            # Some servers that know no SASL do not answer at all, others close the connection.
            self.handler.last_failure = OSError(
                f"the server did not answer to SASL: see whether it knows it, or correct option "
                f"{options.ZK_SASL_MECHANISM.key}"
            )
            raise
        self.handler.last_failure = None

    def let_go(self) -> None:
        """Close our descriptor of the connection, and say nothing to the server."""
        connection, self._socket = self._socket, None
        if connection is not None:
            os.close(connection.detach())

    def drop(self) -> None:
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                # Not the method of SSLSocket, which would unwrap it under the reader's feet.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
