"""The ZooKeeper backend's ensemble: when sessions end, who leads, and what is cut off."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.paths import ZNodePaths, in_latch_order, session_id_of
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core.options import checked
from hawork.simulation.scheduler import Scheduler, SimulatedProcess
from hawork.simulation.stores.store import Store
from hawork.simulation.stores.zookeeper_client import SimulatedClient
from hawork.simulation.stores.zookeeper_server import ServerSession, ZooKeeperServer
from hawork.simulation.world import World

_OPTIONS = {
    "high-availability.type": "zookeeper",
    "high-availability.zookeeper.quorum": "simulated:2181",
    "high-availability.zookeeper.client.session-timeout": "3 s",
    "high-availability.zookeeper.client.connection-timeout": "2 s",
    "high-availability.zookeeper.client.max-close-wait": "2 s",
    "high-availability.zookeeper.client.ensemble-tracker": "false",
}
_PINGS = 1 / 3
"""Part of the session timeout between a client's pings."""
_NOTICED = 2 / 3
"""Part of it after which a client gives up a connection on which nothing answers."""


class ZooKeeperStore(Store):
    """The ensemble of one simulated cluster."""

    options = _OPTIONS
    expected_points = 280

    def __init__(self, world: World) -> None:
        self.world = world
        self.server = ZooKeeperServer(lambda client, kind, path: client.changed(kind, path))
        self.paths = ZNodePaths.of(checked(_OPTIONS))
        self._contenders: set[str] = set()
        self._leader: str | None = None
        """The first of the contenders."""
        world.cut_off = self._cut_off

    def substitutes(self) -> dict[tuple[Any, str], Callable[..., Any]]:
        def client(
            _: Scheduler, settings: ZooKeeperSettings, client_id: tuple[int, bytes] | None = None
        ) -> SimulatedClient:
            return SimulatedClient(self, settings, client_id)

        return {(zk, "ZooKeeperClient"): client}

    def leading(self) -> str | None:
        latch = self.server.nodes.get(self.paths.latch)
        if latch is None:
            return None
        if latch.children != self._contenders:
            self._contenders = set(latch.children)
            order = in_latch_order(list(latch.children))
            first = session_id_of(order[0]) if order else None
            self._leader = None if first is None else str(first)
        return self._leader

    def expire(self) -> None:
        """The session of the first in the latch ends, as by its timeout."""
        latch = self.server.nodes.get(self.paths.latch)
        if latch is not None and latch.children:
            first = in_latch_order(list(latch.children))[0]
            owner = self.server.nodes[f"{self.paths.latch}/{first}"].owner
            self._end(self.server.sessions[owner])

    def pointers_left(self) -> list[str]:
        top = f"{self.paths.pointers}/"
        return [
            f"znode {path}"
            for path in self.server.nodes
            if path.startswith(top) and "/" in path.removeprefix(top)
        ]

    def take_away(self, random: Random) -> str | None:
        top = f"{self.paths.pointers}/"
        nodes = self.server.nodes.items()
        paths = [path for path, node in nodes if path.startswith(top) and not node.children]
        if not paths:
            return None
        path = random.choice(sorted(paths))
        self.server.take_away(path)
        return path

    def process_died(self, process: SimulatedProcess) -> None:
        """The connection is closed; the session lasts until its timeout."""
        for session in list(self.server.sessions.values()):
            client = session.connection
            if client is not None and client.process is process:
                session.heard = self.world.scheduler.now
                session.connection = None
                client.connected = False
                self.server.forget_watches(client)

    def servers_restart(self) -> None:
        for session in list(self.server.sessions.values()):
            if session.connection is not None:
                session.connection.broken()

    def close(self) -> None:
        """Nothing is held."""

    def expect(self, session: ServerSession) -> None:
        """End the session when it is not heard of for its timeout."""
        scheduler = self.world.scheduler
        left = session.heard + session.timeout - scheduler.now
        scheduler.at(max(0.001, left), lambda: self._look(session))

    def _look(self, session: ServerSession) -> None:
        if session.over:
            return
        client, now = session.connection, self.world.scheduler.now
        if client is not None and client.connected:
            # A client that runs and is not cut off pings; one that is not did so until then.
            process, since = client.process, now
            if process.frozen:
                since = process.frozen_since
            elif (cut_since := self.world.cut_since(process.name)) is not None:
                since = cut_since
            if since < now:
                since -= self.world.random.random() * session.timeout * _PINGS
            session.heard = max(session.heard, since)
        if now - session.heard >= session.timeout:
            self._end(session)
        else:
            self.expect(session)

    def _end(self, session: ServerSession) -> None:
        client = session.connection
        self.server.end_session(session)
        if client is not None:
            self.server.forget_watches(client)
            client.broken()

    def _cut_off(self, name: str) -> None:
        """Clients of this process notice in time that nothing answers."""
        for session in list(self.server.sessions.values()):
            client = session.connection
            if client is not None and client.process.name == name:
                self.world.scheduler.at(session.timeout * _NOTICED, partial(self._notice, client))

    def _notice(self, client: SimulatedClient) -> None:
        if self.world.is_cut(client.process.name):
            client.broken()
