"""Whether the servers of a ZooKeeper ensemble hold the same, each one asked by itself.

What hawork promises holds on a store that keeps its own. An ensemble whose servers differ shows
a leader one state and its clients another one, and no client can help it. Releases of ZooKeeper
such as 3.8.0 can lose transactions when servers are killed while they catch up (ZOOKEEPER-4646,
ZOOKEEPER-4785).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from hawork.backends.zookeeper.settings import parse_quorum
from hawork.client.waiting import Waiting
from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.inspect.entries import Entry
from hawork.inspect.store import read_entries

Held: TypeAlias = Mapping[str, frozenset[Entry]]
"""The entries of one cluster, by the server that holds them."""

_POLL = 0.5  # seconds; a look at each server costs a connection


def lasting_differences(config: Configuration, within: float) -> list[str]:
    """Which server lacks an entry that another one holds, and goes on to; empty when none does.

    A server may be late, and entries change while jobs run: what differs in each look of
    ``within`` seconds counts. ``StoreUnavailableError`` for a server that does not answer.
    """
    lasting: set[tuple[str, Entry]] | None = None

    def agree() -> bool | None:
        nonlocal lasting
        now = missing(entries_of_each(config))
        lasting = now if lasting is None else lasting & now
        return None if lasting else True

    try:
        Waiting("servers that agree", agree, timeout=within, poll=_POLL).wait()
    except LabError:
        pass
    else:
        return []
    return [
        f"{server} lacks znode {entry.name} in version {entry.version}, which another server has"
        for server, entry in sorted(lasting or (), key=lambda each: (each[0], each[1].name))
    ]


def entries_of_each(config: Configuration) -> Held:
    """The znodes of the cluster on each server of the quorum."""
    servers, chroot = parse_quorum(str(config.get_option(options.ZK_QUORUM)))
    return {
        server: frozenset(
            read_entries(config.with_values({options.ZK_QUORUM.key: server + chroot}))
        )
        for server in servers
    }


def missing(held: Held) -> set[tuple[str, Entry]]:
    """Each server with each entry that it lacks and another server holds."""
    everything = frozenset[Entry]().union(*held.values())
    return {(server, entry) for server, entries in held.items() for entry in everything - entries}
