"""The Kubernetes backend: the ConfigMaps of one cluster, and what is built on them.

Source: Flink's ``KubernetesLeaderElectionHaServices``.
"""

from __future__ import annotations

import weakref

from hawork.backends.kubernetes.access import check_access, check_access_to_jobs
from hawork.backends.kubernetes.answers import (
    AbsentError,
    AccessDeniedError,
    ConflictError,
    OutcomeUnknownError,
)
from hawork.backends.kubernetes.claims import Claims
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.election_driver import KubernetesLeaderElectionDriver
from hawork.backends.kubernetes.guarded_map import MOST, size_of
from hawork.backends.kubernetes.layout import Names
from hawork.backends.kubernetes.pointer_store import KubernetesPointerStore
from hawork.backends.kubernetes.retrieval_driver import KubernetesLeaderRetrievalDriver
from hawork.backends.kubernetes.rights import READING, WRITING
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.backends.kubernetes.watch import ClusterWatch
from hawork.core.clock import Clock
from hawork.core.configuration import Configuration
from hawork.core.errors import (
    NotAllowedError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.events import EventSink
from hawork.core.types import NO_LEADERSHIP, LeaderSessionID
from hawork.ha.backend import Fullness
from hawork.ha.leader_election import LeaderElectionListener
from hawork.ha.leader_retrieval import LeaderRetrievalObserver
from hawork.ha.pointer_store import Namespace

_DELETE_TRIES = 5


class KubernetesBackend:
    """The HA store of one cluster in a Kubernetes namespace, as one process sees it."""

    def __init__(
        self,
        client: KubernetesClient,
        settings: KubernetesSettings,
        clock: Clock,
        events: EventSink,
    ) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._events = events
        self._names = Names(settings.cluster_id)
        self._claims = Claims(client, self._names, settings.max_retries, events)
        self._watch = ClusterWatch(client, self._claims.cluster, settings, events)
        self._only_named: list[str] = []
        """Verbs that a Role allows us, who may lead, on the cluster's own ConfigMap alone."""
        self._drivers: weakref.WeakSet[KubernetesLeaderElectionDriver] = weakref.WeakSet()

    def election_driver(self, listener: LeaderElectionListener) -> KubernetesLeaderElectionDriver:
        named = check_access(self._client, self._settings, WRITING)
        if named:
            self._only_named = [*check_access(self._client, self._settings, READING), *named]
        driver = KubernetesLeaderElectionDriver(
            self._claims, self._watch, self._settings, listener, self._clock, self._events
        )
        self._drivers.add(driver)
        return driver

    def retrieval_driver(
        self, component_id: str, observer: LeaderRetrievalObserver
    ) -> KubernetesLeaderRetrievalDriver:
        return KubernetesLeaderRetrievalDriver(self._watch, component_id, observer)

    def pointers(self, namespace: Namespace) -> KubernetesPointerStore:
        if self._only_named:
            check_access_to_jobs(self._client, self._settings, self._only_named)
            self._only_named = []  # the Role was edited
        return KubernetesPointerStore(self._claims, namespace, self._believes)

    def drop(self, namespace: Namespace | None, session_id: LeaderSessionID | None) -> None:
        if namespace is not None:
            self.pointers(namespace).drop(session_id or NO_LEADERSHIP)
            return
        for _ in range(_DELETE_TRIES):
            try:
                found, _ = self._client.list({"labelSelector": self._names.selector})
                # The cluster's own map last: while it is there, the rest can be found again.
                for each in sorted(found, key=lambda each: each.name == self._names.cluster_map):
                    self._client.delete(each)
                return
            except (ConflictError, AbsentError):
                continue
            except OutcomeUnknownError as error:
                raise PossibleInconsistentStateError(
                    f"it is unknown which ConfigMaps of {self._settings.cluster_id} were removed: "
                    f"{error}; repeat it"
                ) from None
        raise PossibleInconsistentStateError(
            f"the ConfigMaps of {self._settings.cluster_id} are being changed: stop its "
            "JobManagers, then repeat it"
        )

    def fullest(self) -> Fullness:
        """The largest ConfigMap."""
        try:
            found, _ = self._client.list({"labelSelector": self._names.looser_selector})
        except (AbsentError, OutcomeUnknownError) as error:
            raise StoreUnavailableError(f"the ConfigMaps cannot be listed: {error}") from None
        sizes = {each.name: size_of(each.data) for each in found if self._names.has(each.name)}
        sizes = sizes or {self._names.cluster_map: 0}
        name = max(sizes, key=lambda name: sizes[name])
        return Fullness(f"ConfigMap {name}", sizes[name], MOST)

    def close(self) -> None:
        self._watch.close()
        self._claims.close()
        self._client.close()

    def _believes(self, session_id: str) -> bool:
        return any(driver.believes(session_id) for driver in self._drivers)


def open_backend(config: Configuration, clock: Clock, events: EventSink) -> KubernetesBackend:
    """Connect to the API server that the options name, and ask what we may do there.

    ``ConfigurationError`` (``NotAllowedError`` where credentials or rights are missing) or
    ``StoreUnavailableError`` in one sentence.
    """
    settings = KubernetesSettings.of(config)
    try:
        client = KubernetesClient(settings)
        check_access(client, settings, READING)
    except AccessDeniedError as error:
        raise NotAllowedError(str(error)) from None
    return KubernetesBackend(client, settings, clock, events)
