"""The HA store of a lab on ZooKeeper: servers of its own, or a quorum that was given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hawork.backends.zookeeper.settings import parse_quorum
from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.lab.run_directory import RunDirectory
from hawork.lab.stores.network import (
    NO_CONTROL_PLANE,
    PreparedFault,
    break_network,
    check_outage,
    check_partition,
    own_configuration,
)
from hawork.servers.kubernetes.control_plane import ControlPlane
from hawork.servers.tcp_proxy import TcpProxy
from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from hawork.servers.zookeeper.login import DigestLogin

SESSION_TIMEOUT = "4 s"
"""Short enough to watch, long enough for a busy machine."""


class ZooKeeperStore:
    """Servers of the lab's own, or a given quorum, and a proxy in front of each JobManager."""

    no_sessions = ""
    secrets: Sequence[str] = ()

    def __init__(self, run: RunDirectory, quorum: str | None, servers: int) -> None:
        self._run = run
        self._servers = None
        own: dict[str, str] = {}
        if quorum is None:
            login = DigestLogin()
            self._servers = ZooKeeperServers(run.path / "zookeeper", servers, login=login)
            quorum = self._servers.quorum
            # Every user of the machine can connect to it.
            own = {
                options.ZK_ACL.key: "creator",
                options.ZK_SASL_MECHANISM.key: "digest-md5",
                options.ZK_SASL_USERNAME.key: login.user,
                options.ZK_SASL_PASSWORD.key: login.password,
            }
        self.own = self._servers is not None
        self._addresses, self._chroot = parse_quorum(quorum)
        self._proxies: dict[str, list[TcpProxy]] = {}
        self.options: Mapping[str, str] = {
            options.ZK_QUORUM.key: quorum,
            options.ZK_SESSION_TIMEOUT.key: SESSION_TIMEOUT,
            # The servers' own addresses would lead around the proxies.
            options.ZK_ENSEMBLE_TRACKER.key: "false",
            **own,
        }

    @property
    def control_plane(self) -> ControlPlane:
        raise LabError(NO_CONTROL_PLANE)

    def start(self) -> None:
        if self._servers is not None:
            self._servers.start()

    def stop(self) -> None:
        for proxy in self._all_proxies():
            proxy.close()
        self._proxies.clear()
        if self._servers is not None:
            self._servers.stop()

    def config_file(self, process: str) -> Path:
        if not process.startswith("jm-"):
            return self._run.config_file
        if process not in self._proxies:
            self._proxies[process] = [TcpProxy(_address(server)) for server in self._addresses]
        addresses = ",".join(proxy.address for proxy in self._proxies[process])
        return own_configuration(
            self._run, process, {options.ZK_QUORUM.key: addresses + self._chroot}
        )

    def partition(self, process: str, how: str) -> PreparedFault:
        check_partition(how)
        if process not in self._proxies:
            raise LabError(f"{process} cannot be cut off from the store: choose a JobManager")

        def cut_off() -> None:
            for proxy in self._proxies[process]:
                break_network(proxy, how)

        return cut_off

    def outage(self, server: str | None, how: str) -> PreparedFault:
        check_outage(how)
        servers = self._own_servers("store_outage")
        target = servers.leader() if server == "leader" else server
        servers.named(target)
        return lambda: servers.pause(target) if how == "pause" else servers.kill(target)

    def heal(self) -> PreparedFault:
        return self._heal

    def _heal(self) -> None:
        for proxy in self._all_proxies():
            proxy.heal()
        if self._servers is not None:
            self._servers.resume()
            self._servers.restart()

    def expire_session(
        self, process: str, config: Configuration, session: str, *, connected: bool = False
    ) -> None:
        from hawork.backends.zookeeper.supervision import release_leadership
        from hawork.servers.zookeeper.sessions import session_ticket

        # A session ends by its timeout while its client is away, and never on an open connection:
        # that tells the client that its znodes go before it hears of the end, and a follower may
        # go on answering its pings.
        with contextlib.ExitStack() as away:
            for proxy in () if connected else self._proxies.get(process, ()):
                away.enter_context(proxy.severed())
            release_leadership(config, session_ticket(int(session, 16)))

    def server_data(self) -> Sequence[Path]:
        if self._servers is None:
            return ()
        return [self._servers.data(name) for name in self._servers.names]

    def _own_servers(self, verb: str) -> ZooKeeperServers:
        if self._servers is None:
            raise LabError(
                f"{verb} is not for servers that were given: leave out option "
                f"{options.ZK_QUORUM.key} and the lab starts its own"
            )
        return self._servers

    def _all_proxies(self) -> Iterable[TcpProxy]:
        return [proxy for proxies in self._proxies.values() for proxy in proxies]


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)
