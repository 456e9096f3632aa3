"""What a job was first started from: it begins with that again when it has no checkpoint.

Source: ``DefaultExecutionGraphFactory.tryRestoreExecutionGraphFromSavepoint``,
``AbstractFsCheckpointStorageAccess.resolveCheckpointPointer``: a folder with ``_metadata`` in it,
or that file itself. Unlike the recovery of a checkpoint it reads ``_metadata``.
"""

from __future__ import annotations

import posixpath
from typing import Final

from hawork.core.errors import HaworkError
from hawork.inspect.cluster import (
    Checkpoint,
    Cluster,
    JobGraph,
    JobView,
    PointedFile,
    Savepoint,
)
from hawork.inspect.errors import UndecodableError
from hawork.inspect.follow import covered, missing_state, not_mapped, read_whole
from hawork.inspect.metadata import decode_metadata

__all__ = ["DUMMY", "follow_savepoints"]

DUMMY: Final = "KUBERNETES_OPERATOR_LAST_STATE_DUMMY_SP_PATH"
"""What the Flink Kubernetes Operator names, so that a job without checkpoints ends and does not
begin from nothing. Source: its ``AbstractFlinkService``."""


def follow_savepoints(cluster: Cluster) -> None:
    """Look for the savepoints of jobs that have no checkpoint pointer to be restored from."""
    for job in cluster.jobs.values():
        for graph in job.graphs:
            if (
                graph.content is not None
                and graph.content.restore_settings.path is not None
                and job.replaced_by is None
                and not any(_may_be_taken(each, graph) for each in job.checkpoints)
            ):
                job.savepoint = _followed(cluster, job, graph.content.restore_settings.path)


def _may_be_taken(checkpoint: Checkpoint, graph: JobGraph) -> bool:
    """Whether a release that sees the job graph takes this checkpoint, as far as pointers tell."""
    ours, its = checkpoint.pointer, graph.pointer
    if ours is None or its is None or checkpoint.marked:
        return False
    return ours.serial_version_uid == its.serial_version_uid


def _followed(cluster: Cluster, job: JobView, url: str) -> Savepoint:
    if url == DUMMY:
        return Savepoint(url, PointedFile(url, looked=True))
    files = cluster.files
    name = files.name_of(url) if files is not None else None
    if files is None or name is None:
        if files is not None:
            cluster.miss(f"savepoint of job {job.job_id}", not_mapped(url))
        return Savepoint(url, PointedFile(url, looked=False))
    inside = posixpath.join(name, "_metadata")
    found = files.get(inside) or files.get(name)
    if found is None:
        folder = posixpath.dirname(name)
        looked = (files.would_list(name) and bool({name, folder} & files.there)) or covered(
            cluster, files, url, name, folder
        )
        return Savepoint(url, PointedFile(inside, looked))
    savepoint = Savepoint(url, PointedFile(found.name, looked=True, size=found.size))
    directory = url if found.name == inside else posixpath.dirname(url)
    try:
        metadata = decode_metadata(read_whole(files, found), directory)
    except UndecodableError as error:
        savepoint.file.error, savepoint.file.offset = str(error), error.offset
    except (OSError, HaworkError) as error:
        savepoint.file.looked = False
        cluster.miss(f"file {found.name}", str(error))
    else:
        savepoint.checkpoint_id = metadata.checkpoint_id
        savepoint.operator_ids = frozenset(each.operator_id for each in metadata.operators)
        looked, missing = missing_state(cluster, files, metadata.handles)
        savepoint.state_looked, savepoint.missing = looked, missing
    return savepoint
