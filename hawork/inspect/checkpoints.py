"""``completedCheckpoint<12 hex>`` in storageDir: a Java-serialised ``CompletedCheckpoint``.

This file, not ``_metadata``, is what a JobManager restores from. Source: Flink's
``CompletedCheckpoint``, ``OperatorState``, ``OperatorSubtaskState`` and
``CheckpointProperties``, 1.13 to 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hawork.inspect.collections import elements, entries, is_collection
from hawork.inspect.errors import UndecodableError
from hawork.inspect.handles import (
    HandleWalk,
    OperatorFacts,
    StateHandle,
    abstract_id,
    stream_handle,
)
from hawork.inspect.java import Described, JavaEnum, JavaObject, JavaValue, read_object
from hawork.inspect.known_classes import check_classes
from hawork.inspect.versions import FlinkVersions

__all__ = [
    "CheckpointProperties",
    "CompletedCheckpoint",
    "checkpoint_properties",
    "decode_completed_checkpoint",
]

_WHAT: Final = "completed checkpoint"
_PACKAGE: Final = "org.apache.flink.runtime.checkpoint."
_INCREMENTAL: Final = "org.apache.flink.runtime.state.IncrementalRemoteKeyedStateHandle"
_INCREMENTAL_BASE: Final = "org.apache.flink.runtime.state.AbstractIncrementalStateHandle"
_SUBTASK_STATES: Final = {
    "managedOperatorState": "managed operator state",
    "rawOperatorState": "raw operator state",
    "managedKeyedState": "managed keyed state",
    "rawKeyedState": "raw keyed state",
    "inputChannelState": "input channel state",
    "resultSubpartitionState": "result subpartition state",
    "upstreamOutputBufferState": "upstream output buffer state",
}


@dataclass(frozen=True, slots=True)
class CheckpointProperties:
    """Why a snapshot was taken and when it is discarded (``CheckpointProperties``).

    ``kind`` is ``checkpoint`` or ``savepoint``; ``discarded_when`` holds of ``subsumed``,
    ``finished``, ``cancelled``, ``failed`` and ``suspended`` what ends the snapshot.
    """

    kind: str
    name: str
    forced: bool
    unclaimed: bool
    discarded_when: frozenset[str]
    format: str | None = None

    @property
    def retained(self) -> bool:
        """Whether the files stay when the job is cancelled."""
        return "cancelled" not in self.discarded_when


@dataclass(frozen=True, slots=True)
class CompletedCheckpoint:
    """What a JobManager would restore. Times in milliseconds since 1970.

    ``handles`` are those of all ``operators``; ``metadata_path`` is the ``_metadata`` file and
    ``metadata_size`` its bytes. ``unknown_classes`` stand where handles do, and may have files.
    """

    job_id: str
    checkpoint_id: int
    timestamp: int
    completion_timestamp: int
    external_pointer: str
    metadata_path: str | None
    metadata_size: int
    operators: tuple[OperatorFacts, ...]
    properties: CheckpointProperties
    restored_properties: CheckpointProperties | None
    flink_versions: FlinkVersions
    unknown_classes: frozenset[str]

    @property
    def handles(self) -> tuple[StateHandle, ...]:
        return tuple(handle for operator in self.operators for handle in operator.handles)


def decode_completed_checkpoint(data: bytes) -> CompletedCheckpoint:
    """Read a file ``completedCheckpoint...``; ``UndecodableError`` names class and offset."""
    classes: list[Described] = []
    value = read_object(data, _WHAT, classes)
    check_classes(classes, _WHAT)
    checkpoint = _instance(value, _PACKAGE + "CompletedCheckpoint")
    walk = HandleWalk(_WHAT)
    metadata = stream_handle(checkpoint.fields.get("metadataHandle"), _WHAT)
    operators: list[OperatorFacts] = []
    states: list[JavaObject] = []
    for _, state in entries(checkpoint.fields.get("operatorStates"), _WHAT):
        operators.append(_operator(state, walk, states))
    restored = checkpoint.fields.get("restoredProps")
    return CompletedCheckpoint(
        job_id=abstract_id(checkpoint.fields.get("job"), _WHAT),
        checkpoint_id=_number(checkpoint, "checkpointID"),
        timestamp=_number(checkpoint, "timestamp"),
        completion_timestamp=_completion(checkpoint),
        external_pointer=_text(checkpoint, "externalPointer"),
        metadata_path=metadata.path,
        metadata_size=metadata.size,
        operators=tuple(operators),
        properties=checkpoint_properties(checkpoint.fields.get("props"), _WHAT),
        restored_properties=None if restored is None else checkpoint_properties(restored, _WHAT),
        flink_versions=_versions(checkpoint, states, walk),
        unknown_classes=frozenset(walk.unknown),
    )


def _operator(state: JavaValue, walk: HandleWalk, states: list[JavaObject]) -> OperatorFacts:
    if not isinstance(state, JavaObject) or not state.class_name.startswith(_PACKAGE):
        raise _unfit(state, "an OperatorState")
    states.append(state)
    walk.directories = []
    handles = walk.handles(state.fields.get("coordinatorState"), "coordinator state")
    subtasks = entries(state.fields.get("operatorSubtaskStates"), _WHAT)
    keyed: set[str] = set()
    for _, subtask in subtasks:
        if not isinstance(subtask, JavaObject):
            raise _unfit(subtask, "an OperatorSubtaskState")
        states.append(subtask)
        for part, owner in _SUBTASK_STATES.items():
            handles += walk.handles(subtask.fields.get(part), owner)
        managed = subtask.fields.get("managedKeyedState")
        for each in elements(managed, _WHAT) if is_collection(managed) else (managed,):
            if isinstance(each, JavaObject):
                keyed.add(each.class_name.rpartition(".")[2])
    return OperatorFacts(
        operator_id=abstract_id(state.fields.get("operatorID"), _WHAT),
        parallelism=_number(state, "parallelism"),
        max_parallelism=_number(state, "maxParallelism"),
        handles=tuple(handles),
        subtasks=len(subtasks),
        finished=state.class_name.endswith("FullyFinishedOperatorState"),
        name=_optional_text(state.fields, "operatorName"),
        uid=_optional_text(state.fields, "operatorUid"),
        directories=tuple(dict.fromkeys(walk.directories)),
        keyed=frozenset(keyed),
    )


_DISCARDED: Final = {
    "discardSubsumed": "subsumed",
    "discardFinished": "finished",
    "discardCancelled": "cancelled",
    "discardFailed": "failed",
    "discardSuspended": "suspended",
}


def checkpoint_properties(value: JavaValue, what: str) -> CheckpointProperties:
    """Read a ``CheckpointProperties``, which ``_metadata`` ends with since Flink 1.16."""
    if not isinstance(value, JavaObject) or value.class_name != _PACKAGE + "CheckpointProperties":
        raise _unfit(value, "CheckpointProperties", what)
    fields, kind = value.fields, value.fields.get("checkpointType")
    snapshot_format = None
    if isinstance(kind, JavaObject):  # CheckpointType or SavepointType, since Flink 1.15
        savepoint = kind.class_name.endswith("SavepointType")
        name = _text(kind, "name", what)
        written_as = kind.fields.get("formatType")
        if isinstance(written_as, JavaEnum):
            snapshot_format = written_as.constant.lower()
    elif isinstance(kind, JavaEnum):
        name = kind.constant
        savepoint = name.startswith(("SAVEPOINT", "SYNC_SAVEPOINT"))
    else:
        raise _unfit(value, "a checkpoint type", what)
    return CheckpointProperties(
        kind="savepoint" if savepoint else "checkpoint",
        name=name,
        forced=bool(fields.get("forced")),
        unclaimed=bool(fields.get("unclaimed")),
        discarded_when=frozenset(word for name, word in _DISCARDED.items() if fields.get(name)),
        format=snapshot_format,
    )


def _versions(checkpoint: JavaObject, states: list[JavaObject], walk: HandleWalk) -> FlinkVersions:
    """Who may have written it, from the fields and classes that releases added."""
    versions = FlinkVersions("1.3", "1.13")
    if "completionTimestamp" in checkpoint.fields:
        versions = FlinkVersions("1.14", "1.15")
    if "restoredProps" in checkpoint.fields:
        versions = FlinkVersions("1.16")
    for state in {each.description: each for each in states}.values():
        if "operatorSubtaskStates" in state.fields:
            named = "operatorName" in state.fields
            versions &= FlinkVersions("2.0") if named else FlinkVersions(last="1.20")
        elif "upstreamOutputBufferState" in state.fields:
            versions &= FlinkVersions("2.3")
        elif "checkpointedSize" in state.fields:
            versions &= FlinkVersions("1.15")
    if _INCREMENTAL in walk.class_names:
        moved = _INCREMENTAL_BASE in walk.class_names
        versions &= FlinkVersions("1.19") if moved else FlinkVersions(last="1.18")
    if any(".filemerging." in name for name in walk.class_names):
        versions &= FlinkVersions("1.20")
    if any("Merged" in name and name.endswith("ChannelStateHandle") for name in walk.class_names):
        versions &= FlinkVersions("2.1")
    return versions


def _completion(checkpoint: JavaObject) -> int:
    if "completionTimestamp" in checkpoint.fields:
        return _number(checkpoint, "completionTimestamp")
    return _number(checkpoint, "timestamp") + _number(checkpoint, "duration")  # before 1.14


def _instance(value: JavaValue, class_name: str) -> JavaObject:
    if isinstance(value, JavaObject) and value.class_name == class_name:
        return value
    raise _unfit(value, f"a {class_name.rpartition('.')[2]}")


def _number(value: JavaObject, name: str) -> int:
    found = value.fields.get(name)
    if not isinstance(found, int):
        raise _unfit(value, f"a number {name}")
    return found


def _text(value: JavaObject, name: str, what: str = _WHAT) -> str:
    found = value.fields.get(name)
    if not isinstance(found, str):
        raise _unfit(value, f"a text {name}", what)
    return found


def _optional_text(fields: Mapping[str, JavaValue], name: str) -> str | None:
    found = fields.get(name)
    return found if isinstance(found, str) and found else None


def _unfit(value: JavaValue, wanted: str, what: str = _WHAT) -> UndecodableError:
    if isinstance(value, JavaObject):
        return UndecodableError(
            what, f"it does not hold {wanted}", offset=value.offset, class_name=value.class_name
        )
    return UndecodableError(what, f"it does not hold {wanted} but a {type(value).__name__}")
