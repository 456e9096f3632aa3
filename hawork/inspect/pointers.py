"""The small values in an HA store: pointers, leader information, counters, locks; both ways.

Source: ``ZooKeeperStateHandleStore``, ``KubernetesStateHandleStore``, ``ZooKeeperUtils``,
Curator's ``SharedCount``, fabric8's ``LeaderElectionRecord``. What is encoded is byte for byte
what Flink writes: only then does it take a repaired entry for its own.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from hawork.backends.kubernetes import layout
from hawork.core.errors import CorruptStateError, LeaderRetrievalError
from hawork.core.types import LeaderInformation
from hawork.ha.java_serialization import (
    decode_leader_information,
    decode_state_handle,
    encode_leader_information,
    encode_state_handle,
)
from hawork.inspect.errors import UndecodableError
from hawork.inspect.handles import path_of_uri, uri_of_path
from hawork.inspect.java import JavaObject, JavaValue, read_object
from hawork.inspect.java_reader import HEADER
from hawork.inspect.versions import FlinkVersions

__all__ = [
    "MARKER_UID_1_15",
    "MARKER_UID_1_19",
    "FlinkPointer",
    "LockRecord",
    "Service",
    "decode_connection_info",
    "decode_counter",
    "decode_leader_text",
    "decode_lock_child",
    "decode_lock_record",
    "decode_pointer",
    "encode_connection_info",
    "encode_counter",
    "encode_leader_text",
    "encode_lock_record",
    "encode_pointer",
    "marker_uid",
]

Service = Literal["zookeeper", "kubernetes"]

_MARKED: Final = (
    "org.apache.flink.kubernetes.highavailability.KubernetesStateHandleStore"
    "$StateHandleWithDeleteMarker"
)
_RETRIEVABLE: Final = "org.apache.flink.runtime.state.RetrievableStreamStateHandle"
_FILE: Final = "org.apache.flink.runtime.state.filesystem.FileStateHandle"
_UIDS: Final = {
    _RETRIEVABLE: 0x00011E18F155972B,
    _FILE: 0x04DC75D862BD1BB3,
    "org.apache.flink.core.fs.Path": 1,
    "java.net.URI": 0xAC01782E439E49AB - (1 << 64),
}
"""What Java compares before it reads an object: another number is an ``InvalidClassException``."""

MARKER_UID_1_15: Final = 0x9F813BF39965437F - (1 << 64)
"""``StateHandleWithDeleteMarker`` of Flink 1.15 to 1.18: computed by Java, not declared."""
MARKER_UID_1_19: Final = 0x1BAD4480EF860D7C
"""The same of Flink 1.19 and later, for which pointers with the other number are not there."""


@dataclass(frozen=True, slots=True)
class FlinkPointer:
    """What leads from the HA store to a file.

    ``path`` is the file as ``Path.toString`` writes it and ``uri`` as it is stored; ``size`` its
    bytes. ``marked_for_deletion`` and ``serial_version_uid`` are those of the delete marker, which
    there is on Kubernetes only. ``handle_class`` is that of the handle inside.
    """

    path: str
    size: int
    marked_for_deletion: bool | None
    serial_version_uid: int | None
    handle_class: str
    uri: str


def marker_uid(flink_version: str) -> int:
    """The ``serialVersionUID`` that this release, such as ``1.18.1``, expects on Kubernetes."""
    old = flink_version in FlinkVersions(last="1.18")
    return MARKER_UID_1_15 if old else MARKER_UID_1_19


def decode_pointer(data: bytes, service: Service) -> FlinkPointer:
    """A pointer of Flink's, of a job graph or a checkpoint.

    On Kubernetes ``data`` is the value of the key, base64, or the bytes in it. ``UndecodableError``
    for everything that Flink could not read, too; a ``serialVersionUID`` of the delete marker that
    belongs to another release is left for the caller to judge.
    """
    what = "pointer"
    if service == "zookeeper":
        usual = _usual(data)
        return usual or _pointer(read_object(data, what), None, None)
    if not data.startswith(HEADER):
        data = _from_base64(data, what)
    marked = _expect(read_object(data, what), _MARKED, what)
    mark = marked.fields.get("markedForDeletion")
    if not isinstance(mark, bool):
        raise _lacks(marked, "markedForDeletion", what)
    return _pointer(marked.fields.get("inner"), mark, marked.serial_version_uid)


def _usual(data: bytes) -> FlinkPointer | None:
    """What is byte for byte as Flink writes it; 50 times as fast as reading objects."""
    try:
        handle = decode_state_handle(data)
    except CorruptStateError:
        return None
    if not handle.uri or encode_state_handle(handle.uri, handle.size) != data:
        return None
    return FlinkPointer(path_of_uri(handle.uri), handle.size, None, None, _FILE, handle.uri)


def _pointer(value: JavaValue, mark: bool | None, uid: int | None) -> FlinkPointer:
    what = "pointer"
    retrievable = _expect(value, _RETRIEVABLE, what)
    handle = _expect(retrievable.fields.get("wrappedStreamStateHandle"), _FILE, what)
    size = handle.fields.get("stateSize")
    path = _expect(handle.fields.get("filePath"), "org.apache.flink.core.fs.Path", what)
    uri = _expect(path.fields.get("uri"), "java.net.URI", what).fields.get("string")
    if not isinstance(size, int) or size < 0:
        raise _lacks(handle, "stateSize", what)
    if not isinstance(uri, str) or not uri:
        raise _lacks(path, "uri", what)
    return FlinkPointer(path_of_uri(uri), size, mark, uid, handle.class_name, uri)


def encode_pointer(
    path: str,
    size: int,
    service: Service,
    *,
    marked_for_deletion: bool = False,
    serial_version_uid: int = MARKER_UID_1_19,
) -> bytes:
    """The bytes that Flink writes for a pointer to the file ``path`` of ``size`` bytes.

    On Kubernetes base64, as it stands in the ConfigMap; ``marker_uid`` says which
    ``serialVersionUID`` a release reads. ``ValueError`` for a size or path that has no such bytes.
    """
    handle = encode_state_handle(uri_of_path(path), size)
    if service == "zookeeper":
        return handle
    marked = _MARKED.encode()
    inner = b"Lorg/apache/flink/runtime/state/RetrievableStateHandle;"
    return base64.b64encode(
        HEADER
        + b"sr" + struct.pack(">H", len(marked)) + marked
        + struct.pack(">q", serial_version_uid)
        + b"\x02\x00\x02Z\x00\x11markedForDeletionL\x00\x05innert"
        + struct.pack(">H", len(inner)) + inner
        + b"xp" + bytes((marked_for_deletion,))
        + handle.removeprefix(HEADER)
    )  # fmt: skip


# --- leader information ---------------------------------------------------------------------


def decode_connection_info(data: bytes) -> LeaderInformation | None:
    """A znode ``connection_info``; ``None`` when it is empty: there is no leader."""
    try:
        return decode_leader_information(data)
    except LeaderRetrievalError as error:
        raise UndecodableError("leader information", str(error)) from None


def encode_connection_info(information: LeaderInformation) -> bytes:
    """The bytes of a znode ``connection_info``."""
    return encode_leader_information(information)


def decode_leader_text(text: str) -> LeaderInformation:
    """``<session id>,<address>``, the value of a key ``org.apache.flink.k8s.leader...``."""
    try:
        return layout.decode_leader_information(text)
    except LeaderRetrievalError as error:
        raise UndecodableError("leader information", str(error)) from None


def encode_leader_text(information: LeaderInformation) -> str:
    """The value of a key ``org.apache.flink.k8s.leader...``."""
    return layout.encode_leader_information(information)


# --- counters ---------------------------------------------------------------------------------


def decode_counter(data: bytes, service: Service) -> int:
    """The next checkpoint id: four bytes of a znode, or decimal text in a ConfigMap."""
    what = "checkpoint id counter"
    if service == "zookeeper":
        if len(data) != 4:
            raise UndecodableError(what, f"it has {len(data)} bytes, not 4", offset=len(data))
        return int(struct.unpack(">i", data)[0])
    text = data.decode("ascii", "replace")
    if not re.fullmatch(r"[+-]?\d{1,19}", text):  # Long.valueOf takes no blanks either
        raise UndecodableError(what, f"{text[:40]!r} is not a number")
    return int(text)


def encode_counter(next_id: int, service: Service) -> bytes:
    """``ValueError`` for a number that the service cannot hold."""
    if service == "zookeeper":
        if not 0 <= next_id < 1 << 31:
            raise ValueError(f"checkpoint id {next_id} does not fit into the counter of a znode")
        return struct.pack(">i", next_id)
    return str(next_id).encode()


# --- locks -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LockRecord:
    """The annotation ``control-plane.alpha.kubernetes.io/leader``.

    Durations in seconds, times in seconds since 1970 (``None``: not there or not a time).
    ``form`` is ``number`` (``leaseDuration`` 15.000000000, Flink 1.15 to 1.20), ``iso`` (``PT15S``,
    Flink 2) or ``client-go`` (``leaseDurationSeconds``, other programs). An empty ``holder``
    released the lock.
    """

    holder: str
    lease_duration: float
    acquire_time: float | None
    renew_time: float | None
    transitions: int
    form: str
    refused: str = field(default="", compare=False)
    """Why Flink's own elector cannot read it, and so never leads; empty when it can."""


_WRITTEN_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_FIELDS: Final = frozenset(
    ("holderIdentity", "leaseDuration", "acquireTime", "renewTime", "leaderTransitions")
)


def _refused(record: Mapping[str, object]) -> str:
    """What fabric8's ``LeaderElectionRecord`` does not take. Each was tried on Flink 1.20.5.

    It takes no field that it does not know, no time but in its own form, and no record without
    both times and the duration.
    """
    for name in ("leaseDuration", "acquireTime", "renewTime"):
        if record.get(name) is None:
            return f"it has no {name}"
    if unknown := sorted(set(record) - _FIELDS):
        return f"it has a field {unknown[0]!r}, which Flink does not know"
    duration, transitions = record["leaseDuration"], record.get("leaderTransitions")
    if isinstance(duration, str) and not duration.startswith("P"):
        return f"its leaseDuration is {duration[:40]!r}"
    for name in ("acquireTime", "renewTime"):
        time = record[name]
        if not isinstance(time, str) or not _WRITTEN_TIME.fullmatch(time) or _moment(time) is None:
            return f"its {name} is {str(time)[:40]!r}, and not in the form that Flink writes"
    if isinstance(transitions, str) and _counted(transitions) is None:
        return f"its leaderTransitions is {transitions[:40]!r}"
    return ""


def _counted(transitions: object) -> int | None:
    """A number, also as text, as Jackson takes it; ``None`` for anything else."""
    if isinstance(transitions, str) and re.fullmatch(r"[+-]?\d{1,9}", transitions):
        return int(transitions)
    return transitions if isinstance(transitions, int) else None


def decode_lock_record(text: str) -> LockRecord:
    """Read the annotation in every form that Flink's libraries and client-go write it.

    A record that is shown may all the same be ``refused`` by Flink.
    """
    what = "lock record"
    try:
        # What stands behind it does not matter to Jackson.
        record, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError) as error:
        offset = error.pos if isinstance(error, json.JSONDecodeError) else 0
        raise UndecodableError(what, "it is not JSON", offset=offset) from None
    if not isinstance(record, dict):
        raise UndecodableError(what, "it is not a JSON object")
    holder, transitions = record.get("holderIdentity"), record.get("leaderTransitions")
    if isinstance(holder, int | float):
        holder = json.dumps(holder)  # Jackson makes text of it
    if not isinstance(holder, str | None) or not isinstance(transitions, int | str | None):
        raise UndecodableError(what, "holderIdentity or leaderTransitions has another type")
    duration, form = record.get("leaseDuration"), "number"
    if duration is None:
        duration, form = record.get("leaseDurationSeconds"), "client-go"
    seconds = _seconds(duration)
    if isinstance(duration, str) and duration.startswith("P"):
        form = "iso"
    if seconds is None:
        raise UndecodableError(what, f"its lease duration is {duration!r}")
    return LockRecord(
        holder or "",
        seconds,
        _moment(record.get("acquireTime")),
        _moment(record.get("renewTime")),
        _counted(transitions) or 0,
        form,
        _refused(record),
    )


def encode_lock_record(record: LockRecord) -> str:
    """The annotation's value in the record's own form, character for character as Flink's."""
    duration: str
    if record.form == "iso":
        duration = f'"leaseDuration":"{_iso(record.lease_duration)}"'
    elif record.form == "client-go":
        duration = f'"leaseDurationSeconds":{int(record.lease_duration)}'
    else:
        duration = f'"leaseDuration":{record.lease_duration:.9f}'
    acquired, renewed = (
        datetime.datetime.fromtimestamp(moment or 0.0, datetime.UTC).strftime(
            "%Y-%m-%dT%H:%M:%SZ" if record.form == "client-go" else "%Y-%m-%dT%H:%M:%S.%fZ"
        )
        for moment in (record.acquire_time, record.renew_time)
    )
    return (
        f'{{"holderIdentity":{json.dumps(record.holder, ensure_ascii=False)},{duration},'
        f'"acquireTime":"{acquired}","renewTime":"{renewed}",'
        f'"leaderTransitions":{record.transitions}}}'
    )


def decode_lock_child(data: bytes) -> str:
    """What a node below ``locks`` holds: Curator's default data, the address of its client."""
    return data.decode("utf-8", "backslashreplace")


def _seconds(value: object) -> float | None:
    """A duration in JSON: a number or ISO 8601."""
    if isinstance(value, str):
        parts = re.fullmatch(
            r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", value
        )
        if parts is None:
            return None
        days, hours, minutes, seconds = (float(part or 0) for part in parts.groups())
        return 86400 * days + 3600 * hours + 60 * minutes + seconds
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _iso(seconds: float) -> str:
    """As ``java.time.Duration.toString`` writes it."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    written = f"{hours:.0f}H" * bool(hours) + f"{minutes:.0f}M" * bool(minutes)
    if rest or not written:
        written += f"{rest:.9f}".rstrip("0").rstrip(".") + "S"
    return f"PT{written}"


def _moment(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.datetime.fromisoformat(value)
        return found.replace(tzinfo=found.tzinfo or datetime.UTC).timestamp()
    except (ValueError, OverflowError):
        return None


# --- checks -------------------------------------------------------------------------------------


def _from_base64(data: bytes, what: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UndecodableError(what, f"it is not base64 ({error})") from None


def _expect(value: JavaValue, class_name: str, what: str) -> JavaObject:
    if not isinstance(value, JavaObject) or value.class_name != class_name:
        found = value.class_name if isinstance(value, JavaObject) else None
        offset = value.offset if isinstance(value, JavaObject) else 0
        simple = class_name.rpartition(".")[2]
        raise UndecodableError(
            what, f"it does not hold a {simple}", offset=offset, class_name=found
        )
    wanted = _UIDS.get(class_name, value.serial_version_uid)
    if value.serial_version_uid != wanted:
        raise UndecodableError(
            what,
            f"its serialVersionUID is {value.serial_version_uid}, Flink's is {wanted}",
            offset=value.offset + 1,  # where its class is described
            class_name=class_name,
        )
    return value


def _lacks(value: JavaObject, name: str, what: str) -> UndecodableError:
    return UndecodableError(
        what, f"its {name} is missing or not valid", offset=value.offset,
        class_name=value.class_name,
    )  # fmt: skip
