"""Finding a ZooKeeper server that is installed on this machine.

Looked at in this order: the Debian and Ubuntu package ``zookeeper`` (which Binder has), a
distribution below ``ZOOKEEPER_HOME``, and the ZooKeeper that Apache Flink carries inside the
jars of PyPI's ``apache-flink-libraries``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.user_files import is_file
from hawork.servers.class_archive import archive_flags
from hawork.servers.java import find_java, flink_jars

_MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
SHADED = "org.apache.flink.shaded.zookeeper3."
_DEBIAN_JAR = Path("/usr/share/java/zookeeper.jar")  # its manifest names nearly all others
# Not named in it: a logger that prints, and the parts of Netty that TLS needs.
_DEBIAN_MORE = ("slf4j-simple.jar", "netty-[a-z]*.jar")

_NO_ZOOKEEPER = (
    "no ZooKeeper server is installed: run 'apt-get install zookeeper' or "
    "'pip install apache-flink-libraries==1.20.5', set ZOOKEEPER_HOME to a distribution, or give "
    "the quorum of running servers in option high-availability.zookeeper.quorum"
)


@dataclass(frozen=True, slots=True)
class ZooKeeperProgram:
    """How to run a ZooKeeper server: Java, class path and main class."""

    java: str
    class_path: str
    main: str

    @classmethod
    def find(cls) -> ZooKeeperProgram:
        """The first one installed. ``LabError`` says what to install when there is none."""
        java = find_java("ZooKeeper")
        for jars in server_jars():
            of_flink = any(jar.name.startswith("flink-dist") for jar in jars)
            return cls(java, _joined(jars), SHADED + _MAIN if of_flink else _MAIN)
        raise LabError(_NO_ZOOKEEPER)

    @classmethod
    def of_flink(cls) -> ZooKeeperProgram:
        """The one in Flink's jars. ``LabError`` when they are not installed."""
        java, jars = find_java("ZooKeeper"), flink_jars()
        if not jars:
            raise LabError(
                "Apache Flink's jars are not installed: run 'pip install "
                "apache-flink-libraries==1.20.5'"
            )
        return cls(java, _joined(jars), SHADED + _MAIN)

    @property
    def package(self) -> str:
        """What stands in front of the names of ZooKeeper's classes."""
        return self.main.removesuffix(_MAIN)

    def command(self, properties: dict[str, str], heap: str, config: Path) -> list[str]:
        """The command line of a server with a small heap."""
        archive = archive_flags(self.java, self.class_path, "server")
        return [
            self.java, *archive, f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true",
            *(f"-D{key}={value}" for key, value in properties.items()),
            "-cp", self.class_path, self.main, str(config),
        ]  # fmt: skip


def server_jars() -> Iterator[list[Path]]:
    """The jars of each server that is installed, the preferred one first."""
    if is_file(_DEBIAN_JAR):
        more = [jar for pattern in _DEBIAN_MORE for jar in sorted(_DEBIAN_JAR.parent.glob(pattern))]
        yield [_DEBIAN_JAR, *more]
    home = os.environ.get("ZOOKEEPER_HOME")
    jars = sorted((Path(home) / "lib").glob("*.jar")) if home else []
    if any(jar.name.startswith("zookeeper") for jar in jars):
        yield jars
    flink = flink_jars()
    if flink:
        yield flink


def _joined(jars: list[Path]) -> str:
    return os.pathsep.join(map(str, jars))
