"""What panels need of a lab, and of a cluster that is only looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hawork.client.cluster_client import ClusterClient
from hawork.client.tls import RestTrust
from hawork.core.configuration import Configuration
from hawork.core.events import Event
from hawork.core.steps import HeldStep
from hawork.core.types import JobID, LeaderInformation, ProcessState

if TYPE_CHECKING:
    import pandas

    from hawork.inspect.decode import StoreRow
    from hawork.inspect.inspector import ShownInspection


class SubmittedJob(Protocol):
    """A job that was submitted through the lab."""

    @property
    def job_id(self) -> JobID: ...

    @property
    def name(self) -> str: ...

    @property
    def expected_records(self) -> int | None: ...


class StoreSource(Protocol):
    """Whose HA store and storageDir can be shown."""

    def store_rows(self) -> pandas.DataFrame: ...

    def store_entries(self) -> list[StoreRow]: ...

    def storage_tree(self) -> pandas.DataFrame: ...

    def inspect(self) -> ShownInspection: ...


class ClusterSource(StoreSource, Protocol):
    """Everything here is public on ``LabCluster``, but for ``arrived_events``."""

    config: Configuration

    @property
    def processes(self) -> Mapping[str, ProcessState]: ...

    @property
    def jobs(self) -> Sequence[SubmittedJob]: ...

    @property
    def client(self) -> ClusterClient: ...

    @property
    def directory(self) -> Path: ...

    def leader_information(self) -> LeaderInformation | None: ...

    def job_results(self) -> pandas.DataFrame: ...

    def arrived_events(self, known: int) -> list[Event]:
        """The events after the first ``known`` ones, in the order in which they were read."""


class SteppedSource(Protocol):
    """Where steps of the protocol can be armed, and processes stand at them."""

    def held(self) -> list[HeldStep]: ...


class AttachedSource(StoreSource, Protocol):
    """A cluster that was attached to; ``AttachedCluster`` has it."""

    config: Configuration | None
    trust: RestTrust
    read_only: bool

    def rest_address(self) -> str | None: ...

    def silence(self) -> str:
        """Why no leader answers, and when one was heard last; empty while one does."""

    def election_facts(self) -> Sequence[tuple[str, str]]:
        """What the HA store tells of those that stand for the leadership."""

    def storage_directory(self) -> Path:
        """``LabError`` when storageDir is not on this machine."""

    def job_results(self) -> pandas.DataFrame: ...

    def cancel(self, job_id: str) -> None: ...

    def arrived_events(self, known: int) -> list[Event]:
        """As a lab's."""
