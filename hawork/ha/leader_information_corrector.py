"""Publishes leader information again that another process changed, until it is right.

On a thread of its own, so that a slow contender does not delay it. Source: what Flink's
``DefaultLeaderElectionService`` does in ``notifyLeaderInformationChange``; there a store that
does not answer just then ends the process, here the correction is tried again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from hawork.core.errors import (
    LeadershipLostError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind, EventSink
from hawork.core.types import LeaderInformation, LeaderSessionID
from hawork.ha.leader_election import LeaderElectionDriver

RETRY_PAUSE = 1.0  # seconds

Wanted = tuple[LeaderElectionDriver, LeaderSessionID, LeaderInformation | None]
"""By whom, under which leadership and what is to be published; ``None``: nothing."""

TRANSIENT = (StoreUnavailableError, PossibleInconsistentStateError)
"""Errors of a store that may answer later; what failed with them may be repeated."""

_JOIN_SECONDS = 5.0


class LeaderInformationCorrector:
    """Makes what is published about a component what it should be.

    ``wanted`` says what that is at the moment, ``None`` when we do not lead. A correction
    that fails because of the store is told as an event, once, and tried again with the next
    change and after ``retry_pause`` seconds; any other error goes to ``failed``.
    """

    def __init__(
        self,
        wanted: Callable[[str], Wanted | None],
        failed: Callable[[Exception], None],
        events: EventSink,
        retry_pause: float = RETRY_PAUSE,
    ) -> None:
        self._wanted = wanted
        self._failed = failed
        self._events = events
        self._retry_pause = retry_pause
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._pending: dict[str, str] = {}  # component and why it failed; of the thread only
        self._thread = threading.Thread(target=self._run, name="leader-correction", daemon=True)
        self._thread.start()

    def correct(self, component_id: str) -> None:
        """Look after the component soon; returns at once."""
        self._queue.put(component_id)

    def close(self) -> None:
        """Finish what was asked for, and give up what failed; waits a few seconds at most."""
        self._queue.put(None)
        if threading.current_thread() is not self._thread:
            # Bounded: a driver that hangs must not keep a process from shutting down.
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while True:
            try:
                component_id = self._queue.get(timeout=self._retry_pause if self._pending else None)
            except queue.Empty:
                component_ids = set(self._pending)
            else:
                if component_id is None:
                    return
                component_ids = {component_id, *self._pending}
            for each in sorted(component_ids):
                self._try(each)

    def _try(self, component_id: str) -> None:
        try:
            self._correct(component_id)
        except TRANSIENT as error:
            if component_id not in self._pending:
                self._events.emit(
                    EventKind.ERROR,
                    component=component_id,
                    message=f"the leader information of {component_id!r} was changed by another "
                    f"process and could not be corrected, which is tried again: {error}",
                )
            self._pending[component_id] = str(error)
            return
        except Exception as error:  # noqa: BLE001 - drivers may raise anything
            self._failed(error)
        self._pending.pop(component_id, None)

    def _correct(self, component_id: str) -> None:
        """Write, and again when what is wanted changed meanwhile: the last write is right."""
        written: Wanted | None = None
        while (wanted := self._wanted(component_id)) is not None and wanted != written:
            driver, session_id, information = wanted
            try:
                if information is None:
                    driver.delete_leader_information(component_id, session_id)
                else:
                    driver.publish_leader_information(component_id, information)
            except LeadershipLostError:
                return
            written = wanted
