"""Whether a job can take the state of a checkpoint that its pointer leads to.

Source: ``StateAssignmentOperation.checkStateMappingCompleteness`` for operators, the restore
operations of ``HeapKeyedStateBackendBuilder`` and ``RocksDBKeyedStateBackendBuilder`` for state
backends: the first ends the JobManager, the second every attempt of the job.
"""

from __future__ import annotations

from collections.abc import Iterator

from hawork.inspect.checkpoints import CompletedCheckpoint
from hawork.inspect.cluster import Checkpoint, Cluster, JobGraph, JobView
from hawork.inspect.handles import CANONICAL

__all__ = ["same_operators", "same_state_backend"]


_ALIKE = {"rocksdb", "forst"}
"""Backends of one form, as far as is known."""


def same_operators(cluster: Cluster, job: JobView, graph: JobGraph, checkpoint: Checkpoint) -> bool:
    """Whether the job has an operator for every state of the checkpoint.

    The graph of a Flink 2 job does not tell all operator ids, and one that cannot be read none; the
    other checkpoints of the job then do.
    """
    assert checkpoint.content is not None
    ids = {operator.operator_id for operator in checkpoint.content.operators}
    if graph.content is not None and graph.content.operators_complete:
        return ids <= graph.content.operator_ids
    known = set(graph.content.operator_ids) if graph.content is not None else set()
    for other in _of_this_job(cluster, job, checkpoint):
        known |= {operator.operator_id for operator in other.operators}
    unknown = not known and graph.content is None
    return checkpoint.content.job_id == job.job_id or unknown or ids <= known


def same_state_backend(
    cluster: Cluster, job: JobView, graph: JobGraph, checkpoint: Checkpoint
) -> bool:
    """Whether the job's state backend reads keyed state that another job's backend wrote.

    Each backend has its own form but for canonical savepoints. What the two jobs say of their
    backends decides, else the classes of their handles. A job's own checkpoints always fit, and so
    does what nothing is known of.
    """
    content = checkpoint.content
    assert content is not None
    if content.job_id == job.job_id:
        return True
    written = {operator.operator_id: operator.keyed - {CANONICAL} for operator in content.operators}
    if not any(written.values()):
        return True
    own, other = _backend(cluster, graph), _writer(cluster, content.job_id)
    if own is not None and other is not None and own != other and {own, other} != _ALIKE:
        return False
    for mine in _of_this_job(cluster, job, checkpoint):
        for operator in mine.operators:
            theirs = written.get(operator.operator_id, frozenset())
            if operator.keyed and theirs and not operator.keyed & theirs:
                return False
    return True


def _backend(cluster: Cluster, graph: JobGraph) -> str | None:
    """The job's own, or what the configuration says for jobs that do not."""
    if graph.content is None:
        return None
    if graph.content.state_backend is None and cluster.settings.source is None:
        return None
    return graph.content.state_backend or cluster.settings.state_backend


def _writer(cluster: Cluster, job_id: str) -> str | None:
    """The backend of the job that wrote a checkpoint, where that job is known."""
    job = cluster.jobs.get(job_id)
    if job is None or not job.graphs:
        return None
    return _backend(cluster, job.graphs[-1])


def _of_this_job(
    cluster: Cluster, job: JobView, checkpoint: Checkpoint
) -> Iterator[CompletedCheckpoint]:
    """Its own other checkpoints, those that no pointer names included."""
    named = [other.content for other in job.checkpoints if other is not checkpoint]
    loose = [file.content for file in cluster.loose_of(job.job_id, graphs=False)]
    for content in (*named, *loose):
        if content is not None and content.job_id == job.job_id:
            yield content
