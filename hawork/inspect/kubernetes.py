"""The ConfigMaps of a cluster at this moment, decoded. Only reads."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping

from hawork.backends.kubernetes.answers import ConfigMap
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.layout import (
    CLAIMED_BY,
    LOCK,
    OURS,
    Names,
    decode_entry,
    register_of,
)
from hawork.backends.kubernetes.lock_record import Lock
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.addresses import host_and_port
from hawork.core.configuration import Configuration
from hawork.core.errors import CorruptStateError
from hawork.core.types import REST_SERVER
from hawork.ha.java_serialization import decode_marked_state_handle
from hawork.inspect.text import flink_pointer

_COUNTER = "counter"
"""Flink's checkpoint id counter, in the ConfigMap of a job."""


def config_maps(
    config: Configuration, names: Mapping[str, str]
) -> Iterator[tuple[str, str, str, str]]:
    """Each annotation and key: its ConfigMap, its name, its version, what it says.

    ``names`` are processes by the session id of their leadership; the leader is otherwise known
    by its REST address. hawork's entries have a version of their own; for all else it is the
    ConfigMap's. Flink's pointers are decoded.
    ``StoreUnavailableError`` when the server does not answer.
    """
    settings = KubernetesSettings.of(config)
    client, cluster = KubernetesClient(settings), Names(settings.cluster_id)
    try:
        listed, _ = client.list({"labelSelector": cluster.looser_selector})
    finally:
        client.close()
    found = [each for each in listed if cluster.has(each.name)]
    names = {**_leader(found), **names}
    for each in sorted(found, key=lambda each: (not _is_cluster_map(each), each.name)):
        for key, version, text in _entries(each, names):
            yield each.name, key, version, text


def _leader(found: Iterable[ConfigMap]) -> dict[str, str]:
    """The host and port of who holds the lock, by its identity."""
    for each in found:
        lock, information = Lock.of(each), register_of(each.data).get(REST_SERVER)
        if lock and lock.holder and information:
            return {lock.holder: host_and_port(information.address)}
    return {}


def _entries(found: ConfigMap, names: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for key, text in sorted(found.annotations.items()):
        shown = _lock(found, names) if key == LOCK else text
        if key == CLAIMED_BY:
            shown = f"{text} ({names.get(text, 'unknown')})"
        yield key, found.resource_version, shown
    for key, text in sorted(found.data.items()):
        if key.startswith(OURS) and text:
            entry = decode_entry(text)
            yield key, str(entry.version), entry.value.decode(errors="replace")
        else:
            yield key, found.resource_version, _of_flink(key, text)


def _of_flink(key: str, text: str) -> str:
    if key == _COUNTER:
        return f"next is {text} (of Flink)"
    try:
        handle, marked = decode_marked_state_handle(base64.b64decode(text, validate=True))
    except (ValueError, CorruptStateError):
        return text
    return flink_pointer(handle, marked=marked)


def _lock(found: ConfigMap, names: Mapping[str, str]) -> str:
    lock = Lock.of(found)
    if lock is None or not lock.holder:
        return f"nobody; {lock.text}" if lock else ""
    return f"{names.get(lock.holder, 'unknown')}; {lock.text}"


def _is_cluster_map(found: ConfigMap) -> bool:
    return LOCK in found.annotations
