"""Keyed state of a subtask: inside its snapshot when small, in a file of storageDir when not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from hawork.core.errors import CorruptStateError
from hawork.core.jobs import SubtaskState
from hawork.core.types import JobID

if TYPE_CHECKING:
    from hawork.ha.job_files import JobFiles


class TaskStateFiles:
    """Writes and reads state of more than ``memory_threshold`` bytes, below ``jobs/<id>/state``.

    The storage is opened when it is needed first: most tasks never do.
    """

    def __init__(self, storage_url: str, job_id: JobID, memory_threshold: int) -> None:
        self._storage_url = storage_url
        self._job_id = job_id
        self._memory_threshold = memory_threshold
        self._files: JobFiles | None = None

    def store(self, checkpoint_id: int, snapshot: SubtaskState, encoded: bytes) -> SubtaskState:
        """The snapshot with its state, inline or behind a handle.

        ``StoreUnavailableError`` when a file cannot be written; the checkpoint fails then,
        and the task can go on.
        """
        if len(encoded) <= self._memory_threshold:
            return replace(snapshot, state=json.loads(encoded))
        name = f"{checkpoint_id}-{snapshot.index}-{snapshot.attempt}.json"
        handle = self._open().write_state(encoded, name)
        return replace(snapshot, handle=handle)

    def load(self, snapshot: SubtaskState) -> SubtaskState:
        """The snapshot with its state inline.

        ``CorruptStateError`` unless the file is the one that was written, byte for byte;
        ``StoreUnavailableError`` when it cannot be reached now.
        """
        if snapshot.handle is None:
            return snapshot
        try:
            data = self._open().read_state(snapshot.handle)
        except CorruptStateError as error:
            raise CorruptStateError(
                f"state of the checkpoint is damaged ({error}): restore an earlier checkpoint"
            ) from None
        return replace(snapshot, state=json.loads(data), handle=None)

    def is_stored(self, job_id: str) -> bool:
        """Whether there is a job graph of a job, as there is until it is over.

        ``StoreUnavailableError`` when that is unknown.
        """
        from hawork.ha.layout import JOB_GRAPH

        files = self._files_of(JobID(job_id)).all()
        return any(path.rpartition("/")[2].startswith(JOB_GRAPH) for path in files)

    def _open(self) -> JobFiles:
        if self._files is None:
            self._files = self._files_of(self._job_id)
        return self._files

    def _files_of(self, job_id: JobID) -> JobFiles:
        from hawork.ha.job_files import JobFiles
        from hawork.ha.storage import open_storage

        # A job runs, so its files are there.
        return JobFiles(open_storage(self._storage_url, lambda: True), job_id)
