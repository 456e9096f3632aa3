"""What panels need of a lab; ``LabCluster`` has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hawork.core.configuration import Configuration
from hawork.core.events import Event
from hawork.core.types import LeaderInformation
from hawork.lab.armed_steps import HeldStep
from hawork.lab.job import Job
from hawork.runtime.client import ClusterClient
from hawork.runtime.process_control import ProcessState

if TYPE_CHECKING:
    import pandas


class Watched(Protocol):
    """Everything here is public on ``LabCluster``, but for ``arrived_events``."""

    config: Configuration

    @property
    def processes(self) -> Mapping[str, ProcessState]: ...

    @property
    def jobs(self) -> list[Job]: ...

    @property
    def client(self) -> ClusterClient: ...

    @property
    def directory(self) -> Path: ...

    def leader_information(self) -> LeaderInformation | None: ...

    def held(self) -> list[HeldStep]: ...

    def job_results(self) -> pandas.DataFrame: ...

    def store_rows(self) -> pandas.DataFrame: ...

    def storage_tree(self) -> pandas.DataFrame: ...

    def arrived_events(self, known: int) -> list[Event]:
        """The events after the first ``known`` ones, in the order in which they were read."""
