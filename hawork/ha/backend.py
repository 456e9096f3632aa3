"""What a folder below ``hawork.backends`` provides: one object per process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hawork.core.types import LeaderSessionID
from hawork.ha.leader_election import LeaderElectionDriver, LeaderElectionListener
from hawork.ha.leader_retrieval import LeaderRetrievalDriver, LeaderRetrievalObserver
from hawork.ha.pointer_store import Namespace, PointerStore


@dataclass(frozen=True, slots=True)
class Fullness:
    """What of a cluster is closest to a limit of its HA store.

    >>> print(Fullness("ConfigMap lab-cluster-config-map", 2048, 4096))
    ConfigMap lab-cluster-config-map: 2,048 of 4,096 bytes (50.0 %)
    """

    what: str
    size: int
    """Bytes, as the store counts them."""
    limit: int
    """Bytes at which the store refuses more."""

    def __str__(self) -> str:
        share = 100 * self.size / self.limit
        return f"{self.what}: {self.size:,} of {self.limit:,} bytes ({share:.1f} %)"


class Measured(Protocol):
    """What can say how full it is."""

    def fullest(self) -> Fullness:
        """What grows with the jobs of this cluster, and how far it has come.

        ``StoreUnavailableError`` when the store cannot be read.
        """


class Backend(Measured, Protocol):
    """The HA store of one cluster, as one process sees it.

    Made by ``open_backend(config, clock, events)`` of the backend's ``services`` module,
    which raises ``ConfigurationError`` or ``StoreUnavailableError`` in one clear sentence.
    """

    def election_driver(self, listener: LeaderElectionListener) -> LeaderElectionDriver:
        """Take part in the election of this cluster's leader."""

    def retrieval_driver(
        self, component_id: str, observer: LeaderRetrievalObserver
    ) -> LeaderRetrievalDriver:
        """Watch who leads ``component_id``."""

    def pointers(self, namespace: Namespace) -> PointerStore:
        """The pointers of a namespace; cheap, creates nothing."""

    def drop(self, namespace: Namespace | None, session_id: LeaderSessionID | None) -> None:
        """Remove a namespace with all its entries, fenced; absent is fine.

        ``None`` for both removes everything of this cluster from the HA store, without a
        leadership: that is what ``cleanup_all_data`` of an unused cluster does.
        """

    def close(self) -> None:
        """Free what this object holds in this process; HA data stays."""
