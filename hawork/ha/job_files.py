"""What one job owns in storageDir, and the only way from a path in a store to a file.

A path that comes out of a store is a claim. It is followed, and what it names is removed,
only when it is one that hawork gives a file of that kind of that job: then the worst that a
damaged entry can do is to cost its own job.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from dataclasses import dataclass

from hawork.core.errors import CorruptStateError, HighAvailabilityError, NotExistError
from hawork.core.types import JobID, StateHandle
from hawork.ha.layout import BLOBS, CHECKPOINT, JOB_GRAPH, STATE, SUBMITTING, job_directory
from hawork.ha.state_storage import StateStorage

_RANDOM = 12  # hexadecimal digits
_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a job keeps in files, and the names that these have in its directory."""

    prefix: str
    name: re.Pattern[str]

    def random_name(self) -> str:
        """``prefix`` and twelve random hexadecimal digits, as Flink names such files."""
        return f"{self.prefix}{secrets.token_hex(_RANDOM // 2)}"


_DIGITS = re.compile(rf"[0-9a-f]{{{_RANDOM}}}")
_PLAIN = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,149}")

JOB_GRAPH_FILE = FileKind(JOB_GRAPH, _DIGITS)
CHECKPOINT_FILE = FileKind(CHECKPOINT, _DIGITS)
BLOB_FILE = FileKind(f"{BLOBS}/", _PLAIN)
STATE_FILE = FileKind(f"{STATE}/", _PLAIN)


def describe(path: str, payload: bytes) -> StateHandle:
    """The handle of ``payload`` as the file ``path``."""
    return StateHandle(path, len(payload), hashlib.sha256(payload).hexdigest())


class JobFiles:
    """The files of one job. Nothing here is fenced."""

    def __init__(self, storage: StateStorage, job_id: JobID) -> None:
        self._storage = storage
        self._job_id = job_id
        self._directory = job_directory(job_id)

    def check(self, kind: FileKind, path: str) -> str:
        """``path``, when a file of this kind of this job can have it; ``CorruptStateError``."""
        prefix = f"{self._directory}/{kind.prefix}"
        if not (path.startswith(prefix) and kind.name.fullmatch(path, len(prefix))):
            raise CorruptStateError(
                f"path {path[:200]!r} is refused: job {self._job_id} has such files as "
                f"{prefix}... in storageDir only"
            )
        return path

    def path(self, kind: FileKind, name: str | None = None) -> str:
        """The path of a file of this kind, with a random name unless there is one."""
        if name is None:
            return f"{self._directory}/{kind.random_name()}"
        return self.check(kind, f"{self._directory}/{kind.prefix}{name}")

    def write(
        self, kind: FileKind, payload: bytes, name: str | None = None, *, flush: bool = True
    ) -> StateHandle:
        """Store a file. ``StoreUnavailableError``; one with a random name is then gone again.

        ``flush=False`` where the job's next file names this one: see ``StateStorage.write``.
        """
        path = self.path(kind, name)
        try:
            self._storage.write(path, payload, flush=flush, fresh=name is None)
        except HighAvailabilityError:
            if name is None:
                self.discard(kind, path)
            raise
        return describe(path, payload)

    def read(self, kind: FileKind, handle: StateHandle) -> bytes:
        """The bytes ``handle`` points to.

        ``CorruptStateError`` when the job may not have such a file, or when it is missing,
        no regular file, not to be opened, or holds other bytes than were written;
        ``StoreUnavailableError`` when storageDir cannot be read at all.
        """
        path, expected = self.check(kind, handle.path), self._expected(handle)
        if handle.size > _LARGEST:
            raise CorruptStateError(f"file {path} is {expected}: {_LARGEST} bytes are the most")
        try:
            payload = self._storage.read(path, handle.size + 1)
        except NotExistError:
            raise CorruptStateError(
                f"file {path} is missing in storageDir: expected {expected}"
            ) from None
        found = describe(path, payload)
        if found != handle:
            size = f"more than {handle.size}" if found.size > handle.size else f"{found.size}"
            raise CorruptStateError(
                f"file {path} in storageDir was altered: expected {expected}, found {size} bytes "
                f"with sha256 {found.sha256}"
            )
        return payload

    def write_state(self, payload: bytes, name: str) -> StateHandle:
        """``write`` of a subtask's state."""
        return self.write(STATE_FILE, payload, name)

    def read_state(self, handle: StateHandle) -> bytes:
        """``read`` of a subtask's state."""
        return self.read(STATE_FILE, handle)

    def discard(self, kind: FileKind, path: str) -> None:
        """Remove a file that nothing points to, if it is one of ours. A failure leaves an
        orphan, which is harmless: it goes with its job's directory.
        """
        with contextlib.suppress(HighAvailabilityError):
            self._storage.delete(self.check(kind, path))

    def names(self) -> list[str]:
        """What lies directly in the job's directory, files in the making included."""
        return list(self._storage.list(self._directory, unfinished=True))

    def all(self) -> list[str]:
        """What lies in the job's directory now, each file by its path, also what is in the making.

        In the order in which to delete: markers last, so that the rest is never in doubt.
        """
        found = list[str]()
        for name in sorted(self.names(), key=lambda name: name.startswith(SUBMITTING)):
            path = f"{self._directory}/{name}"
            if name in (BLOBS, STATE):
                found += [f"{path}/{each}" for each in self._storage.list(path, unfinished=True)]
            else:
                found.append(path)
        return found

    def prune(self) -> None:
        """Remove the job's directories that hold nothing."""
        with contextlib.suppress(HighAvailabilityError):
            for folder in (BLOBS, STATE):  # they go with any file, also with an absent one
                self._storage.delete(f"{self._directory}/{folder}/{SUBMITTING}")

    @staticmethod
    def _expected(handle: StateHandle) -> str:
        return f"{handle.size} bytes with sha256 {handle.sha256}"
