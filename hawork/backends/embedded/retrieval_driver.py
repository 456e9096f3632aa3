"""Leader retrieval: what the watcher sees of one component."""

from __future__ import annotations

from hawork.backends.embedded.store_watcher import Snapshot, StoreWatcher
from hawork.core.errors import CorruptStateError, HaworkError, LeaderRetrievalError
from hawork.core.types import LeaderInformation
from hawork.ha.leader_retrieval import LeaderRetrievalObserver


class EmbeddedRetrievalDriver:
    """Tells its observer who leads ``component_id``, within about 20 ms of a change.

    ``None`` when there is no lease, when its holder has published nothing, and when the
    store cannot be read.
    """

    def __init__(
        self, watcher: StoreWatcher, component_id: str, observer: LeaderRetrievalObserver
    ) -> None:
        self._component_id = component_id
        self._observer = observer
        self._closed = False
        self._told: LeaderInformation | None = None
        self._told_any = False
        self._hindrance: str | None = None
        self._unsubscribe = watcher.subscribe(self._changed)

    def close(self) -> None:
        self._closed = True
        self._unsubscribe()

    def hindrance(self) -> str | None:
        """What keeps the store from being read."""
        return self._hindrance

    def _changed(self, state: Snapshot | HaworkError) -> None:
        if self._closed:
            return
        self._hindrance = None if isinstance(state, Snapshot) else str(state)
        if isinstance(state, Snapshot):
            self._tell(state.information.get(self._component_id))
            return
        self._tell(None)
        # A store that cannot be reached may come back; one that is damaged does not.
        if isinstance(state, (CorruptStateError, LeaderRetrievalError)):
            self._observer.on_error(state)

    def _tell(self, information: LeaderInformation | None) -> None:
        # The watcher speaks up whenever the lease was renewed, or anything else of it changed.
        if not self._told_any or information != self._told:
            self._told, self._told_any = information, True
            self._observer.on_leader_information(information)
