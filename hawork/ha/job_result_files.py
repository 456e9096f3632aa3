"""The files of the JobResultStore, named and filled as Flink does it.

Source: Flink's ``FileSystemJobResultStore``: ``<job id>_DIRTY.json`` until everything else
of the job is cleaned up, then ``<job id>.json``, or no file when clean results are deleted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from hawork.core.errors import NotExistError
from hawork.core.types import JobID
from hawork.ha.state_storage import StateStorage

_DIRTY = "_DIRTY.json"
_CLEAN = ".json"
_STALE = ".stale-"


class JobResultFiles:
    """Dirty and clean files in the JobResultStore's directory; nothing here is fenced."""

    def __init__(self, storage: StateStorage) -> None:
        self._storage = storage

    def read_dirty(self, job_id: str) -> bytes | None:
        return self._read(f"{job_id}{_DIRTY}")

    def read_clean(self, job_id: str) -> bytes | None:
        return self._read(f"{job_id}{_CLEAN}")

    def write_dirty(self, job_id: JobID, payload: bytes) -> None:
        self._storage.write(f"{job_id}{_DIRTY}", payload)

    def write_clean(self, job_id: JobID, payload: bytes) -> None:
        self._storage.write(f"{job_id}{_CLEAN}", payload)

    def delete_dirty(self, job_id: JobID) -> bool:
        return self._storage.delete(f"{job_id}{_DIRTY}")

    def rename_to_clean(self, job_id: JobID) -> None:
        self._storage.rename(f"{job_id}{_DIRTY}", f"{job_id}{_CLEAN}")

    def dirty_ids(self) -> Sequence[str]:
        """What stands before ``_DIRTY.json`` in the names of all dirty files."""
        return [
            name.removesuffix(_DIRTY) for name in self._storage.list("") if name.endswith(_DIRTY)
        ]

    def set_aside(self, job_id: str) -> str:
        """Give a dirty file a name that nobody reads, and return that name."""
        taken = set(self._storage.list(""))
        number = 1
        while (name := f"{job_id}{_DIRTY}{_STALE}{number}") in taken:
            number += 1
        with contextlib.suppress(NotExistError):
            self._storage.rename(f"{job_id}{_DIRTY}", name)
        return name

    def _read(self, name: str) -> bytes | None:
        try:
            return self._storage.read(name)
        except NotExistError:
            return None
