"""``BlobStore``: artifacts of jobs, addressed by what they hold and who stored them.

Source: Flink's ``FileSystemBlobStore``; sha256 takes the place of its sha1 and random key.
"""

from __future__ import annotations

import hashlib

from hawork.core.types import JobID, LeaderSessionID, StateHandle
from hawork.ha.job_files import BLOB_FILE, JobFiles
from hawork.ha.state_storage import StateStorage


class BlobStore:
    """Blobs of each job, in the job's own directory; they go when the job's data goes.

    Each leadership has names of its own: deleting files is not fenced, and a deposed leader
    that is slow to clean up must not know the name of what the next one stores.
    """

    def __init__(self, storage: StateStorage, session_id: LeaderSessionID) -> None:
        self._storage = storage
        self._suffix = _suffix(str(session_id))

    def put(self, job_id: JobID, data: bytes) -> StateHandle:
        """Store ``data``; storing the same bytes again changes nothing.

        ``StoreUnavailableError`` when storageDir cannot be written. Neither fenced nor, by its
        name, flushed: what names a blob is a job graph, and that is.
        """
        name = f"{hashlib.sha256(data).hexdigest()}{self._suffix}"
        return JobFiles(self._storage, job_id).write(BLOB_FILE, data, name, flush=False)

    def get(self, job_id: JobID, handle: StateHandle) -> bytes:
        """The job's blob, verified; ``CorruptStateError`` when it is damaged, missing or not
        the job's.
        """
        return JobFiles(self._storage, job_id).read(BLOB_FILE, handle)


def is_stored_under(path: str, session_id: str) -> bool:
    """Whether the blob of this path has the name of one that was stored under the leadership."""
    return path.endswith(_suffix(session_id))


def _suffix(session_id: str) -> str:
    return f"-{session_id.replace('-', '')[:12]}"
