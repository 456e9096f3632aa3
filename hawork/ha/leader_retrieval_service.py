"""``DefaultLeaderRetrievalService``: what service discovery is on every backend.

Source: Flink's ``DefaultLeaderRetrievalService`` and ``LeaderRetriever``.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque

from hawork.core.errors import LeaderRetrievalError
from hawork.core.forks import OwningProcess
from hawork.core.types import LeaderInformation, LeaderSessionID
from hawork.ha.leader_retrieval import LeaderRetrievalDriverFactory, LeaderRetrievalListener

_JOIN_SECONDS = 5.0
_KEPT_ERRORS = 100


class DefaultLeaderRetrievalService:
    """Watches one component from construction until ``close``.

    The listener is called on one thread of the service's own, only when the leader changed.
    A listener that is slower than the changes hears the latest one; intermediate ones may
    be left out. After ``close`` it hears nothing more.
    """

    def __init__(
        self, driver_factory: LeaderRetrievalDriverFactory, listener: LeaderRetrievalListener
    ) -> None:
        self._listener = listener
        self._process = OwningProcess()
        self._changed = threading.Condition()
        self._latest: LeaderInformation | None = None
        self._notified: LeaderInformation | None = None
        self._errors: deque[Exception] = deque(maxlen=_KEPT_ERRORS)
        self._last_error = ""
        self._closed = False
        self._thread = threading.Thread(target=self._dispatch, name="leader-retrieval", daemon=True)
        self._thread.start()
        try:
            self._driver = driver_factory(self)
        except BaseException:
            self._stop()
            raise

    def on_leader_information(self, information: LeaderInformation | None) -> None:
        """Called by the driver, from any thread."""
        with self._changed:
            if information is not None:
                self._last_error = ""
            if information != self._latest:  # else there is nothing to wake the thread for
                self._latest = information
                self._changed.notify()

    def on_error(self, error: Exception) -> None:
        """Called by the driver, from any thread; what is still the matter is passed on once."""
        with self._changed:
            if str(error) == self._last_error:
                return
            self._last_error = str(error)
            self._errors.append(error)
            self._changed.notify()

    @property
    def closed(self) -> bool:
        return self._closed

    def hindrance(self) -> str | None:
        """What keeps us from seeing a leader, as a sentence; see ``LeaderRetrievalDriver``."""
        return None if self._closed else self._driver.hindrance()

    def close(self) -> None:
        """Stop watching. May be repeated."""
        if not self._process.is_this:
            return
        with self._changed:
            self._closed = True
        self._driver.close()
        self._stop()

    def __enter__(self) -> DefaultLeaderRetrievalService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stop(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            # Bounded: a listener that hangs must not keep a process from shutting down.
            self._thread.join(_JOIN_SECONDS)

    def _dispatch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or self._errors or self._latest != self._notified
                )
                if self._closed:
                    return
                error = self._errors.popleft() if self._errors else None
                if error is None:
                    self._notified = self._latest
                information = self._notified
            if error is not None:
                self._tell_error(error)
                continue
            try:
                self._listener.notify_leader(information)
            except Exception as failure:  # noqa: BLE001 - a listener may raise anything
                self._tell_error(failure)

    def _tell_error(self, error: Exception) -> None:
        if not isinstance(error, LeaderRetrievalError):
            wrapped = LeaderRetrievalError(f"leader retrieval failed: {error}")
            wrapped.__cause__ = error
            error = wrapped
        with contextlib.suppress(Exception):  # the listener is gone
            self._listener.handle_error(error)


class LeaderRetriever:
    """A listener for code that wants to wait for a leader.

    >>> retriever = LeaderRetriever()
    >>> retriever.notify_leader(None)
    >>> retriever.leader() is None
    True
    """

    def __init__(self, cluster: str = "this cluster-id") -> None:
        self._cluster = cluster  # for the error
        self._changed = threading.Condition()
        self._information: LeaderInformation | None = None
        self._error: Exception | None = None

    def notify_leader(self, information: LeaderInformation | None) -> None:
        with self._changed:
            self._information, self._error = information, None
            self._changed.notify_all()

    def handle_error(self, error: Exception) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    @property
    def failed(self) -> bool:
        """Whether retrieval met an error since it last heard of a leader."""
        with self._changed:
            return self._error is not None

    def leader(self) -> LeaderInformation | None:
        """The present leader, as far as it is known."""
        with self._changed:
            return self._information

    def wait_for_leader(
        self, timeout: float | None, different_from: LeaderSessionID | None = None
    ) -> LeaderInformation:
        """The leader, as soon as there is one whose session id is not ``different_from``.

        ``timeout`` is in seconds, ``None`` waits for ever. ``LeaderRetrievalError`` when it
        is over, or when retrieval met an error since it last heard of a leader.
        """
        found: LeaderInformation | None = None

        def arrived() -> bool:
            nonlocal found
            information = self._information
            if information is not None and information.session_id != different_from:
                found = information
            return found is not None or self._error is not None

        with self._changed:
            self._changed.wait_for(arrived, timeout)
            error = self._error
        if found is not None:
            return found
        if error is not None:
            raise error
        other = f" other than {different_from}" if different_from else ""
        seconds = f"{round(timeout or 0, 1):g}"
        raise LeaderRetrievalError(
            f"no leader{other} was found within {seconds} s: see that a JobManager of "
            f"{self._cluster} is running"
        )
