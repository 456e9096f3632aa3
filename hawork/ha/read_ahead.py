"""Reading the pointers of many jobs together, for backends where every request is a round trip.

After a takeover each job looks for its checkpoints by itself. The first that does brings along
what the next ones will ask for; each answer is handed out once, and read anew from then on.
Only the leader writes pointers, and a job writes none before it has looked, so what was read
ahead under this leadership is still true.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from hawork.core.types import LeaderSessionID, Versioned
from hawork.ha.pointer_store import Namespace, PointerStore

_BATCH = 250  # namespaces

Entries = Sequence[tuple[str, Versioned[bytes]]]


@runtime_checkable
class ReadsTogether(Protocol):
    """What a backend may be besides: able to read several namespaces at the price of one."""

    def entries_of(self, namespaces: Sequence[Namespace]) -> Sequence[Entries]:
        """``PointerStore.entries`` of each namespace, in this order; errors as there."""


class ReadAhead:
    """What is read together; thread-safe."""

    def __init__(self, backend: ReadsTogether) -> None:
        self._backend = backend
        # Held while reading, too: who asks meanwhile is about to be answered.
        self._lock = threading.Lock()
        self._expected: dict[Namespace, None] = {}
        self._found: dict[Namespace, Entries] = {}

    def expect(self, namespaces: Sequence[Namespace]) -> None:
        """Each of these will be asked for once, soon, and about in this order."""
        with self._lock:
            self._expected = dict.fromkeys(namespaces)
            self._found.clear()

    def take(self, namespace: Namespace) -> Entries | None:
        """The entries, once; ``None`` when they are to be read in the ordinary way.

        Errors as those of ``PointerStore.entries``; what failed is not read ahead again.
        """
        with self._lock:
            if namespace in self._expected:
                del self._expected[namespace]
                batch = [namespace, *itertools.islice(self._expected, _BATCH - 1)]
                for each in batch[1:]:
                    del self._expected[each]
                found = self._backend.entries_of(batch)
                self._found.update(zip(batch, found, strict=True))
            return self._found.pop(namespace, None)

    def pointers(self, namespace: Namespace, pointers: PointerStore) -> PointerStore:
        """``pointers``, whose ``entries`` are those read ahead the first time."""
        return _ReadAheadPointers(self, namespace, pointers)


class _ReadAheadPointers:
    """A ``PointerStore``; only ``entries`` differs."""

    def __init__(self, ahead: ReadAhead, namespace: Namespace, pointers: PointerStore) -> None:
        self._ahead = ahead
        self._namespace = namespace
        self._pointers = pointers

    def create(
        self, name: str, value: bytes, session_id: LeaderSessionID, older: Sequence[str] = ()
    ) -> bool:
        return self._pointers.create(name, value, session_id, older)

    def replace(self, name: str, version: int, value: bytes, session_id: LeaderSessionID) -> None:
        self._pointers.replace(name, version, value, session_id)

    def read(self, name: str) -> Versioned[bytes] | None:
        return self._pointers.read(name)

    def entries(self) -> Entries:
        found = self._ahead.take(self._namespace)
        return self._pointers.entries() if found is None else found

    def delete(self, name: str, session_id: LeaderSessionID) -> bool:
        return self._pointers.delete(name, session_id)
