"""Following an ensemble that changes its members (``client.ensemble-tracker``).

Source: Curator's ``EnsembleTracker``: the servers keep their configuration in
``/zookeeper/config``; a client that knows new members finds one when the old ones are gone.
"""

from __future__ import annotations

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.session import ZooKeeperSession
from hawork.core.connection import ConnectionState
from hawork.core.errors import HighAvailabilityError
from hawork.ha.serial_executor import SerialExecutor

_CONFIG = "/zookeeper/config"
_ANY_ADDRESS = ("0.0.0.0", "0:0:0:0:0:0:0:0", "[0:0:0:0:0:0:0:0]")


class EnsembleTracker:
    """Watches the ensemble's configuration as long as the session is open."""

    def __init__(self, session: ZooKeeperSession, executor: SerialExecutor) -> None:
        self._session = session
        self._executor = executor
        # Behind a chroot the servers' own znode cannot be seen.
        if session.settings.track_ensemble and not session.settings.chroot:
            session.add_listener(self._on_state)
            executor.submit(self._look)

    def _on_state(self, state: ConnectionState) -> None:
        if state.usable:
            self._executor.submit(self._look)

    def _look(self) -> None:
        try:
            data, _ = self._session.read(
                lambda client: client.get_async(_CONFIG, watch=self._on_watch), _CONFIG
            )
        except (HighAvailabilityError, zk.ZookeeperError):
            return  # an old server, or no rights: the servers of the option stay
        known = list(self._session.settings.servers)
        added = [server for server in client_addresses(data.decode()) if server not in known]
        if added:
            self._session.use_servers([*known, *added])

    def _on_watch(self, _: zk.WatchedEvent) -> None:
        self._executor.submit(self._look)


def client_addresses(configuration: str) -> list[str]:
    """``host:port`` of each server that says where clients find it.

    >>> client_addresses("server.1=a:2888:3888:participant;0.0.0.0:2181")
    ['a:2181']
    """
    found = []
    for line in configuration.splitlines():
        key, _, value = line.partition("=")
        server, separator, client = value.partition(";")
        if not key.startswith("server.") or not separator:
            continue
        host, _, port = client.rpartition(":")
        if not host or host in _ANY_ADDRESS:
            bracket = server.find("]") + 1  # of an IPv6 address
            host = server[:bracket] or server.partition(":")[0]
        if port.isdigit():
            found.append(f"{host}:{port}")
    return found
