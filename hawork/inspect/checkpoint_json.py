"""A decoded checkpoint as JSON and back: what a process that decodes for another one sends."""

from __future__ import annotations

from typing import Any, Final

from hawork.inspect.checkpoints import CheckpointProperties, CompletedCheckpoint
from hawork.inspect.handles import OperatorFacts, StateHandle
from hawork.inspect.versions import FlinkVersions

__all__ = ["checkpoint_from_json", "checkpoint_to_json"]

_SENT: Final = (
    "job_id", "checkpoint_id", "timestamp", "completion_timestamp", "external_pointer",
    "metadata_path", "metadata_size",
)  # fmt: skip
"""Fields of a checkpoint that are texts and numbers, in the order of the class."""


def checkpoint_to_json(checkpoint: CompletedCheckpoint) -> list[Any]:
    restored = checkpoint.restored_properties
    return [
        [getattr(checkpoint, name) for name in _SENT],
        [_operator(each) for each in checkpoint.operators],
        _properties(checkpoint.properties),
        None if restored is None else _properties(restored),
        [checkpoint.flink_versions.first, checkpoint.flink_versions.last],
        sorted(checkpoint.unknown_classes),
    ]


def checkpoint_from_json(sent: list[Any]) -> CompletedCheckpoint:
    plain, operators, properties, restored, versions, unknown = sent
    return CompletedCheckpoint(
        **dict(zip(_SENT, plain, strict=True)),
        operators=tuple([_as_operator(each) for each in operators]),
        properties=_as_properties(properties),
        restored_properties=None if restored is None else _as_properties(restored),
        flink_versions=FlinkVersions(*versions),
        unknown_classes=frozenset(unknown),
    )


def _operator(facts: OperatorFacts) -> list[Any]:
    return [
        [[each.kind, each.path, each.size, each.relative, each.start, each.shared, each.owner]
         for each in facts.handles],
        [facts.operator_id, facts.parallelism, facts.max_parallelism, facts.subtasks,
         facts.finished, facts.name, facts.uid],
        list(facts.directories),
        sorted(facts.keyed),
    ]  # fmt: skip


def _as_operator(sent: list[Any]) -> OperatorFacts:
    handles, (operator_id, parallelism, most, subtasks, finished, name, uid), *rest = sent
    directories, keyed = rest
    found = tuple([StateHandle(*each) for each in handles])
    return OperatorFacts(
        operator_id, parallelism, most, found, subtasks, finished, name, uid,
        tuple(directories), frozenset(keyed),
    )  # fmt: skip


def _properties(properties: CheckpointProperties) -> list[Any]:
    return [
        properties.kind, properties.name, properties.forced, properties.unclaimed,
        sorted(properties.discarded_when), properties.format,
    ]  # fmt: skip


def _as_properties(sent: list[Any]) -> CheckpointProperties:
    kind, name, forced, unclaimed, discarded, written_as = sent
    return CheckpointProperties(kind, name, forced, unclaimed, frozenset(discarded), written_as)
