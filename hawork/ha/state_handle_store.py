"""``StateHandleStore``: big bytes in storageDir, a small fenced pointer in the HA store.

Source: Flink's ``StateHandleStore``. A pointer's value is the JSON of a state handle and
``"format": 1``. An entry is written file first, then pointer, and removed pointer first,
then file, so that a pointer always has its file; a crash in between leaves a file that
nothing points to.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import (
    CorruptStateError,
    HighAvailabilityError,
    LeadershipLostError,
    PossibleInconsistentStateError,
)
from hawork.core.events import EventKind, EventSink
from hawork.core.json_fields import JsonFields, load_json
from hawork.core.types import NO_LEADERSHIP, JobID, LeaderSessionID, StateHandle, Versioned
from hawork.ha.damage import in_words, of_entry
from hawork.ha.job_files import CHECKPOINT_FILE, JOB_GRAPH_FILE, JobFiles
from hawork.ha.pointer_store import CHECKPOINTS, JOB_GRAPHS, Namespace, PointerStore
from hawork.ha.state_storage import StateStorage

T = TypeVar("T")

FORMAT = 1
_KINDS = {JOB_GRAPHS.kind: JOB_GRAPH_FILE, CHECKPOINTS: CHECKPOINT_FILE}
_NO_ENTRY = "0"
_LONGEST_REASON = 300  # characters
_LONGEST_KEPT = 1000  # bytes of what an entry held before it was set aside


@dataclass(frozen=True, slots=True)
class StoredState:
    """An entry: its bytes, where they lie, and the version to expect when replacing it."""

    payload: bytes
    handle: StateHandle
    version: int


def encode_handle(handle: StateHandle) -> bytes:
    data = {"format": FORMAT, **handle.to_json()}
    return json.dumps(data, separators=(",", ":")).encode()


def decode_handle(entry: str, value: bytes) -> StateHandle:
    """The handle in a pointer's value; ``CorruptStateError`` names ``entry`` and reason.

    Whose file it names is for ``JobFiles`` to judge.
    """
    with of_entry(f"pointer {entry} in the HA store"):
        data = load_json(value)
        fields = JsonFields("it", data)
        if fields.has("set_aside"):
            raise ValueError(f"it was set aside: {fields.text('set_aside')}")
        if fields.whole("format") != FORMAT:
            raise ValueError(f"format {data['format']!r} is none this version reads")
        return StateHandle.from_json(data)


def reported_write(
    events: EventSink,
    session_id: LeaderSessionID,
    namespace: Namespace,
    name: str,
    operation: str,
    write: Callable[[], T],
    removed: Sequence[str] = (),
) -> T:
    """Run one write of a pointer and tell the event log how it went, and how long it took.

    The event comes after the write, and perhaps long after it, if the process is paused in
    between. ``seconds`` says when the write began, which is what a verdict needs to know.
    ``removed`` names, once it has been made, the entries that went with the same write.
    """
    started = SYSTEM_CLOCK.monotonic()

    def emit(kind: EventKind, name: str, operation: str, **more: str) -> None:
        events.emit(
            kind,
            session_id=session_id,
            job_id=namespace.job_id or name,
            namespace=str(namespace),
            name=name,
            operation=operation,
            seconds=round(SYSTEM_CLOCK.monotonic() - started, 6),
            **more,
        )

    try:
        result = write()
    except HighAvailabilityError as error:
        reason = f"{type(error).__name__}: {error}"
        emit(EventKind.POINTER_REFUSED, name, operation, reason=reason)
        raise
    if result is not False:  # nothing was there to be removed
        emit(EventKind.POINTER_WRITTEN, name, operation)
    for each in removed:
        emit(EventKind.POINTER_WRITTEN, each, "remove")
    return result


class StateHandleStore:
    """The entries of one namespace, written under one leadership.

    Each entry is one job's: that of the namespace, or the one that it is named by.
    """

    def __init__(
        self,
        namespace: Namespace,
        pointers: PointerStore,
        storage: StateStorage,
        session_id: LeaderSessionID,
        events: EventSink,
    ) -> None:
        self.namespace = namespace
        self._kind = _KINDS[namespace.kind]
        self._pointers = pointers
        self._storage = storage
        self._session_id = session_id
        self._events = events

    def add(
        self, name: str, payload: bytes, written: Callable[[StateHandle], None] | None = None
    ) -> StateHandle:
        """Store ``payload`` in a new file of the entry's job, and point to it.

        ``written`` is called when the file is there and nothing points to it yet.
        ``AlreadyExistsError``, ``LeadershipLostError`` and ``StoreUnavailableError`` leave
        nothing behind. After ``PossibleInconsistentStateError`` the entry is there or not;
        its file is kept.
        """
        return self._write(
            "add",
            name,
            payload,
            written,
            lambda value: self._pointers.create(name, value, self._session_id),
        )

    def supersede(
        self,
        name: str,
        payload: bytes,
        older: Sequence[str],
        written: Callable[[StateHandle], None],
        pointed: Callable[[], None],
    ) -> bool:
        """``add``, and remove ``older`` entries by the same transaction; their files after it.

        ``pointed`` is called when the transaction has been made. ``False`` when the HA store could
        not do both at once: the entry was added, and the older ones are there.
        """
        before = {each: self._pointers.read(each) for each in older}
        removed: list[str] = []

        def point(value: bytes) -> None:
            there = [each for each, entry in before.items() if entry is not None]
            if self._pointers.create(name, value, self._session_id, there):
                removed.extend(there)
            else:
                self._pointers.create(name, value, self._session_id)

        self._write("add", name, payload, written, point, removed)
        pointed()
        for each in removed:
            self._discard(each, before[each])
        return len(removed) == sum(entry is not None for entry in before.values())

    def replace(self, name: str, expected: StoredState, payload: bytes) -> StateHandle:
        """Point to a new file with ``payload`` instead, then remove the old file.

        ``NotExistError`` or ``VersionMismatchError`` when the entry is not ``expected`` any
        more; otherwise like ``add``.
        """
        handle = self._write(
            "replace",
            name,
            payload,
            None,
            lambda value: self._pointers.replace(name, expected.version, value, self._session_id),
        )
        self._files(name).discard(self._kind, expected.handle.path)
        return handle

    def get(self, name: str) -> StoredState | None:
        """The entry, verified. ``CorruptStateError`` when pointer or file is damaged."""
        entry = self._pointers.read(name)
        while entry is not None:
            try:
                return self._load(name, entry)
            except CorruptStateError:
                before, entry = entry, self._pointers.read(name)
                if entry == before:
                    raise  # else it was removed or replaced, and its file after it
        return None

    def load_all(
        self, *, backwards: bool = False
    ) -> Iterator[tuple[str, StoredState | CorruptStateError]]:
        """Every entry in the order of names; in place of a damaged one what is wrong with it.

        The pointers are read at once, each file when its turn comes.
        """
        entries = self._pointers.entries()
        for name, entry in reversed(entries) if backwards else entries:
            try:
                yield name, self._load(name, entry)
            except CorruptStateError as error:
                yield name, error

    def names(self) -> Sequence[str]:
        """The names of all entries, in order; damaged ones included."""
        return [name for name, _ in self._pointers.entries()]

    def has(self, name: str) -> bool:
        """Whether there is an entry, damaged or not."""
        return self._pointers.read(name) is not None

    def set_aside(self, name: str, reason: str) -> None:
        """Let an entry be damaged from now on, whatever becomes of its file; its bytes are kept.

        Nothing happens to an entry that is set aside already, or gone.
        ``VersionMismatchError`` when it is being changed.
        """
        entry = self._pointers.read(name)
        if entry is None or _is_set_aside(entry.value):
            return
        data = {
            "format": FORMAT,
            "set_aside": reason[:_LONGEST_REASON],
            "was": entry.value[:_LONGEST_KEPT].decode(errors="backslashreplace"),
        }
        value = json.dumps(data, separators=(",", ":")).encode()
        self._reported(
            "replace",
            name,
            lambda: self._pointers.replace(name, entry.version, value, self._session_id),
        )

    def remove(self, name: str) -> bool:
        """Remove pointer, then file; whether there was an entry. May be repeated.

        After ``PossibleInconsistentStateError`` the file is kept, and so is what a damaged
        entry names.
        """
        entry = self._pointers.read(name)
        removed = self._reported(
            "remove", name, lambda: self._pointers.delete(name, self._session_id)
        )
        self._discard(name, entry)
        return removed

    def check_leads(self) -> None:
        """``LeadershipLostError`` in a deposed leader; a write that changes nothing asks."""
        self._pointers.delete(_NO_ENTRY, self._session_id)

    def _discard(self, name: str, entry: Versioned[bytes] | None) -> None:
        """Remove the file of an entry that is gone."""
        if entry is not None:
            with contextlib.suppress(CorruptStateError):
                handle = decode_handle(f"{self.namespace}/{name}", entry.value)
                self._files(name).discard(self._kind, handle.path)

    def _load(self, name: str, entry: Versioned[bytes]) -> StoredState:
        handle = decode_handle(f"{self.namespace}/{name}", entry.value)
        return StoredState(self._files(name).read(self._kind, handle), handle, entry.version)

    def _files(self, name: str) -> JobFiles:
        """The files of the job that the entry is about; ``CorruptStateError`` without one."""
        job_id = self.namespace.job_id
        if job_id is None:
            with of_entry(f"pointer {self.namespace}/{in_words(name)} in the HA store"):
                job_id = JobID(name)
                if job_id != name:
                    raise ValueError(f"{name!r} is not a job id as hawork writes it")
        return JobFiles(self._storage, job_id)

    def _write(
        self,
        operation: str,
        name: str,
        payload: bytes,
        written: Callable[[StateHandle], None] | None,
        point: Callable[[bytes], object],
        removed: Sequence[str] = (),
    ) -> StateHandle:
        if self._session_id == NO_LEADERSHIP:
            self._reported(operation, name, self._refuse)
        files = self._files(name)
        handle = files.write(self._kind, payload)
        if written is not None:
            written(handle)
        try:
            self._reported(operation, name, lambda: point(encode_handle(handle)), removed)
        except PossibleInconsistentStateError:
            raise
        except HighAvailabilityError:
            files.discard(self._kind, handle.path)
            raise
        return handle

    def _reported(
        self, operation: str, name: str, write: Callable[[], T], removed: Sequence[str] = ()
    ) -> T:
        """Write a pointer and tell the event log how it went."""
        return reported_write(
            self._events, self._session_id, self.namespace, name, operation, write, removed
        )

    def _refuse(self) -> None:
        raise LeadershipLostError(
            f"{self.namespace} was opened for reading without a leadership: write as the leader"
        )


def _is_set_aside(value: bytes) -> bool:
    try:
        data = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and "set_aside" in data
