"""Znodes of a dump, in a ZooKeeper server of this machine."""

from __future__ import annotations

import re
from pathlib import Path

from hawork.backends.zookeeper.client import ZooKeeperClient
from hawork.core import options
from hawork.ha.configuration_file import load_configuration
from hawork.inspect.zookeeper_dumps import read_zookeeper_dump
from hawork.servers.zookeeper.ensemble import ZooKeeperServers

__all__ = ["serve_znodes"]


def serve_znodes(dump: Path, config: Path, directory: Path) -> ZooKeeperServers:
    """Start a server with the persistent znodes of a dump; ``config`` names it from now on.

    ``LabError`` when Java or ZooKeeper is missing.
    """
    servers = ZooKeeperServers(directory)
    servers.start()
    try:
        quorum = f"{options.ZK_QUORUM.key}: {servers.quorum}"
        text, found = re.subn(rf"(?m)^{re.escape(options.ZK_QUORUM.key)}:.*$", quorum,
                              config.read_text())  # fmt: skip
        config.write_text(text if found else f"{text}{quorum}\n")
        client = ZooKeeperClient.of(load_configuration(config))
        client.start()
        for znode in sorted(read_zookeeper_dump(dump.read_bytes()).znodes, key=lambda z: z.path):
            if znode.ephemeral_owner is None and znode.path != "/":
                client.create(znode.path, znode.data or b"", makepath=True)
        client.stop()
        client.close()
    except BaseException:
        servers.stop()
        raise
    return servers
