"""What a task process is told at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawork.core.jobs import JsonObject, SubtaskState
from hawork.core.types import JobID


@dataclass(frozen=True, slots=True)
class TaskDeployment:
    """One subtask to run, as the command ``deploy`` describes it.

    ``artifact`` is the path of the job's zip, which must hash to ``sha256`` and unpack to
    at most ``artifact_max_size`` bytes; ``storage_url`` is ``<storageDir>/<cluster-id>``,
    where keyed state of more than ``memory_threshold`` bytes goes; ``process`` is the name
    of the TaskManager.
    """

    job_id: JobID
    attempt: str
    index: int
    parallelism: int
    entry_point: str
    config: JsonObject
    artifact: Path
    sha256: str
    restore: SubtaskState | None
    session_id: str
    storage_url: str
    memory_threshold: int
    artifact_max_size: int
    run_directory: Path | None
    process: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TaskDeployment:
        """Raises ``KeyError``, ``TypeError`` or ``ValueError`` for any other data."""
        known = {name: data[name] for name in cls.__slots__}
        known["job_id"] = JobID(data["job_id"])
        known["artifact"] = Path(data["artifact"])
        known["restore"] = SubtaskState.from_json(data["restore"]) if data["restore"] else None
        known["run_directory"] = Path(data["run_directory"]) if data["run_directory"] else None
        return cls(**known)

    @property
    def work_directory(self) -> Path:
        """Where the artifact is unpacked: beside it, removed when the task ends in order."""
        return self.artifact.parent / f"task-{self.attempt}-{self.index}"
