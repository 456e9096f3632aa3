"""Keyed state of a subtask: inside its snapshot when small, in a file of storageDir when not."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from hawork.core.errors import CorruptStateError, NotExistError
from hawork.core.jobs import SubtaskState
from hawork.core.types import JobID, StateHandle

if TYPE_CHECKING:
    from hawork.ha.state_storage import StateStorage


class TaskStateFiles:
    """Writes and reads state of more than ``memory_threshold`` bytes, below ``jobs/<id>/state``.

    The storage is opened when it is needed first: most tasks never do.
    """

    def __init__(self, storage_url: str, job_id: JobID, memory_threshold: int) -> None:
        self._storage_url = storage_url
        self._job_id = job_id
        self._memory_threshold = memory_threshold
        self._storage: StateStorage | None = None

    def store(self, checkpoint_id: int, snapshot: SubtaskState, encoded: bytes) -> SubtaskState:
        """The snapshot with its state, inline or behind a handle.

        ``StoreUnavailableError`` when a file cannot be written; the checkpoint fails then,
        and the task can go on.
        """
        if len(encoded) <= self._memory_threshold:
            return replace(snapshot, state=json.loads(encoded))
        name = f"{checkpoint_id}-{snapshot.index}-{snapshot.attempt}.json"
        path = f"jobs/{self._job_id}/state/{name}"
        self._open().write(path, encoded)
        handle = StateHandle(path, len(encoded), hashlib.sha256(encoded).hexdigest())
        return replace(snapshot, handle=handle)

    def load(self, snapshot: SubtaskState) -> SubtaskState:
        """The snapshot with its state inline.

        ``CorruptStateError`` unless the file is the one that was written, byte for byte;
        ``StoreUnavailableError`` when it cannot be reached now.
        """
        handle = snapshot.handle
        if handle is None:
            return snapshot
        try:
            data = self._open().read(handle.path)
        except NotExistError:
            raise CorruptStateError(
                f"state file {handle.path} of the checkpoint is gone: restore an earlier checkpoint"
            ) from None
        if len(data) != handle.size or hashlib.sha256(data).hexdigest() != handle.sha256:
            raise CorruptStateError(
                f"state file {handle.path} has {len(data)} bytes that are not the {handle.size} "
                "written: restore an earlier checkpoint"
            )
        return replace(snapshot, state=json.loads(data), handle=None)

    def _open(self) -> StateStorage:
        if self._storage is None:
            from hawork.ha.storage import open_storage

            self._storage = open_storage(self._storage_url)
        return self._storage
