"""A job submission as a value, made from ``file.py:function`` by a client."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hawork.core.errors import ArtifactError, ConfigurationError, JobSubmissionError
from hawork.core.jobs import JsonObject, RestartStrategy
from hawork.core.types import JobID
from hawork.core.units import parse_duration
from hawork.core.user_files import NOTHING_THERE, absolute, expanded, why_not_there
from hawork.job import pack_artifact


@dataclass(frozen=True, slots=True)
class JobSubmission:
    """What a client asks for; ``None`` leaves the choice to the cluster's options.

    ``artifact`` is a zip made by ``hawork.job.pack_artifact``, ``entry_point`` names the
    function in it that builds the pipeline (``module:function``), ``config`` is handed to
    that function. ``checkpoint_interval`` and ``checkpoint_timeout`` are in seconds.
    """

    artifact: bytes
    entry_point: str
    name: str | None = None
    config: JsonObject = field(default_factory=dict)
    parallelism: int | None = None
    checkpoint_interval: float | None = None
    checkpoint_timeout: float | None = None
    retained_checkpoints: int | None = None
    restart_strategy: RestartStrategy | None = None
    job_id: JobID = field(default_factory=JobID.random)

    def to_request(self) -> JsonObject:
        """The JSON object that goes with the artifact."""
        data = {
            name: getattr(self, name)
            for name in self.__slots__
            if name != "artifact" and getattr(self, name) is not None
        }
        if self.restart_strategy is not None:
            data["restart_strategy"] = self.restart_strategy.to_json()
        return data


def make_submission(
    job: str | Path,
    config: Mapping[str, Any],
    parallelism: int | None = None,
    checkpoint_interval: str | float | None = None,
    name: str | None = None,
    retained_checkpoints: int | None = None,
    restart_strategy: RestartStrategy | None = None,
    *,
    find: Callable[[str], Path] | None = None,
) -> JobSubmission:
    """The submission of ``file.py:function``; paths in ``config`` become absolute text.

    ``find`` gives the path of the file; without it the file is a path.
    ``JobSubmissionError`` or ``ArtifactError`` in one sentence.
    """
    job = str(job)
    file_name, colon, function = job.rpartition(":")
    if not colon or not file_name or not function:
        raise JobSubmissionError(
            f"job {job!r} names no function: write file.py:function, such as flights.py:delays"
        )
    path = (find or find_file)(file_name)
    return JobSubmission(
        artifact=pack_artifact(path),
        entry_point=f"{path.stem}:{function}",
        name=name or function,
        config=_json_config(config),
        parallelism=parallelism,
        checkpoint_interval=seconds(checkpoint_interval),
        retained_checkpoints=retained_checkpoints,
        restart_strategy=restart_strategy,
    )


def find_file(file_name: str) -> Path:
    """The file, package directory or zip of a job. ``ArtifactError`` when there is none."""
    path = absolute(expanded(file_name))
    reason = why_not_there(path)
    if reason not in (None, NOTHING_THERE):
        raise ArtifactError(f"job file {file_name} cannot be read: {reason}")
    if reason:
        raise ArtifactError(
            f"job file {file_name} does not exist: write it with %%artifact {file_name}, or "
            "give the path of a .py file, a package directory or a zip"
        )
    return path


def seconds(duration: str | float | None) -> float | None:
    """A duration text such as ``"500 ms"``, or seconds, as seconds."""
    if not isinstance(duration, str):
        return duration
    try:
        return parse_duration(duration)
    except ValueError as error:
        raise ConfigurationError(f"checkpoint interval {duration!r}: {error}") from None


def _json_config(config: Mapping[str, Any]) -> JsonObject:
    """What the job's function is given: it travels as JSON, and is checked before it is sent."""
    ready: JsonObject = {}
    for key, value in config.items():
        ready[key] = str(absolute(expanded(value))) if isinstance(value, Path) else value
        try:
            json.dumps({key: ready[key]})
        except (TypeError, ValueError) as error:
            raise JobSubmissionError(
                f"config of the job: {key!r} is {type(value).__name__}, which JSON cannot hold "
                f"({error}): give it as text, numbers, lists or dictionaries"
            ) from None
    return ready
