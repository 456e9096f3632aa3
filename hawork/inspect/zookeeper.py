"""The znodes of a cluster at this moment. Only reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hawork.backends.zookeeper.paths import ZNodePaths, in_latch_order
from hawork.backends.zookeeper.session import ZooKeeperSession
from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.inspect.entries import Entry
from hawork.inspect.znodes import kind_of, session_text
from hawork.inspect.zookeeper_session import open_to_look


def read_entries(config: Configuration) -> list[Entry]:
    """Each znode of the cluster, a parent before its children; owners are hexadecimal text.

    ``StoreUnavailableError`` when no server answers within the connection timeout: those of a lab
    may be coming up.
    """
    session = open_to_look(config, seconds=config.get_option(options.ZK_CONNECTION_TIMEOUT))
    try:
        return list(_below(session, ZNodePaths.of(config).cluster))
    finally:
        session.close()


def _below(session: ZooKeeperSession, path: str) -> Iterator[Entry]:
    def listed(client: Any) -> Any:
        return client.get_children_async(path)

    (children,) = session.read_all([listed], path)
    names = in_latch_order(children or [])
    reads = [(lambda client, child=f"{path}/{name}": client.get_async(child)) for name in names]
    for name, found in zip(names, session.read_all(reads, path), strict=True):
        if found is not None:
            data, stat = found
            _, owner = kind_of(stat.ephemeralOwner)
            yield Entry(
                "zookeeper", f"{path}/{name}", data, version=stat.version,
                owner=None if owner is None else session_text(owner),
                created=stat.ctime / 1000, changed=stat.mtime / 1000,
            )  # fmt: skip
            if stat.numChildren:
                yield from _below(session, f"{path}/{name}")
