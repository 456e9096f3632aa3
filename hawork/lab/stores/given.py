"""A store that a lab did not start: it has no server of the lab's to cut off or to stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.lab.run_directory import RunDirectory
from hawork.lab.stores.network import NO_CONTROL_PLANE, PreparedFault
from hawork.servers.kubernetes.control_plane import ControlPlane


class GivenStore:
    """A ``LabStore`` of which a lab only knows how to reach it."""

    options: Mapping[str, str] = {}
    own = False
    secrets: Sequence[str] = ()

    def __init__(self, run: RunDirectory, impossible: str, no_sessions: str = "") -> None:
        """``impossible`` ends the sentence that begins with the name of a fault."""
        self._run = run
        self._why = impossible
        self.no_sessions = no_sessions or f"expire_session {impossible}"

    @property
    def control_plane(self) -> ControlPlane:
        raise LabError(NO_CONTROL_PLANE)

    def start(self) -> None:
        return

    def stop(self) -> None:
        return

    def config_file(self, process: str) -> Path:
        return self._run.config_file

    def partition(self, process: str, how: str) -> PreparedFault:
        raise LabError(f"partition {self._why}")

    def outage(self, server: str | None, how: str) -> PreparedFault:
        raise LabError(f"store_outage {self._why}")

    def heal(self) -> PreparedFault:
        raise LabError(f"heal {self._why}")

    def expire_session(
        self, process: str, config: Configuration, session: str, *, connected: bool = False
    ) -> None:
        raise LabError(self.no_sessions)

    def server_data(self) -> Sequence[Path]:
        return ()
