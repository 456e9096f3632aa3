"""How Flink logs in to ZooKeeper: with a JAAS file, where hawork has options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.private_files import write_private
from hawork.servers.zookeeper.login import DigestLogin
from hawork.servers.zookeeper.program import SHADED

FILE = "jaas.conf"


def write_login(conf: Path, config: Mapping[str, str]) -> None:
    """Put the JAAS file for the SASL user of ``config`` into a ``conf`` folder, if it has one."""
    values = Configuration(config)
    if values.get_option(options.ZK_SASL_MECHANISM) != "DIGEST-MD5":
        return
    login = DigestLogin(
        str(values.require(options.ZK_SASL_USERNAME, "SASL DIGEST-MD5 needs it")),
        str(values.require(options.ZK_SASL_PASSWORD, "SASL DIGEST-MD5 needs it")),
    )
    write_private(conf / FILE, login.client_jaas(SHADED))


def login_flags(conf: Path) -> list[str]:
    """The JVM's, where there is such a file."""
    file = conf / FILE
    return [f"-Djava.security.auth.login.config={file}"] if file.exists() else []
