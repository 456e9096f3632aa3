"""``HighAvailabilityServices``: election, retrieval and stores of one cluster.

Source: Flink's ``HighAvailabilityServices`` and ``AbstractHaServices``.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError, CorruptStateError, HighAvailabilityError
from hawork.core.events import EventKind, EventSink, NullEventSink
from hawork.core.forks import OwningProcess
from hawork.core.steps import NoSteps, Steps
from hawork.core.types import NO_LEADERSHIP, JobID, LeaderInformation, LeaderSessionID
from hawork.ha.backend import Backend
from hawork.ha.job_files import JobFiles
from hawork.ha.layout import JOBS, cluster_url, job_result_url
from hawork.ha.leader_election import LeaderElection
from hawork.ha.leader_election_service import DefaultLeaderElectionService, TicketSink
from hawork.ha.leader_retrieval import LeaderRetrievalListener
from hawork.ha.leader_retrieval_service import DefaultLeaderRetrievalService
from hawork.ha.leader_stores import LeaderStores
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.ha.state_storage import StateStorage
from hawork.ha.storage import check_owners, check_storage, open_storage
from hawork.ha.storage_watch import StorageWatch, WatchedStorage


class HighAvailabilityServices:
    """The HA services of one process. A context manager; leaving it keeps all HA data.

    storageDir is only needed for ``stores``: a client that looks for a leader has none. A child
    that is forked has no part in them: ``close`` does nothing there, and all else is refused.
    """

    def __init__(
        self,
        config: Configuration,
        backend: Backend,
        clock: Clock = SYSTEM_CLOCK,
        events: EventSink | None = None,
        steps: Steps | None = None,
        ticket_sink: TicketSink | None = None,
    ) -> None:
        self._process = OwningProcess()
        self._config = config
        self._backend = backend
        self._clock = clock
        self._events = events or NullEventSink()
        self._steps = steps or NoSteps()
        self._election_service = DefaultLeaderElectionService(
            backend.election_driver, self._events, ticket_sink
        )
        self._lock = threading.Lock()
        self._retrievals: list[DefaultLeaderRetrievalService] = []
        self.storage_watch = StorageWatch(clock)
        self._storages: tuple[StateStorage, StateStorage] | None = None
        self._closed = False

    def __enter__(self) -> HighAvailabilityServices:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def leader_election(self, component_id: str) -> LeaderElection:
        """Take part in leader election under ``component_id``; begins with its ``start``."""
        self._check_process()
        return self._election_service.leader_election(component_id)

    def leader_retrieval(
        self, component_id: str, listener: LeaderRetrievalListener
    ) -> DefaultLeaderRetrievalService:
        """Tell ``listener`` who leads ``component_id``, until the returned one is closed."""
        self._check_process()
        service = DefaultLeaderRetrievalService(
            lambda observer: self._backend.retrieval_driver(component_id, observer),
            _RecordingListener(component_id, listener, self._events),
        )
        with self._lock:
            self._retrievals = [other for other in self._retrievals if not other.closed]
            self._retrievals.append(service)
        return service

    def on_leadership_thread(self, action: Callable[[], None]) -> None:
        """Run ``action`` on the thread on which contenders are granted and revoked, soon.

        Also while it waits for a write to the HA store. It never runs when that thread hangs.
        """
        self._election_service.on_leadership_thread(action)

    def stores(self, session_id: LeaderSessionID) -> LeaderStores:
        """The stores, for writing under the leadership ``session_id``.

        With ``NO_LEADERSHIP`` they can only be read. ``ConfigurationError`` when storageDir
        is not set, ``StoreUnavailableError`` when it cannot be used.
        """
        self._check_process()
        storage, result_storage = self._open_storages(check=session_id != NO_LEADERSHIP)
        return LeaderStores(
            self._config,
            self._backend,
            session_id,
            storage,
            result_storage,
            self._steps,
            self._events,
            self._clock,
        )

    def check_storage(self) -> None:
        """Write, read and delete a file in storageDir, once; errors as those of ``stores``."""
        self._open_storages(check=True)

    def probe_storage(self) -> None:
        """The same each time: whether storageDir can be used now."""
        urls = cluster_url(self._config), job_result_url(self._config)
        for storage, url in zip(self._open_storages(check=True), urls, strict=True):
            check_storage(storage, url)

    def close(self) -> None:
        """Give up leadership, stop watching, and keep all HA data.

        May be repeated: what an interrupt left open, the next call closes.
        """
        if self._process.is_this:
            self._shut_down()
            self._backend.close()

    def cleanup_all_data(self) -> None:
        """Close, and delete the cluster's HA data: pointers first, then files.

        As in Flink the files of the JobResultStore stay. For a cluster that is not used
        any more.
        """
        self._check_process()
        if not self._shut_down():
            raise HighAvailabilityError("the HA services are closed: open them again to clean up")
        try:
            self._backend.drop(None, None)
            storage, _ = self._open_storages(check=False)
            for name in storage.list(JOBS):
                with contextlib.suppress(ConfigurationError):  # the name of something else
                    files = JobFiles(storage, JobID(name))
                    for path in files.all():
                        with contextlib.suppress(CorruptStateError):  # not ours: it is kept
                            storage.delete(path)
                    files.prune()
        finally:
            self._backend.close()

    def _check_process(self) -> None:
        if not self._process.is_this:
            raise HighAvailabilityError(self._process.excludes("this HighAvailabilityServices"))

    def _shut_down(self) -> bool:
        """Stop taking part; whether this was the first time."""
        with self._lock:
            first, self._closed = not self._closed, True
            retrievals = list(self._retrievals)
        self._election_service.deregister_all()
        self._election_service.close()
        for retrieval in retrievals:
            retrieval.close()
        return first

    def _open_storages(self, *, check: bool) -> tuple[StateStorage, StateStorage]:
        with self._lock:
            if self._storages is not None:
                return self._storages
        urls = cluster_url(self._config), job_result_url(self._config)
        storage, result_storage = (
            WatchedStorage(opened, self.storage_watch)
            for opened in (open_storage(urls[0], self._has_jobs), open_storage(urls[1]))
        )
        if check:
            if not self._config.get_option(options.STORAGE_SHARED):
                for url in urls:
                    check_owners(url)
            check_storage(storage, urls[0])
            check_storage(result_storage, urls[1])
            with self._lock:
                self._storages = storage, result_storage
        return storage, result_storage

    def _has_jobs(self) -> bool:
        return bool(self._backend.pointers(JOB_GRAPHS).entries())


class _RecordingListener:
    """Writes an event for every leader that is told."""

    def __init__(
        self, component_id: str, listener: LeaderRetrievalListener, events: EventSink
    ) -> None:
        self._component_id = component_id
        self._listener = listener
        self._events = events

    def notify_leader(self, information: LeaderInformation | None) -> None:
        self._events.emit(
            EventKind.LEADER_RETRIEVED,
            session_id=information.session_id if information else None,
            component=self._component_id,
            address=information.address if information else None,
        )
        self._listener.notify_leader(information)

    def handle_error(self, error: Exception) -> None:
        self._listener.handle_error(error)
