"""The files of the JobResultStore, named and filled as Flink does it.

Source: Flink's ``FileSystemJobResultStore``: ``<job id>_DIRTY.json`` until everything else
of the job is cleaned up, then ``<job id>.json``, or no file when clean results are deleted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from hawork.core.errors import ConfigurationError, CorruptStateError, NotExistError
from hawork.core.types import JobID
from hawork.ha.state_storage import StateStorage

_DIRTY = "_DIRTY.json"
_CLEAN = ".json"
_STALE = ".stale-"
_LARGEST = 16 << 20  # bytes of one result


class JobResultFiles:
    """Dirty and clean files in the JobResultStore's directory; nothing here is fenced."""

    def __init__(self, storage: StateStorage) -> None:
        self._storage = storage

    def read_dirty(self, job_id: str) -> bytes | None:
        """``CorruptStateError`` when there is something that cannot be read."""
        return self._read(f"{job_id}{_DIRTY}")

    def read_clean(self, job_id: str) -> bytes | None:
        """``CorruptStateError`` when there is something that cannot be read."""
        return self._read(f"{job_id}{_CLEAN}")

    def has_dirty(self, job_id: str) -> bool:
        return self._has(f"{job_id}{_DIRTY}")

    def has_clean(self, job_id: str) -> bool:
        return self._has(f"{job_id}{_CLEAN}")

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

    def set_aside_dirty(self, job_id: str) -> str:
        """Give a dirty file a name that nothing reads, and return that name.

        ``ConfigurationError`` or ``StoreUnavailableError`` when it keeps the one it has.
        """
        return self._set_aside(f"{job_id}{_DIRTY}")

    def set_aside_clean(self, job_id: str) -> str:
        """The same for a clean file."""
        return self._set_aside(f"{job_id}{_CLEAN}")

    def _set_aside(self, name: str) -> str:
        taken = set(self._storage.list(""))
        number = 1
        while (stale := f"{name}{_STALE}{number}") in taken:
            number += 1
        with contextlib.suppress(NotExistError):
            self._storage.rename(name, stale)
        return stale

    def _has(self, name: str) -> bool:
        try:
            return self._read(name) is not None
        except CorruptStateError:
            return True

    def _read(self, name: str) -> bytes | None:
        try:
            payload = self._storage.read(name, _LARGEST + 1)
        except NotExistError:
            return None
        except ConfigurationError as error:  # a name that hawork would not write
            raise CorruptStateError(str(error)) from None
        if len(payload) > _LARGEST:
            raise CorruptStateError(f"file {name} has more than {_LARGEST} bytes")
        return payload
