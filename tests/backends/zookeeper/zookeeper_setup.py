"""What the ZooKeeper tests share: clusters on a real server, and contenders that remember."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from kazoo.client import KazooClient

from hawork.backends.zookeeper.election_driver import ZooKeeperLeaderElectionDriver
from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.backends.zookeeper.services import ZooKeeperBackend, open_backend
from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.events import EventLog
from hawork.core.types import LeaderInformation, LeaderSessionID
from hawork.servers.machine import HOST
from hawork.servers.tcp_proxy import TcpProxy
from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from hawork.testing import eventually

SESSION_TIMEOUT = 4.0


class Contender:
    """A driver's listener that keeps what it was told, and when."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, float]] = []
        self.session_id: LeaderSessionID | None = None
        self.changes: list[tuple[str, LeaderInformation | None]] = []
        self.tickets: list[dict[str, str]] = []
        self.at_grant: Callable[[], object] = lambda: None
        """Called as the leadership is granted, before that is noted."""
        self._told = threading.Condition()
        self.driver: ZooKeeperLeaderElectionDriver

    def on_grant_leadership(self, session_id: LeaderSessionID) -> None:
        assert self.session_id is None, "granted twice without a revocation"
        self.at_grant()
        self._note("grant", session_id, session_id)

    def on_revoke_leadership(self) -> None:
        assert self.session_id is not None, "revoked without a grant"
        self._note("revoke", self.session_id, None)

    def on_leader_information_change(
        self, component_id: str, information: LeaderInformation | None
    ) -> None:
        self.changes.append((component_id, information))

    def on_leader_information_register(self, register: object) -> None:
        raise AssertionError("this backend tells single changes")

    def on_ticket_change(self, ticket: dict[str, str]) -> None:
        self.tickets.append(ticket)

    def on_error(self, error: Exception) -> None:
        self._note("error", error, self.session_id)

    def _note(self, kind: str, value: Any, session_id: LeaderSessionID | None) -> None:
        with self._told:
            self.calls.append((kind, value, time.monotonic()))
            self.session_id = session_id
            self._told.notify_all()

    def wait(self, what: Callable[[Contender], bool], timeout: float = 60.0) -> None:
        with self._told:
            assert self._told.wait_for(lambda: what(self), timeout), self.calls

    def granted(self, different_from: LeaderSessionID | None = None) -> LeaderSessionID:
        self.wait(lambda me: me.session_id not in (None, different_from))
        assert self.session_id is not None
        return self.session_id

    def revoked(self) -> None:
        # Alone in the latch it is granted again before anybody has looked.
        self.wait(lambda me: "revoke" in me.kinds())

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.calls]

    def time_of(self, kind: str, value: Any) -> float:
        return next(at for k, v, at in self.calls if (k, v) == (kind, value))

    @property
    def leads(self) -> bool:
        return self.session_id is not None and self.driver.has_leadership(self.session_id)


class Observer:
    """A retrieval driver's observer that keeps what it was told."""

    def __init__(self) -> None:
        self.seen: list[LeaderInformation | None] = []
        self.errors: list[Exception] = []

    def on_leader_information(self, information: LeaderInformation | None) -> None:
        self.seen.append(information)

    def on_error(self, error: Exception) -> None:
        self.errors.append(error)

    def wait_for(self, information: LeaderInformation | None) -> None:
        eventually(lambda: self.seen and self.seen[-1] == information)


class ClusterUnderTest:
    """One cluster-id on a real server, seen by several processes' worth of backends."""

    def __init__(self, servers: ZooKeeperServers) -> None:
        self.servers = servers
        self.values: dict[str, Any] = {
            options.HA_TYPE.key: "zookeeper",
            options.ZK_QUORUM.key: servers.quorum,
            options.CLUSTER_ID.key: f"/test-{uuid.uuid4().hex[:12]}",
            options.ZK_SESSION_TIMEOUT.key: f"{SESSION_TIMEOUT:g} s",
            options.ZK_CONNECTION_TIMEOUT.key: "60 s",
            options.ZK_RETRY_WAIT.key: "500 ms",
            options.ZK_ENSEMBLE_TRACKER.key: "false",
        }
        self.paths = ZNodePaths.of(self.config())
        self.events = EventLog("test")
        self._closing: list[Callable[[], object]] = []
        self._kazoo: KazooClient | None = None

    def config(self, **values: Any) -> Configuration:
        """Options of the cluster; keyword arguments are names of ``hawork.core.options``."""
        named = {getattr(options, name).key: value for name, value in values.items()}
        return options.checked({**self.values, **named})

    def open(self, **values: Any) -> ZooKeeperBackend:
        backend = open_backend(self.config(**values), SYSTEM_CLOCK, self.events)
        self._closing.append(backend.close)
        return backend

    def contender(self, **values: Any) -> Contender:
        """A contender with a session of its own; it stands in the latch when this returns."""
        return self.contend(self.open(**values))

    def contend(self, backend: ZooKeeperBackend, *, wait: bool = True) -> Contender:
        """``wait`` looks at the latch with the plain client, whose pings a server counts, too."""
        before = len(self.latch()) if wait else 0
        contender = Contender()
        contender.driver = backend.election_driver(contender)
        self._closing.append(contender.driver.close)
        if wait:
            eventually(lambda: len(self.latch()) > before)
        return contender

    def proxy(self, name: str | None = None) -> TcpProxy:
        server = name or self.servers.names[0]
        proxy = TcpProxy((HOST, self.servers.port(server)))
        self._closing.append(proxy.close)
        return proxy

    # --- looking and meddling with a plain client ------------------------------------------

    @property
    def kazoo(self) -> KazooClient:
        if self._kazoo is None:
            self._kazoo = KazooClient(self.servers.quorum, timeout=10)
            self._kazoo.start()
        return self._kazoo

    def latch(self) -> list[str]:
        if self.kazoo.exists(self.paths.latch) is None:
            return []
        return sorted(self.kazoo.get_children(self.paths.latch), key=lambda name: name[-10:])

    def close(self) -> None:
        for close in reversed(self._closing):
            close()
        if self._kazoo is not None:
            self._kazoo.stop()
            self._kazoo.close()
