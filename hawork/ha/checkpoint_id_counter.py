"""``CheckpointIDCounter``: the next checkpoint's id, kept across leaders.

Source: Flink's ``ZooKeeperCheckpointIDCounter`` and ``KubernetesCheckpointIDCounter``. The
stored number is the *next* id; a missing one is 1.
"""

from __future__ import annotations

from collections.abc import Callable

from hawork.core.errors import (
    AlreadyExistsError,
    HighAvailabilityError,
    NotExistError,
    PossibleInconsistentStateError,
    VersionMismatchError,
)
from hawork.core.events import EventSink
from hawork.core.jobs import JobStatus
from hawork.core.types import JobID, LeaderSessionID, Versioned
from hawork.ha.checkpoint_store import MAX_ID, checkpoint_ids
from hawork.ha.damage import SetAside
from hawork.ha.pointer_store import PointerStore, counters
from hawork.ha.state_handle_store import reported_write

ENTRY = "counter"
FIRST_ID = 1
_DIGITS = len(str(MAX_ID))
_TRIES = 10


class CheckpointIDCounter:
    """The counter of one job, written under one leadership."""

    def __init__(
        self,
        job_id: JobID,
        pointers: PointerStore,
        checkpoint_pointers: PointerStore,
        session_id: LeaderSessionID,
        events: EventSink,
        set_aside: SetAside,
    ) -> None:
        self._job_id = job_id
        self._pointers = pointers
        self._checkpoint_pointers = checkpoint_pointers
        self._session_id = session_id
        self._events = events
        self._set_aside = set_aside
        self._least: int | None = None

    def get(self) -> int:
        """The id that the next checkpoint will get."""
        return self._next(self._pointers.read(ENTRY))

    def get_and_increment(self) -> int:
        """Take the next id. It is never that of a stored checkpoint, even when the counter
        was lost; ids may be left out.

        ``HighAvailabilityError`` when the ids are used up.
        """
        for _ in range(_TRIES):
            entry = self._pointers.read(ENTRY)
            checkpoint_id = self._next(entry)
            if checkpoint_id >= MAX_ID:
                raise HighAvailabilityError(
                    f"checkpoint id counter of job {self._job_id} overflows at {MAX_ID}: "
                    "cancel the job and submit it anew"
                )
            try:
                self._write(entry, checkpoint_id + 1)
            except (
                AlreadyExistsError,
                NotExistError,
                VersionMismatchError,
                PossibleInconsistentStateError,
            ) as error:
                reason = error
                continue  # another process was faster, or that is not known: look again
            return checkpoint_id
        raise reason

    def set_count(self, checkpoint_id: int) -> None:
        """Let the next checkpoint have this id. ``HighAvailabilityError`` when out of range."""
        if not FIRST_ID <= checkpoint_id <= MAX_ID:
            raise HighAvailabilityError(
                f"checkpoint id {checkpoint_id} is out of range: "
                f"take one from {FIRST_ID} to {MAX_ID}"
            )
        self._write(self._pointers.read(ENTRY), checkpoint_id)

    def shutdown(self, status: JobStatus) -> None:
        """With a globally terminal status the counter is removed. May be repeated."""
        if status.globally_terminal:
            self._reported("remove", lambda: self._pointers.delete(ENTRY, self._session_id))

    def _next(self, entry: Versioned[bytes] | None) -> int:
        if self._least is None:
            names = [name for name, _ in self._checkpoint_pointers.entries()]
            self._least = max(checkpoint_ids(names), default=FIRST_ID - 1) + 1
        stored = FIRST_ID if entry is None else self._decode(entry.value)
        return max(stored, self._least)

    def _decode(self, value: bytes) -> int:
        # Of bytes isdigit means ASCII digits.
        if value.isdigit() and len(value) <= _DIGITS and FIRST_ID <= int(value) <= MAX_ID:
            return int(value)
        self._set_aside.tell(
            self._job_id,
            f"checkpoint id counter of job {self._job_id}",
            f"{value[:60]!r} is not a checkpoint id; going on above the stored checkpoints",
        )
        return FIRST_ID

    def _write(self, entry: Versioned[bytes] | None, number: int) -> None:
        value = str(number).encode()
        if entry is None:
            create = lambda: self._pointers.create(ENTRY, value, self._session_id)  # noqa: E731
            self._reported("add", create)
        else:
            version = entry.version
            self._reported(
                "replace",
                lambda: self._pointers.replace(ENTRY, version, value, self._session_id),
            )

    def _reported(self, operation: str, write: Callable[[], object]) -> None:
        reported_write(
            self._events, self._session_id, counters(self._job_id), ENTRY, operation, write
        )
