"""The ZooKeeper backend on a real server, which all tests of a run share."""

from __future__ import annotations

import atexit
import contextlib
import functools
import tempfile
import uuid
from pathlib import Path

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError, NotEmptyError

from hawork.backends.registry import open_backend, release_leadership
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.events import EventLog
from hawork.core.options import checked
from hawork.ha.backend import Backend
from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from tests.contract.remembering import RememberingBackend, close_all, leading

TELLING = {"zookeeper.4lw.commands.whitelist": "*"}
"""Tests look at sessions and watches, too."""


@functools.cache
def shared_servers() -> ZooKeeperServers:
    """One server, started when the first test wants it, stopped at the end of the run."""
    directory = tempfile.TemporaryDirectory(prefix="hawork-test-zookeeper-")
    servers = ZooKeeperServers(Path(directory.name), properties=TELLING).start()
    atexit.register(directory.cleanup)
    atexit.register(servers.stop)
    return servers


def delete_tree(kazoo: KazooClient, path: str) -> None:
    """Delete every znode that stands under ``path`` now, and ``path`` itself.

    A running cluster creates its znodes again at once. kazoo's own recursive delete stops at
    the first one that has come back and leaves the rest of the tree as it was, the leader's
    latch node perhaps: what came back is left alone here, all the others go.
    """
    with contextlib.suppress(NoNodeError):
        for child in kazoo.get_children(path):
            delete_tree(kazoo, f"{path}/{child}")
        with contextlib.suppress(NotEmptyError):
            kazoo.delete(path)


class ZooKeeperHarness:
    """A cluster-id of its own. Closes what it handed out, drivers first."""

    def __init__(self, _: Path) -> None:
        self.config = checked(
            {
                "high-availability.type": "zookeeper",
                "high-availability.zookeeper.quorum": shared_servers().quorum,
                "high-availability.cluster-id": f"/contract-{uuid.uuid4().hex[:12]}",
                "high-availability.zookeeper.client.session-timeout": "40 s",
                "high-availability.zookeeper.client.ensemble-tracker": "false",
            }
        )
        self.events = EventLog("test")
        self._backends: list[RememberingBackend] = []

    def backend(self) -> Backend:
        backend = RememberingBackend(open_backend(self.config, SYSTEM_CLOCK, self.events))
        self._backends.append(backend)
        return backend

    def expire_leadership(self) -> None:
        """Close the leader's session under its feet."""
        driver = leading(self._backends)
        if driver is not None:
            release_leadership(self.config, driver.ticket())

    def close(self) -> None:
        close_all(self._backends)
