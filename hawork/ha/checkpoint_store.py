"""``CompletedCheckpointStore``: the newest checkpoints of one job.

Source: Flink's ``DefaultCompletedCheckpointStore`` and ``CheckpointSubsumeHelper``. Other
than there, an unreadable newest checkpoint is skipped with a report, not fatal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence, Set
from dataclasses import dataclass

from hawork.core.errors import AlreadyExistsError, CorruptStateError, HighAvailabilityError
from hawork.core.events import EventKind, EventSink
from hawork.core.jobs import CompletedCheckpoint, JobStatus
from hawork.core.steps import Steps
from hawork.core.types import JobID, LeaderSessionID
from hawork.ha.damage import SetAside, in_words
from hawork.ha.job_files import STATE_FILE, JobFiles
from hawork.ha.json_state import decode_json, encode_json
from hawork.ha.state_handle_store import StateHandleStore, StoredState
from hawork.ha.state_storage import StateStorage

MAX_ID = 2**31 - 1
_DIGITS = 19


@dataclass(frozen=True, slots=True)
class RecoveredCheckpoint:
    """The newest readable checkpoint, and the newer ones that are not: ``(id, reason)``."""

    checkpoint: CompletedCheckpoint | None
    skipped: tuple[tuple[int, str], ...]


def checkpoint_name(checkpoint_id: int) -> str:
    """19 digits, so that the order of names is that of ids (``ZooKeeperCheckpointStoreUtil``)."""
    return f"{checkpoint_id:0{_DIGITS}d}"


def checkpoint_id_of(name: str) -> int | None:
    """The id that the name of a pointer stands for; ``None`` for a name that hawork never gives."""
    if len(name) == _DIGITS and name.isascii() and name.isdigit() and 1 <= int(name) <= MAX_ID:
        return int(name)
    return None


def checkpoint_ids(names: Sequence[str]) -> list[int]:
    """The ids that names of pointers stand for, in order; other names are left out."""
    return sorted(found for found in map(checkpoint_id_of, names) if found is not None)


class CompletedCheckpointStore:
    """The checkpoints of one job, written under one leadership. For one thread at a time."""

    def __init__(
        self,
        job_id: JobID,
        retained: int,
        handles: StateHandleStore,
        storage: StateStorage,
        session_id: LeaderSessionID,
        steps: Steps,
        events: EventSink,
        set_aside: SetAside,
    ) -> None:
        self._job_id = job_id
        self._retained = retained
        self._handles = handles
        self._files = JobFiles(storage, job_id)
        self._set_aside = set_aside
        self._session_id = session_id
        self._steps = steps
        self._events = events
        self._unreadable: set[int] = set()
        self._state_files: dict[int, frozenset[str]] = {}
        self._ids: list[int] | None = None
        """Of the stored checkpoints, in order, where that is sure."""
        self._shut_down = False

    def add(self, checkpoint: CompletedCheckpoint) -> None:
        """Store a checkpoint, and subsume the oldest beyond the number retained.

        The HA store does both at once where it can. When it returns the checkpoint is complete; a
        subsumption that fails is tried again with the next one. Adding the identical checkpoint
        again changes nothing.
        ``AlreadyExistsError`` for another one of the same id; ``LeadershipLostError`` and
        ``StoreUnavailableError`` leave nothing behind.
        """
        if self._shut_down:
            raise HighAvailabilityError(
                f"the checkpoint store of job {self._job_id} was shut down: open a new one"
            )
        number = checkpoint.checkpoint_id
        older = self._subsumed_by(number)
        known, self._ids = self._ids, None  # until it is sure what is there
        at_once = self._store(checkpoint, older)
        self._state_files[number] = _paths(checkpoint)
        try:
            if at_once and older:
                _, kept = self._split({*(known or ()), number})
                shared = self._state_files_of(kept)
                for each in older:
                    self._forget(each, shared)
            if known is not None:
                self._ids = sorted({*known, number} - set(older if at_once else ()))
            subsumed = self._subsume() or (at_once and bool(older))
        except HighAvailabilityError as error:
            self._ids = None
            self._events.emit(
                EventKind.ERROR,
                session_id=self._session_id,
                job_id=self._job_id,
                message=f"older checkpoints could not be removed: {error}",
            )
            return
        if subsumed:
            self._reached("checkpoint.subsumed", number)

    def recover(self) -> RecoveredCheckpoint:
        """The newest checkpoint whose file and whose state files can all be read.

        That it is not a newer one is decided herewith: those stay set aside in the HA store,
        also if their files come back, for the output that they name is going to be taken back.
        While none can be read nothing is decided. ``StoreUnavailableError`` when it cannot be
        found out now.
        """
        skipped: list[tuple[int, str]] = []
        # One look at all pointers, then the files, of which the newest is nearly always enough.
        for name, state in self._handles.load_all(backwards=True):
            checkpoint_id = checkpoint_id_of(name)
            if checkpoint_id is None:
                what = f"checkpoint pointer {in_words(name)}"
                self._set_aside.tell(self._job_id, what, "no checkpoint of hawork's has this name")
                continue
            try:
                if isinstance(state, CorruptStateError):
                    raise state
                checkpoint = self._decode(checkpoint_id, state)
                for subtask in checkpoint.subtasks:
                    if subtask.handle is not None:
                        self._files.read_state(subtask.handle)
            except CorruptStateError as error:
                skipped.append((checkpoint_id, str(error)))
                self._unreadable.add(checkpoint_id)
                self._set_aside.tell(self._job_id, f"checkpoint {checkpoint_id}", str(error))
                continue
            for number, reason in skipped:
                self._handles.set_aside(checkpoint_name(number), reason)
            return RecoveredCheckpoint(checkpoint, tuple(skipped))
        return RecoveredCheckpoint(None, tuple(skipped))

    def all_ids(self) -> Sequence[int]:
        """The ids of all stored checkpoints, in order; unreadable ones included."""
        return checkpoint_ids(self._handles.names())

    def shutdown(self, status: JobStatus) -> None:
        """Nothing can be added any more; with a globally terminal status all is removed.

        May be repeated after an error.
        """
        self._shut_down = True
        if status.globally_terminal:
            for checkpoint_id in self.all_ids():
                self._remove(checkpoint_id, shared=set())

    def discard(self, checkpoint: CompletedCheckpoint) -> None:
        """Remove the state files of a checkpoint that was refused and will not be added."""
        for path in _paths(checkpoint) - self._state_files_of(self.all_ids()):
            self._files.discard(STATE_FILE, path)

    def _store(self, checkpoint: CompletedCheckpoint, older: Sequence[int]) -> bool:
        """Write the checkpoint; whether ``older`` ones are gone with it."""
        number = checkpoint.checkpoint_id
        name, payload = checkpoint_name(number), encode_json(checkpoint.to_json())

        def pointed() -> None:
            self._reached("checkpoint.pointer_added", number)

        try:
            return self._handles.supersede(
                name,
                payload,
                [checkpoint_name(each) for each in older],
                written=lambda _: self._reached("checkpoint.written", number),
                pointed=pointed,
            )
        except AlreadyExistsError:
            stored = self._handles.get(name)
            if stored is None or stored.payload != payload:
                raise
            pointed()
            return False

    def _stored_ids(self) -> Sequence[int]:
        """``all_ids``, read once: while this leadership lasts no other process writes here."""
        if self._ids is None:
            self._ids = list(self.all_ids())
        return self._ids

    def _subsumed_by(self, number: int) -> Sequence[int]:
        """What adding a checkpoint subsumes; nothing where that cannot be found out now."""
        try:
            older, kept = self._split({*self._stored_ids(), number})
            # While their pointers are there: what to remove, and what others share.
            self._state_files_of([each for each in (*older, *kept) if each != number])
        except HighAvailabilityError:
            return ()
        return [each for each in older if each != number]

    def _split(self, ids: Set[int]) -> tuple[list[int], list[int]]:
        """What is subsumed, and what is retained. Unreadable ones go when a newer one is there."""
        readable = sorted(ids - self._unreadable)
        if not readable:
            return [], []
        kept = readable[-self._retained :]
        return sorted(each for each in ids - {*kept} if each < readable[-1]), kept

    def _subsume(self) -> bool:
        """Subsume what has not been so far; whether there was anything."""
        subsumed, kept = self._split({*self._stored_ids()})
        if subsumed:
            shared = self._state_files_of(kept)
            for checkpoint_id in subsumed:
                self._remove(checkpoint_id, shared)
            self._ids = [each for each in self._stored_ids() if each not in subsumed]
        return bool(subsumed)

    def _remove(self, checkpoint_id: int, shared: Set[str]) -> None:
        """Pointer and file first, then the state files that no kept checkpoint shares."""
        self._state_files_of([checkpoint_id])
        self._handles.remove(checkpoint_name(checkpoint_id))
        self._forget(checkpoint_id, shared)

    def _forget(self, checkpoint_id: int, shared: Set[str]) -> None:
        """Remove the state files of a checkpoint whose pointer is gone."""
        self._unreadable.discard(checkpoint_id)
        for path in self._state_files.pop(checkpoint_id, frozenset()) - shared:
            self._files.discard(STATE_FILE, path)

    def _state_files_of(self, checkpoint_ids: Sequence[int]) -> Set[str]:
        """The state files of checkpoints; those of an unreadable one go with the job."""
        paths: frozenset[str] = frozenset()
        for checkpoint_id in checkpoint_ids:
            if checkpoint_id not in self._state_files:
                with contextlib.suppress(CorruptStateError):
                    self._load(checkpoint_id)
            paths |= self._state_files.get(checkpoint_id, frozenset())
        return paths

    def _load(self, checkpoint_id: int) -> CompletedCheckpoint | None:
        state = self._handles.get(checkpoint_name(checkpoint_id))
        return None if state is None else self._decode(checkpoint_id, state)

    def _decode(self, checkpoint_id: int, state: StoredState) -> CompletedCheckpoint:
        what = f"checkpoint {state.handle.path}"
        checkpoint = decode_json(what, state.payload, CompletedCheckpoint.from_json)
        if (checkpoint.job_id, checkpoint.checkpoint_id) != (self._job_id, checkpoint_id):
            raise CorruptStateError(
                f"{what} is checkpoint {checkpoint.checkpoint_id} of job {checkpoint.job_id}, "
                f"not {checkpoint_id} of {self._job_id}"
            )
        paths = _paths(checkpoint)
        for path in paths:
            self._files.check(STATE_FILE, path)
        self._state_files[checkpoint_id] = paths
        return checkpoint

    def _reached(self, step: str, checkpoint_id: int) -> None:
        self._steps.reached(
            step, session_id=self._session_id, job_id=self._job_id, checkpoint_id=checkpoint_id
        )


def _paths(checkpoint: CompletedCheckpoint) -> frozenset[str]:
    return frozenset(subtask.handle.path for subtask in checkpoint.subtasks if subtask.handle)
