"""Leader retrieval on Kubernetes: one key of the cluster's ConfigMap, watched.

Source: Flink's ``KubernetesLeaderRetrievalDriver``. What is different: there the address of a
leader that is gone stays until the next one writes its own; here it is unsure, hence ``None``,
when the API server is silent or the lock was not renewed for longer than a lease lasts.
"""

from __future__ import annotations

from hawork.backends.kubernetes.answers import ConfigMap
from hawork.backends.kubernetes.layout import decode_leader_information, leader_key
from hawork.backends.kubernetes.watch import ClusterWatch
from hawork.core.errors import LeaderRetrievalError
from hawork.ha.leader_retrieval import LeaderRetrievalObserver


class KubernetesLeaderRetrievalDriver:
    """Tells the observer who leads, from the watch that all of the process share."""

    def __init__(
        self, watch: ClusterWatch, component_id: str, observer: LeaderRetrievalObserver
    ) -> None:
        self._key = leader_key(component_id)
        self._observer = observer
        self._closed = False
        self._watch = watch
        self._unsubscribe = watch.subscribe(self._look)

    def close(self) -> None:
        self._closed = True
        self._unsubscribe()

    def hindrance(self) -> str | None:
        """What keeps the ConfigMap from being watched."""
        return self._watch.hindrance()

    def _look(self, found: ConfigMap | None, sure: bool) -> None:
        if self._closed:
            return
        text = None if found is None or not sure else found.data.get(self._key)
        try:
            information = decode_leader_information(text) if text else None
        except LeaderRetrievalError as error:
            self._observer.on_leader_information(None)
            name = "" if found is None else found.name
            self._observer.on_error(
                LeaderRetrievalError(f"key {self._key} of ConfigMap {name}: {error}")
            )
        else:
            self._observer.on_leader_information(information)
