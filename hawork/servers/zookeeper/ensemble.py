"""Real ZooKeeper servers on this machine: one, or an ensemble of three."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.private_files import write_private
from hawork.servers.class_archive import ArchiveMaker
from hawork.servers.local_servers import LocalServers
from hawork.servers.machine import HOST, free_ports
from hawork.servers.zookeeper.login import DigestLogin
from hawork.servers.zookeeper.program import ZooKeeperProgram

HEAP = "48m"
TICK = 0.5
"""Seconds; sessions last from two ticks to ``LONGEST_SESSION``."""
LONGEST_SESSION = 120.0

_PROPERTIES = {
    # What is asked without a login: no names of sessions, nodes or addresses.
    "zookeeper.4lw.commands.whitelist": "srvr,mntr",
    "zookeeper.admin.enableServer": "false",
    "zookeeper.preAllocSize": "1024",  # kB; the default reserves 64 MB per server
    # The page cache outlives every fault of the lab, which are those of processes.
    "zookeeper.forceSync": "no",
    "org.slf4j.simpleLogger.defaultLogLevel": "warn",
    "org.slf4j.simpleLogger.showDateTime": "true",
    "zookeeper.cnxTimeout": "1",  # seconds; between servers of one machine
}
_LOG4J2 = """\
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
appender.console.name=console
appender.console.type=CONSOLE
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %-5p %c{1} %m%n
"""


class ZooKeeperServers(LocalServers):
    """Servers ``zk-1``, ``zk-2``, ... below ``directory``; a context manager.

    ``settings`` are lines of ``zoo.cfg`` and win; ``properties`` are Java system properties.
    With ``login`` the servers refuse every client and every peer that does not log in as it.
    ``LabError`` when Java or ZooKeeper is missing says what to install.
    """

    called = "ZooKeeper server"

    def __init__(
        self,
        directory: Path,
        servers: int = 1,
        *,
        tick: float = TICK,
        settings: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        program: ZooKeeperProgram | None = None,
        login: DigestLogin | None = None,
    ) -> None:
        if servers not in (1, 3, 5):
            raise LabError(f"{servers} servers are not an ensemble: use 1, 3 or 5")
        self._program = program or ZooKeeperProgram.find()
        super().__init__(directory, [f"zk-{number + 1}" for number in range(servers)])
        self._archive = ArchiveMaker(self._program.java, self._program.class_path)
        self._properties = {**_PROPERTIES, **(properties or {})}
        self._login = login
        ports = free_ports(3 * servers)
        self._ports = dict(zip(self.names, ports, strict=False))
        self._prepare(ports, tick, settings or {})

    def __repr__(self) -> str:
        return f"ZooKeeperServers({self.quorum!r})"

    @property
    def quorum(self) -> str:
        """The connect string."""
        return ",".join(f"{HOST}:{self._ports[name]}" for name in self.names)

    def port(self, name: str) -> int:
        return self._ports[self.known(name)]

    # --- looking --------------------------------------------------------------------------

    def role(self, name: str) -> str | None:
        """``standalone``, ``leader`` or ``follower``; ``None`` while it does not serve."""
        for line in self.four_letters(name, "srvr").splitlines():
            key, _, value = line.partition(": ")
            if key == "Mode":
                return value
        return None

    def leader(self) -> str:
        """The server that leads the ensemble. ``LabError`` when none does."""
        for name in self.names:
            if self.role(name) in ("leader", "standalone"):
                return name
        raise LabError("no ZooKeeper server leads: see that most of them run")

    def metrics(self, name: str) -> dict[str, str]:
        """What the server counts (its command ``mntr``)."""
        lines = self.four_letters(name, "mntr").splitlines()
        pairs = (line.partition("\t") for line in lines)
        return {key.removeprefix("zk_"): value for key, _, value in pairs}

    def four_letters(self, name: str, command: str) -> str:
        """The answer to one of the server's four-letter commands; empty when it is down."""
        try:
            with socket.create_connection((HOST, self.port(name)), timeout=1.0) as connection:
                connection.sendall(command.encode())
                return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        except OSError:
            return ""

    def data(self, name: str) -> Path:
        """Where a server keeps its snapshots and its log of transactions."""
        return self._directory / self.known(name) / "data"

    # --- helpers --------------------------------------------------------------------------

    def stop(self) -> None:
        """End all servers at once; what they stored stays."""
        self._archive.stop()
        super().stop()

    def _started(self) -> None:
        self._archive.start()

    def _serves(self, name: str) -> bool:
        return self.role(name) is not None

    def _prepare(self, ports: Sequence[int], tick: float, settings: Mapping[str, str]) -> None:
        count = len(self.names)
        members = {}
        if count > 1:
            for index in range(count):
                quorum, election = ports[count + index], ports[2 * count + index]
                members[f"server.{index + 1}"] = f"{HOST}:{quorum}:{election}"
        for index, name in enumerate(self.names):
            home = self._directory / name
            self.data(name).mkdir(parents=True, exist_ok=True)
            (self.data(name) / "myid").write_text(f"{index + 1}\n")
            (home / "log4j2.properties").write_text(_LOG4J2)
            lines = {
                "tickTime": str(round(tick * 1000)),
                "initLimit": "20",
                "syncLimit": "4",
                "dataDir": str(self.data(name)),
                "clientPort": str(ports[index]),
                "clientPortAddress": HOST,
                "maxClientCnxns": "0",
                "maxSessionTimeout": str(round(LONGEST_SESSION * 1000)),
                "standaloneEnabled": "true",
                "quorumListenOnAllIPs": "false",
                **members,
                **(self._login.settings(self._program.package, count) if self._login else {}),
                **settings,
            }
            text = "".join(f"{key}={value}\n" for key, value in lines.items())
            (home / "zoo.cfg").write_text(text)

    def _launch(self, name: str) -> None:
        home = self._directory / name
        properties = {
            **self._properties,
            "log4j.configurationFile": f"file:{home / 'log4j2.properties'}",
        }
        if self._login is not None:
            jaas = home / "jaas.conf"
            write_private(jaas, self._login.server_jaas(self._program.package))
            properties["java.security.auth.login.config"] = str(jaas)
        argv = self._program.command(properties, HEAP, home / "zoo.cfg")
        self._running().start(name, argv, log=self.log(name))
