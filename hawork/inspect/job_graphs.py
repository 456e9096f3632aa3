"""``submittedJobGraph<12 hex>`` in storageDir: what a JobManager would run again.

Flink 1.x stores a ``JobGraph``, Flink 2.x mostly a ``StreamGraph`` (its "execution plan"), whose
nodes lie in it as bytes of a stream of their own. Nothing of it is executed or looked up.
Source: ``JobGraph``, ``JobVertex``, ``SavepointRestoreSettings``, ``StreamGraph`` and
``StreamGraph$UserDefinedObjectsHolder``, 1.15 to 2.3.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hawork.inspect.collections import elements, entries, unboxed
from hawork.inspect.errors import UndecodableError
from hawork.inspect.handles import abstract_id
from hawork.inspect.java import BlockData, Described, JavaEnum, JavaObject, JavaValue, read_object
from hawork.inspect.known_classes import check_classes
from hawork.inspect.operator_ids import operator_id_of_uid
from hawork.inspect.settings import backend_named
from hawork.inspect.versions import FlinkVersions

__all__ = ["JobGraphFacts", "JobVertexFacts", "RestoreSettings", "decode_job_graph"]

_WHAT: Final = "job graph"
_JOB_GRAPH: Final = "org.apache.flink.runtime.jobgraph.JobGraph"
_STREAM_GRAPH: Final = "org.apache.flink.streaming.api.graph.StreamGraph"
_INTERVAL: Final = "execution.checkpointing.interval"
_RETENTION: Final = "execution.checkpointing.externalized-checkpoint-retention"
_UNITS: Final = {
    "": 1, "ms": 1, "s": 1000, "sec": 1000, "min": 60_000, "m": 60_000, "h": 3_600_000,
    "d": 86_400_000,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobVertexFacts:
    """A vertex of a ``JobGraph``, or a node of a ``StreamGraph``.

    ``operator_ids`` are those under which a checkpoint keeps the state of its operators: of all
    that are chained in a vertex; of a node the one that follows from its uid, and none without
    a uid, since Flink works that one out later. ``uids`` are what the program named them.
    """

    vertex_id: str
    name: str
    parallelism: int
    max_parallelism: int
    operator_ids: tuple[str, ...]
    uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoreSettings:
    """What the job was submitted to restore (``SavepointRestoreSettings``).

    A job without any checkpoint starts from ``path`` again, ``None``: from nothing. ``mode`` is
    ``CLAIM``, ``NO_CLAIM`` or ``LEGACY``.
    """

    path: str | None
    allow_non_restored: bool
    mode: str | None


@dataclass(frozen=True, slots=True)
class JobGraphFacts:
    """A stored job. ``kind`` is ``JobGraph`` or ``StreamGraph``.

    ``checkpoint_interval`` in milliseconds, ``None``: no periodic checkpoints. ``retained`` says
    whether checkpoints stay when the job is cancelled, ``None``: not said.
    """

    job_id: str
    name: str
    kind: str
    vertices: tuple[JobVertexFacts, ...]
    checkpoint_interval: int | None
    retained: bool | None
    restore_settings: RestoreSettings
    flink_versions: FlinkVersions
    state_backend: str | None = None
    """As the program or its options name it; ``None``: that of the cluster's configuration."""
    artifacts: tuple[str, ...] = ()
    """The names of its jars in the blob store: ``blob_p-<SHA-1>-<random>``."""

    @property
    def operator_ids(self) -> frozenset[str]:
        """Every operator id that is known."""
        return frozenset(each for vertex in self.vertices for each in vertex.operator_ids)

    @property
    def operators_complete(self) -> bool:
        """Whether ``operator_ids`` are all: an operator without a known id may be any."""
        return all(vertex.operator_ids for vertex in self.vertices)


def decode_job_graph(data: bytes) -> JobGraphFacts:
    """Read a file ``submittedJobGraph...``; ``UndecodableError`` names class and offset."""
    classes: list[Described] = []
    graph = read_object(data, _WHAT, classes)
    check_classes(classes, _WHAT)
    if isinstance(graph, JavaObject) and graph.class_name == _JOB_GRAPH:
        return _job_graph(graph)
    if isinstance(graph, JavaObject) and graph.class_name == _STREAM_GRAPH:
        return _stream_graph(graph)
    raise _unfit(graph, "it is neither a JobGraph nor a StreamGraph")


def _job_graph(graph: JavaObject) -> JobGraphFacts:
    fields = graph.fields
    interval, retained = _checkpointing(fields.get("snapshotSettings"))
    vertices = [_vertex(vertex) for _, vertex in entries(fields.get("taskVertices"), _WHAT)]
    return JobGraphFacts(
        job_id=abstract_id(fields.get("jobID"), _WHAT),
        name=_text(graph, "jobName"),
        kind="JobGraph",
        vertices=tuple(vertices),
        checkpoint_interval=interval,
        retained=retained,
        restore_settings=_restore_settings(fields.get("savepointRestoreSettings")),
        flink_versions=_versions(graph, "jobConfiguration"),
        state_backend=_state_backend(fields.get("snapshotSettings"), fields),
        artifacts=_artifacts(fields.get("userJarBlobKeys")),
    )


def _vertex(vertex: JavaValue) -> JobVertexFacts:
    if not isinstance(vertex, JavaObject):
        raise _unfit(vertex, "a JobVertex was expected")
    ids: list[str] = []
    uids: list[str] = []
    for pair in elements(vertex.fields.get("operatorIDs"), _WHAT):
        if not isinstance(pair, JavaObject):
            raise _unfit(pair, "an OperatorIDPair was expected")
        chosen = pair.fields.get("userDefinedOperatorID") or pair.fields.get("generatedOperatorID")
        ids.append(abstract_id(chosen, _WHAT))
        uid = pair.fields.get("userDefinedOperatorUid")
        if isinstance(uid, str):
            uids.append(uid)
    return JobVertexFacts(
        vertex_id=abstract_id(vertex.fields.get("id"), _WHAT),
        name=_text(vertex, "name"),
        parallelism=_number(vertex, "parallelism"),
        max_parallelism=_number(vertex, "maxParallelism"),
        operator_ids=tuple(ids),
        uids=tuple(uids),
    )


def _stream_graph(graph: JavaObject) -> JobGraphFacts:
    fields = graph.fields
    settings = fields.get("checkpointingSettings")
    if settings is not None:
        interval, retained = _checkpointing(settings)
    else:
        config = fields.get("checkpointConfig")
        inside = config.fields.get("configuration") if isinstance(config, JavaObject) else None
        options = {**_options(fields.get("jobConfiguration")), **_options(inside)}
        interval = _milliseconds(options.get(_INTERVAL))
        retained = _retained(options.get(_RETENTION))
    return JobGraphFacts(
        job_id=abstract_id(fields.get("jobId"), _WHAT),
        name=_text(graph, "jobName"),
        kind="StreamGraph",
        vertices=_nodes(fields.get("userDefinedObjectsHolder")),
        checkpoint_interval=interval,
        retained=retained,
        restore_settings=_restore_settings(fields.get("savepointRestoreSettings")),
        flink_versions=_versions(graph, "jobConfiguration") & FlinkVersions("2.0"),
        state_backend=_state_backend(settings, fields),
        artifacts=_artifacts(fields.get("userJarBlobKeys")),
    )


def _nodes(holder: JavaValue) -> tuple[JobVertexFacts, ...]:
    """The nodes of a plan: a map that is serialised by itself, since user classes are in it."""
    value = holder.fields.get("serializedStreamNodes") if isinstance(holder, JavaObject) else None
    written = value.fields.get("serializedData") if isinstance(value, JavaObject) else None
    if not isinstance(written, bytes):
        raise _unfit(holder, "its stream nodes are missing")
    nodes: list[JobVertexFacts] = []
    for _, node in entries(read_object(written, "stream nodes of a job graph"), _WHAT):
        if not isinstance(node, JavaObject):
            raise _unfit(node, "a StreamNode was expected")
        uid, hashed = node.fields.get("transformationUID"), node.fields.get("userHash")
        ids = [operator_id_of_uid(uid)] if isinstance(uid, str) else []
        if isinstance(hashed, str):
            ids = [hashed]
        nodes.append(
            JobVertexFacts(
                vertex_id=str(_number(node, "id")),
                name=_text(node, "operatorName"),
                parallelism=_number(node, "parallelism"),
                max_parallelism=_number(node, "maxParallelism"),
                operator_ids=tuple(ids),
                uids=(uid,) if isinstance(uid, str) else (),
            )
        )
    return tuple(nodes)


# --- settings ----------------------------------------------------------------------------------


def _checkpointing(settings: JavaValue) -> tuple[int | None, bool | None]:
    """Interval and retention in ``JobCheckpointingSettings``."""
    if settings is None:
        return None, None
    inside = (
        settings.fields.get("checkpointCoordinatorConfiguration")
        if isinstance(settings, JavaObject)
        else None
    )
    if not isinstance(inside, JavaObject):
        raise _unfit(settings, "its checkpointing settings are missing")
    interval = _number(inside, "checkpointInterval")
    policy = inside.fields.get("checkpointRetentionPolicy")
    retained = (
        policy.constant != "NEVER_RETAIN_AFTER_TERMINATION"
        if isinstance(policy, JavaEnum)
        else None
    )
    return (interval if 0 < interval < 2**63 - 1 else None), retained


def _state_backend(settings: JavaValue, fields: Mapping[str, JavaValue]) -> str | None:
    """What the program set, else the option. Source: ``StateBackendLoader.fromApplication...``.

    The backend itself lies in ``JobCheckpointingSettings`` as bytes of a stream of its own.
    """
    backend = (
        settings.fields.get("defaultStateBackend") if isinstance(settings, JavaObject) else None
    )
    written = backend.fields.get("serializedData") if isinstance(backend, JavaObject) else None
    if isinstance(written, bytes):
        found = read_object(written, "state backend of a job graph")
        if isinstance(found, JavaObject):
            return backend_named(found.class_name)
    options = _options(fields.get("jobConfiguration"))
    option = options.get("state.backend.type", options.get("state.backend"))
    return backend_named(option) if isinstance(option, str) else None


def _artifacts(keys: JavaValue) -> tuple[str, ...]:
    """Source: ``BlobKey.toString``."""
    found = []
    for key in elements(keys, _WHAT):
        if not isinstance(key, JavaObject):
            raise _unfit(key, "a BlobKey was expected")
        digest, kind = key.fields.get("key"), key.fields.get("type")
        if not isinstance(digest, bytes) or not isinstance(kind, JavaEnum):
            raise _unfit(key, "its hash or type is missing")
        letter = "p" if kind.constant == "PERMANENT_BLOB" else "t"
        random = abstract_id(key.fields.get("random"), _WHAT)
        found.append(f"blob_{letter}-{digest.hex()}-{random}")
    return tuple(found)


def _restore_settings(settings: JavaValue) -> RestoreSettings:
    if not isinstance(settings, JavaObject):
        return RestoreSettings(None, False, None)
    fields = settings.fields
    path = fields.get("restorePath")
    mode = fields.get("recoveryClaimMode", fields.get("restoreMode"))
    return RestoreSettings(
        path if isinstance(path, str) else None,
        fields.get("allowNonRestoredState") is True,
        mode.constant if isinstance(mode, JavaEnum) else None,
    )


def _versions(graph: JavaObject, configuration: str) -> FlinkVersions:
    """Who may have written it: Flink renamed the class of the restore mode in 1.20 and 2.0."""
    settings = graph.fields.get("savepointRestoreSettings")
    fields = settings.fields if isinstance(settings, JavaObject) else {}
    if "recoveryClaimMode" in fields:
        return FlinkVersions("2.0")
    mode = fields.get("restoreMode")
    if not isinstance(mode, JavaEnum):
        return FlinkVersions(last="1.14")
    if mode.class_name == "org.apache.flink.core.execution.RestoreMode":
        return FlinkVersions("1.20", "1.20")
    options = graph.fields.get(configuration)
    yaml = isinstance(options, JavaObject) and "standardYaml" in options.fields
    return FlinkVersions("1.19", "1.19") if yaml else FlinkVersions("1.15", "1.18")


def _options(configuration: JavaValue) -> Mapping[str, JavaValue]:
    """A ``Configuration``: its options by key."""
    if not isinstance(configuration, JavaObject):
        return {}
    found = entries(configuration.fields.get("confData"), _WHAT)
    return {key: unboxed(value) for key, value in found if isinstance(key, str)}


def _milliseconds(value: JavaValue) -> int | None:
    """A duration in a ``Configuration``: text such as ``10 s``, or a ``java.time.Duration``."""
    if isinstance(value, JavaObject) and value.class_name == "java.time.Ser":
        written = value.annotations.get("java.time.Ser", [])
        if written and isinstance(written[0], BlockData) and len(written[0]) == 13:
            kind, seconds, nanoseconds = struct.unpack(">bqi", written[0])
            return 1000 * seconds + nanoseconds // 1_000_000 if kind == 1 else None
        return None
    if not isinstance(value, str):
        return None
    digits = value.strip().lower().rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = _UNITS.get(value.strip().lower().removeprefix(digits).strip())
    return int(digits) * unit if digits.isascii() and digits.isdigit() and unit else None


def _retained(value: JavaValue) -> bool | None:
    constant = value.constant if isinstance(value, JavaEnum) else value
    return constant == "RETAIN_ON_CANCELLATION" if isinstance(constant, str) else None


# --- checks -------------------------------------------------------------------------------------


def _text(value: JavaObject, name: str) -> str:
    found = value.fields.get(name)
    if not isinstance(found, str):
        raise _unfit(value, f"its {name} is missing")
    return found


def _number(value: JavaObject, name: str) -> int:
    found = value.fields.get(name)
    if not isinstance(found, int):
        raise _unfit(value, f"its {name} is missing")
    return found


def _unfit(value: JavaValue, reason: str) -> UndecodableError:
    if isinstance(value, JavaObject):
        return UndecodableError(_WHAT, reason, offset=value.offset, class_name=value.class_name)
    return UndecodableError(_WHAT, f"{reason}, not a {type(value).__name__}")
