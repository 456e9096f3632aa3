"""The znodes of a cluster at this moment, decoded. Only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hawork.backends.zookeeper.paths import CONNECTION_INFO, ZNodePaths, in_latch_order
from hawork.backends.zookeeper.session import ZooKeeperSession
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core.addresses import host_and_port
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.errors import CorruptStateError, HaworkError
from hawork.core.events import NullEventSink
from hawork.core.types import REST_SERVER
from hawork.ha.java_serialization import decode_leader_information, decode_state_handle
from hawork.inspect.text import flink_pointer

_COUNTER = "checkpoint_id_counter"
_COUNTER_BYTES = 4  # hawork's own counters are decimal text


def znodes(config: Configuration, names: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """Each znode of the cluster: its parent's path, its name, its version, what it says.

    ``names`` are processes by session, as hexadecimal text; the leader is otherwise known by its
    REST address. Znodes of Flink are decoded, too.
    ``StoreUnavailableError`` when no server answers.
    """
    paths = ZNodePaths.of(config)
    session = ZooKeeperSession(ZooKeeperSettings.of(config), SYSTEM_CLOCK, NullEventSink())
    session.open()
    try:
        yield from _below(session, paths.cluster, {**_leader(session, paths), **names})
    finally:
        session.close()


def _leader(session: ZooKeeperSession, paths: ZNodePaths) -> dict[str, str]:
    """The leader's host and port, by its session."""
    path = paths.connection_info(REST_SERVER)
    (found,) = session.read_all([lambda client: client.get_async(path)], path)
    if found is None or not found[0]:
        return {}
    try:
        information = decode_leader_information(found[0])
    except HaworkError:
        return {}
    owner = f"{found[1].ephemeralOwner:#x}"
    return {owner: host_and_port(information.address)} if information else {}


def _below(
    session: ZooKeeperSession, path: str, owners: Mapping[str, str]
) -> Iterator[tuple[str, str, str, str]]:
    def listed(client: Any) -> Any:
        return client.get_children_async(path)

    (children,) = session.read_all([listed], path)
    names = in_latch_order(children or [])
    reads = [(lambda client, child=f"{path}/{name}": client.get_async(child)) for name in names]
    for name, found in zip(names, session.read_all(reads, path), strict=True):
        if found is not None:
            data, stat = found
            text = _text(name, data)
            if stat.ephemeralOwner:
                owner = f"{stat.ephemeralOwner:#x}"
                known = f"{owners[owner]}, " if owner in owners else ""
                text = f"{text} ({known}session {owner})"
            yield path, name, str(stat.version), text.strip()
            if stat.numChildren:
                yield from _below(session, f"{path}/{name}", owners)


def _text(name: str, data: bytes) -> str:
    if not data:
        return ""
    if name == CONNECTION_INFO:
        try:
            information = decode_leader_information(data)
        except HaworkError:
            return f"{len(data)} bytes that are no leader information"
        return f"{information.address} {information.session_id}" if information else ""
    if name == _COUNTER and len(data) == _COUNTER_BYTES:
        return f"next is {int.from_bytes(data, 'big')} (of Flink)"
    try:
        handle = decode_state_handle(data)
    except CorruptStateError:
        return data.decode(errors="replace")
    return flink_pointer(handle)
