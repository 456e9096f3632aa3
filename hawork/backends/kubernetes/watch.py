"""``ClusterWatch``: the cluster's ConfigMap, always as new as the server lets us know.

One list, then one watch after the other, for all of a process: its contender and everything
that looks for a leader. Renewals of the lock come through it, so that a watch on which nothing
comes for longer than a lease lasts is of no use, whatever TCP says of its connection.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable

from hawork.backends.kubernetes.answers import (
    BusyError,
    ConfigMap,
    ExpiredError,
    OutcomeUnknownError,
    SilentError,
)
from hawork.backends.kubernetes.client import KubernetesClient, Watch
from hawork.backends.kubernetes.guarded_map import GuardedMap
from hawork.backends.kubernetes.layout import LOCK
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.connection import ConnectionState
from hawork.core.errors import HaworkError, LeaderRetrievalError
from hawork.core.events import EventKind, EventSink

Subscriber = Callable[[ConfigMap | None, bool], None]
"""Told the newest state, and whether it is sure: ``False`` while the server is silent."""

_SECONDS = 300.0
"""How long the server keeps one watch open; it ends each one some time."""
_SHORT = 0.5
"""Seconds: a watch that lasts no longer is not followed by the next one without a pause."""
_JOIN_SECONDS = 1.0


class ClusterWatch:
    """Watches from the first subscription on, until ``close``. Thread-safe."""

    def __init__(
        self,
        client: KubernetesClient,
        cluster: GuardedMap,
        settings: KubernetesSettings,
        events: EventSink,
    ) -> None:
        self._client = client
        self._map = cluster
        self._events = events
        self._pause = settings.timeouts.retry_period
        self._silence = settings.timeouts.lease_duration + settings.timeouts.retry_period
        self._lock = threading.Lock()
        self._subscribers: list[Subscriber] = []
        self._thread: threading.Thread | None = None
        self._open: Watch | None = None
        self._closed = threading.Event()
        self._seen = threading.Event()
        self._state: ConnectionState | None = None
        self._stale: str | None = None
        self._failure: HaworkError | None = None

    @property
    def live(self) -> bool:
        """Whether changes are being told."""
        return self._state is not None and self._state.usable

    def hindrance(self) -> str | None:
        """Why changes are not being told, as a sentence."""
        if self.live:
            return None
        if self._failure is not None:
            return str(self._failure)
        return f"{self._client.server} has not answered yet"

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell every state from now on, on one thread; the known one soon. Gives the end of it."""
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                thread = threading.Thread(target=self._run, name="kubernetes-watch", daemon=True)
                thread.start()  # where none can be started, the next subscriber tries again
                self._thread = thread
            self._subscribers.append(subscriber)
            seen = self._seen.is_set()
        told: object = None
        while seen and told != (newest := self._newest()):
            subscriber(*newest)
            # Once more when the watch's thread told something newer before we told this.
            told = newest

        def unsubscribe() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._subscribers.remove(subscriber)

        return unsubscribe

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            self._subscribers.clear()
            watch, thread = self._open, self._thread
        if watch is not None:
            watch.close()
        if thread is not None and thread is not threading.current_thread():
            # Bounded: a request in flight ends by its own timeout.
            thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        version: str | None = None
        while not self._closed.is_set():
            began = SYSTEM_CLOCK.monotonic()
            try:
                if version is None:
                    version = self._list()
                version = self._watch(version)
                self._pause_after(began)
            except ExpiredError:
                version = None
                self._pause_after(began)
            except SilentError:
                # The lock is not renewed, or the connection is half open: believe what is there
                # when it changes. Listing finds out which, and only the latter is told.
                self._stale = _lock_of(self._map.known)
                self._tell()
                version = None
            except HaworkError as error:
                version = None
                self._broke(error)
            except Exception as error:  # noqa: BLE001 - the next leader would not be heard of
                version = None
                self._broke(LeaderRetrievalError(f"the watch failed: {error!r}"))

    def _broke(self, error: HaworkError) -> None:
        self._failure = error
        self._became(ConnectionState.SUSPENDED, error)
        # A server that is busy is asked no sooner than it wants, nor much later than it matters.
        self._wait(min(error.seconds, self._silence) if isinstance(error, BusyError) else 0.0)

    def _pause_after(self, began: float) -> None:
        """After a watch that ended at once, as a proxy or a server in trouble lets it end."""
        if SYSTEM_CLOCK.monotonic() - began < _SHORT:
            self._wait()

    def _wait(self, least: float = 0.0) -> None:
        # Not all at once when a server comes back.
        self._closed.wait(least + min(1.0, self._pause) * random.uniform(0.5, 1.0))

    def _list(self) -> str:
        before = self._map.known
        found, version = self._client.list({"fieldSelector": f"metadata.name={self._map.name}"})
        self._map.server_has(found[0] if found else None, before)
        self._tell()
        return version

    def _watch(self, version: str) -> str:
        """Watch until the server ends it; the version to go on from."""
        seconds = _SECONDS * random.uniform(0.8, 1.0)
        watch = self._client.watch(self._map.name, version, seconds, self._silence)
        with self._lock:
            self._open = watch
            if self._closed.is_set():
                watch.close()
        self._became(
            ConnectionState.CONNECTED if self._state is None else ConnectionState.RECONNECTED
        )
        try:
            for kind, found in watch:
                version = found.resource_version
                if kind == "BOOKMARK":
                    continue
                if kind == "DELETED":
                    self._map.was_deleted(found)
                else:
                    self._map.saw(found)
                self._tell()
        except OutcomeUnknownError:
            if not self._closed.is_set():
                raise
        finally:
            watch.close()
        return version

    def _became(self, state: ConnectionState, error: HaworkError | None = None) -> None:
        before, self._state = self._state, state
        usable_before = before is not None and before.usable
        if self._closed.is_set() or (before is not None and usable_before == state.usable):
            return
        facts = {} if error is None else {"reason": str(error)}
        self._events.emit(EventKind.STORE_CONNECTION, state=str(state), **facts)
        if not state.usable or before is not None:
            self._tell()

    def _tell(self) -> None:
        with self._lock:
            subscribers = list(self._subscribers)
        self._seen.set()
        known, sure = self._newest()
        if self._stale is not None and _lock_of(known) != self._stale:
            self._stale = None
        for subscriber in subscribers:
            subscriber(known, sure)

    def _newest(self) -> tuple[ConfigMap | None, bool]:
        """What is known, and whether it is sure."""
        known, stale = self._map.known, self._stale
        sure = stale is None or _lock_of(known) != stale
        return known, sure and (self._state is None or self._state.usable)


def _lock_of(found: ConfigMap | None) -> str | None:
    return None if found is None else found.annotations.get(LOCK)
