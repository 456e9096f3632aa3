"""What an entry of an HA store says, hawork's or Flink's: its text whole, and where it points."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hawork.backends.kubernetes.layout import CLAIMED_BY, LOCK, OURS, component_of, decode_entry
from hawork.backends.zookeeper.paths import CONNECTION_INFO
from hawork.core.addresses import host_and_port
from hawork.core.types import REST_SERVER, StateHandle
from hawork.ha.storage import local_path
from hawork.inspect.entries import Entry
from hawork.inspect.errors import UndecodableError
from hawork.inspect.pointers import (
    FlinkPointer,
    decode_connection_info,
    decode_counter,
    decode_leader_text,
    decode_lock_record,
    decode_pointer,
)

_ZNODE_COUNTER = "checkpoint_id_counter"
_KEY_COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class StoreRow:
    """One entry, decoded; ``table`` is a table, the path above a znode, or a ConfigMap.

    ``version`` is the entry's own: in hawork's entries of a ConfigMap it is in the value.
    ``pointer`` is there when the entry leads to a file; one of Flink's has no ``sha256``.
    """

    entry: Entry
    table: str
    name: str
    version: str
    text: str
    pointer: StateHandle | None = None


def decoded(entries: Iterable[Entry], names: Mapping[str, str]) -> list[StoreRow]:
    """Every entry in its order. ``names`` are processes by pid, session or leadership.

    A leader that is not among them is named by the host and port that it published.
    """
    found = list(entries)
    known = {**_leaders(found), **names}
    return [_DECODERS[entry.place](entry, known) for entry in found]


def as_text(data: bytes) -> str:
    """Bytes as text, and how many there are when they are not."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"{len(data)} bytes"


def _leaders(entries: Iterable[Entry]) -> dict[str, str]:
    """The leader's host and port, by its session or by its identity in the lock."""
    holder = address = ""
    for entry in entries:
        data = entry.data or b""
        try:
            if entry.name.endswith(f"/{REST_SERVER}/{CONNECTION_INFO}") and entry.owner:
                information = decode_connection_info(data)
                return {entry.owner: host_and_port(information.address)} if information else {}
            if entry.place == "kubernetes" and entry.key == LOCK:
                holder = decode_lock_record(data.decode()).holder
            elif entry.place == "kubernetes" and component_of(entry.key or "") == REST_SERVER:
                address = host_and_port(decode_leader_text(data.decode()).address)
        except (UndecodableError, UnicodeDecodeError):
            continue
    return {holder: address} if holder and address else {}


# --- each place -----------------------------------------------------------------------------


def _embedded(entry: Entry, names: Mapping[str, str]) -> StoreRow:
    name = names.get(entry.owner or "", entry.key or "")
    data = entry.data or b""
    version = "" if entry.version is None else str(entry.version)
    return StoreRow(entry, entry.name, name, version, as_text(data), _own_pointer(data))


def _zookeeper(entry: Entry, names: Mapping[str, str]) -> StoreRow:
    table, _, name = entry.name.rpartition("/")
    text, pointer = _znode(name, entry.data or b"")
    if entry.owner:
        whose = f"{names[entry.owner]}, " if entry.owner in names else ""
        text = f"{text} ({whose}session {entry.owner})".strip()
    return StoreRow(entry, table, name, str(entry.version), text, pointer)


def _znode(name: str, data: bytes) -> tuple[str, StateHandle | None]:
    try:
        if not data:
            return "", None
        if name == CONNECTION_INFO:
            information = decode_connection_info(data)
            return f"{information.address} {information.session_id}" if information else "", None
        if name == _ZNODE_COUNTER and len(data) == 4:  # hawork's own counters are decimal text
            return f"next is {decode_counter(data, 'zookeeper')} (of Flink)", None
        return _of_flink(decode_pointer(data, "zookeeper"))
    except UndecodableError:
        if name == CONNECTION_INFO:
            return f"{len(data)} bytes that are not leader information", None
        return as_text(data), _own_pointer(data)


def _kubernetes(entry: Entry, names: Mapping[str, str]) -> StoreRow:
    key, data, version = entry.key or "", entry.data or b"", str(entry.version)
    text, pointer = as_text(data), None
    if key == LOCK:
        text = f"{_holder(text, names)}; {text}"
    elif key == CLAIMED_BY:
        text = f"{text} ({names.get(text, 'unknown')})"
    elif key.startswith(OURS) and data:
        own = decode_entry(text)
        version, text, pointer = str(own.version), as_text(own.value), _own_pointer(own.value)
    elif key == _KEY_COUNTER:
        text = f"next is {text} (of Flink)"
    else:
        with contextlib.suppress(UndecodableError):  # leader information, or another's text
            text, pointer = _of_flink(decode_pointer(data, "kubernetes"))
    return StoreRow(entry, entry.name, key, version, text, pointer)


_DECODERS = {"embedded": _embedded, "zookeeper": _zookeeper, "kubernetes": _kubernetes}


def _holder(text: str, names: Mapping[str, str]) -> str:
    try:
        holder = decode_lock_record(text).holder
    except UndecodableError:
        return "unreadable"
    return names.get(holder, "unknown") if holder else "released"


# --- pointers -------------------------------------------------------------------------------


def _own_pointer(data: bytes) -> StateHandle | None:
    try:
        return StateHandle.from_json(json.loads(data))
    except (ValueError, KeyError):
        return None


def _of_flink(pointer: FlinkPointer) -> tuple[str, StateHandle]:
    """The file, its size, and what is wrong: Flink ends when it recovers a missing one."""
    marked = "; marked for deletion" if pointer.marked_for_deletion else ""
    told = f"{pointer.uri} ({pointer.size} bytes, of Flink{marked}{_missing(pointer)})"
    return told, StateHandle(pointer.uri, pointer.size, "")


def _missing(pointer: FlinkPointer) -> str:
    path = local_path(pointer.uri)
    if path is None:
        return ""
    try:
        size = path.stat().st_size
    except OSError:
        return "; the file is MISSING"
    return "" if size == pointer.size else f"; the file has {size} bytes"
