"""The embedded backend of one process, put together."""

from __future__ import annotations

import shutil

from hawork.backends.embedded.election_driver import EmbeddedElectionDriver
from hawork.backends.embedded.lease_table import fence
from hawork.backends.embedded.pointer_store import EmbeddedPointerStore
from hawork.backends.embedded.retrieval_driver import EmbeddedRetrievalDriver
from hawork.backends.embedded.store import EmbeddedStore
from hawork.core.clock import Clock
from hawork.core.configuration import Configuration
from hawork.core.errors import HighAvailabilityError, StoreUnavailableError
from hawork.core.events import EventSink
from hawork.core.types import LeaderSessionID
from hawork.ha.backend import Fullness
from hawork.ha.leader_election import LeaderElectionListener
from hawork.ha.leader_retrieval import LeaderRetrievalObserver
from hawork.ha.pointer_store import Namespace


def open_backend(config: Configuration, clock: Clock, events: EventSink) -> EmbeddedBackend:
    """The cluster's SQLite file, made if there is none.

    ``ConfigurationError`` for an unsuitable directory or another cluster's file,
    ``CorruptStateError`` for a damaged one, ``StoreUnavailableError`` when it cannot be used.
    """
    return EmbeddedBackend(EmbeddedStore(config, clock, events))


class EmbeddedBackend:
    """A ``Backend``. Close its drivers before closing it."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store

    def election_driver(self, listener: LeaderElectionListener) -> EmbeddedElectionDriver:
        return EmbeddedElectionDriver(self._store, listener)

    def retrieval_driver(
        self, component_id: str, observer: LeaderRetrievalObserver
    ) -> EmbeddedRetrievalDriver:
        return EmbeddedRetrievalDriver(self._store.watcher, component_id, observer)

    def pointers(self, namespace: Namespace) -> EmbeddedPointerStore:
        return EmbeddedPointerStore(
            namespace, self._store.writer, self._store.reader, self._store.versions
        )

    def drop(self, namespace: Namespace | None, session_id: LeaderSessionID | None) -> None:
        if namespace is not None and session_id is None:
            raise HighAvailabilityError(
                f"{namespace} cannot be dropped without a leadership: give the session id"
            )
        with self._store.writer.writing() as connection:
            if session_id is not None:
                fence(connection, session_id, f"dropping {namespace or 'everything'}")
            if namespace is not None:
                connection.execute("DELETE FROM pointer WHERE namespace = ?", (str(namespace),))
                return
            for table in ("pointer", "leader_information", "lease"):
                connection.execute(f"DELETE FROM {table}")

    def fullest(self) -> Fullness:
        """The file, which may take what is free on its disk."""
        path = self._store.file
        try:
            # The journal beside it becomes a part of it.
            files = [each for each in path.parent.glob(f"{path.name}*") if each.exists()]
            size = sum(each.stat().st_size for each in files)
            free = shutil.disk_usage(path.parent).free
        except OSError as error:
            raise StoreUnavailableError(f"{path} cannot be looked at: {error}") from None
        return Fullness(f"file {path}", size, size + free)

    def close(self) -> None:
        self._store.close()
