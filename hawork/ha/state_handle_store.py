"""``StateHandleStore``: big bytes in storageDir, a small fenced pointer in the HA store.

Source: Flink's ``StateHandleStore``. A pointer's value is the JSON of a state handle and
``"format": 1``. An entry is written file first, then pointer, and removed pointer first,
then file, so that a pointer always has its file; a crash in between leaves a file that
nobody points to.
"""

from __future__ import annotations

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
from hawork.core.types import NO_LEADERSHIP, LeaderSessionID, StateHandle, Versioned
from hawork.ha.pointer_store import Namespace, PointerStore
from hawork.ha.state_files import discard_state, random_path, read_state, write_state
from hawork.ha.state_storage import StateStorage

T = TypeVar("T")

FORMAT = 1


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
    """The handle in a pointer's value; ``CorruptStateError`` names ``entry`` and reason."""
    try:
        data = json.loads(value)
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r} is none this version reads")
        return StateHandle.from_json(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptStateError(
            f"pointer {entry} in the HA store is no state handle: {type(error).__name__} {error}"
        ) from None


def reported_write(
    events: EventSink,
    session_id: LeaderSessionID,
    namespace: Namespace,
    name: str,
    operation: str,
    write: Callable[[], T],
) -> T:
    """Run one write of a pointer and tell the event log how it went, and how long it took.

    The event comes after the write, and perhaps long after it, if the process is paused in
    between. ``seconds`` says when the write began, which is what a verdict needs to know.
    """
    started = SYSTEM_CLOCK.monotonic()

    def emit(kind: EventKind, **more: str) -> None:
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
        emit(EventKind.POINTER_REFUSED, reason=f"{type(error).__name__}: {error}")
        raise
    if result is not False:  # nothing was there to be removed
        emit(EventKind.POINTER_WRITTEN)
    return result


class StateHandleStore:
    """The entries of one namespace, written under one leadership."""

    def __init__(
        self,
        namespace: Namespace,
        pointers: PointerStore,
        storage: StateStorage,
        session_id: LeaderSessionID,
        events: EventSink,
    ) -> None:
        self.namespace = namespace
        self._pointers = pointers
        self._storage = storage
        self._session_id = session_id
        self._events = events

    def add(
        self,
        name: str,
        payload: bytes,
        prefix: str,
        written: Callable[[StateHandle], None] | None = None,
    ) -> StateHandle:
        """Store ``payload`` in a new file ``prefix<12 hex digits>`` and point to it.

        ``written`` is called when the file is there and nothing points to it yet.
        ``AlreadyExistsError``, ``LeadershipLostError`` and ``StoreUnavailableError`` leave
        nothing behind. After ``PossibleInconsistentStateError`` the entry is there or not;
        its file is kept.
        """
        return self._write(
            "add",
            name,
            payload,
            prefix,
            written,
            lambda value: self._pointers.create(name, value, self._session_id),
        )

    def replace(self, name: str, expected: StoredState, payload: bytes, prefix: str) -> StateHandle:
        """Point to a new file with ``payload`` instead, then remove the old file.

        ``NotExistError`` or ``VersionMismatchError`` when the entry is not ``expected`` any
        more; otherwise like ``add``.
        """
        handle = self._write(
            "replace",
            name,
            payload,
            prefix,
            None,
            lambda value: self._pointers.replace(name, expected.version, value, self._session_id),
        )
        discard_state(self._storage, expected.handle.path)
        return handle

    def get(self, name: str) -> StoredState | None:
        """The entry, verified. ``CorruptStateError`` when pointer or file is damaged."""
        entry = self._pointers.read(name)
        return None if entry is None else self._load(name, entry)

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

    def remove(self, name: str) -> bool:
        """Remove pointer, then file; whether there was an entry. May be repeated.

        After ``PossibleInconsistentStateError`` the file is kept.
        """
        entry = self._pointers.read(name)
        removed = self._reported(
            "remove", name, lambda: self._pointers.delete(name, self._session_id)
        )
        if entry is not None:
            try:
                handle = decode_handle(f"{self.namespace}/{name}", entry.value)
            except CorruptStateError:
                return removed
            discard_state(self._storage, handle.path)
        return removed

    def _load(self, name: str, entry: Versioned[bytes]) -> StoredState:
        handle = decode_handle(f"{self.namespace}/{name}", entry.value)
        return StoredState(read_state(self._storage, handle), handle, entry.version)

    def _write(
        self,
        operation: str,
        name: str,
        payload: bytes,
        prefix: str,
        written: Callable[[StateHandle], None] | None,
        point: Callable[[bytes], None],
    ) -> StateHandle:
        if self._session_id == NO_LEADERSHIP:
            self._reported(operation, name, self._refuse)
        path = random_path(prefix)
        try:
            handle = write_state(self._storage, path, payload)
        except HighAvailabilityError:
            discard_state(self._storage, path)
            raise
        if written is not None:
            written(handle)
        try:
            self._reported(operation, name, lambda: point(encode_handle(handle)))
        except PossibleInconsistentStateError:
            raise
        except HighAvailabilityError:
            discard_state(self._storage, path)
            raise
        return handle

    def _reported(self, operation: str, name: str, write: Callable[[], T]) -> T:
        """Write a pointer and tell the event log how it went."""
        return reported_write(
            self._events, self._session_id, self.namespace, name, operation, write
        )

    def _refuse(self) -> None:
        raise LeadershipLostError(
            f"{self.namespace} was opened for reading without a leadership: write as the leader"
        )
