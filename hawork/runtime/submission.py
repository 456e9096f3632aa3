"""How the JobManager turns a submission into a job graph."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import ArtifactError, JobSubmissionError
from hawork.core.jobs import (
    MOST_RETAINED,
    MOST_SECONDS,
    MOST_SUBTASKS,
    JobGraph,
    RestartStrategy,
)
from hawork.core.json_fields import check_json
from hawork.core.types import JobID, StateHandle
from hawork.job.artifact import check_artifact
from hawork.job.entry_point import parse_entry_point
from hawork.runtime.restart_strategy import restart_strategy_of


def graph_of_request(
    request: Any, artifact: bytes, config: Configuration, artifact_limit: int
) -> JobGraph:
    """The job graph of a request, with the options' defaults where it is silent.

    Everything that can be known before the job runs is checked here:
    ``JobSubmissionError`` or ``ArtifactError`` says in one sentence what is wrong.
    """
    if not isinstance(request, Mapping):
        raise JobSubmissionError("the submission is not a JSON object: send {...}")
    try:
        check_json(request)
    except ValueError as error:
        raise JobSubmissionError(f"the submission cannot be stored: {error}") from None
    fields = _Fields(request)
    entry_point = fields.text("entry_point", None)
    module, _ = parse_entry_point(entry_point)
    _check_module(artifact, module, artifact_limit)
    restart = fields.get("restart_strategy", dict, None)
    sha256, job_id = (
        hashlib.sha256(artifact).hexdigest(),
        JobID(fields.text("job_id", JobID.random())),
    )
    graph = JobGraph(
        job_id=job_id,
        name=fields.text("name", entry_point),
        entry_point=entry_point,
        artifact=StateHandle("", len(artifact), sha256),
        config=fields.get("config", dict, {}),
        parallelism=fields.whole(
            "parallelism", config.get_option(options.PARALLELISM), least=1, most=MOST_SUBTASKS
        ),
        checkpoint_interval=fields.seconds(
            "checkpoint_interval", config.get_option(options.CHECKPOINT_INTERVAL)
        ),
        checkpoint_timeout=fields.seconds(
            "checkpoint_timeout", config.get_option(options.CHECKPOINT_TIMEOUT)
        )
        or config.get_option(options.CHECKPOINT_TIMEOUT),
        retained_checkpoints=fields.whole(
            "retained_checkpoints",
            config.get_option(options.RETAINED_CHECKPOINTS),
            least=1,
            most=MOST_RETAINED,
        ),
        restart_strategy=_restart_strategy(restart, config),
        submitted_at=int(time.time() * 1000),
        request=_digest({**request, "job_id": job_id, "artifact": sha256}),
    )
    fields.refuse_unknown()
    return graph


def _digest(request: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _check_module(artifact: bytes, module: str, limit: int) -> None:
    """``ArtifactError`` when the artifact is unsafe or has no such module. Imports nothing."""
    names = check_artifact(artifact, limit)
    found = sorted({name.partition("/")[0].removesuffix(".py") for name in names})
    if module.partition(".")[0] not in found:
        raise ArtifactError(
            f"module {module!r} is not in the artifact, which has "
            f"{', '.join(found[:10]) or 'nothing'}: write the entry point as module:function"
        )


def _restart_strategy(data: dict[str, Any] | None, config: Configuration) -> RestartStrategy:
    if data is None:
        return restart_strategy_of(config)
    try:
        return RestartStrategy.from_json(data)
    except ValueError as error:
        raise JobSubmissionError(f"restart_strategy is none: {error}") from None


class _Fields:
    """Reads a request's fields with their types; what is left over is unknown."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._left = dict(request)

    def get(self, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
        value = self._left.pop(name, None)
        if value is None:
            return default
        if not isinstance(value, kind) or isinstance(value, bool):
            wanted = {str: "text", dict: "a JSON object", int: "a whole number"}.get(
                kind if isinstance(kind, type) else float, "a number"
            )
            raise JobSubmissionError(f"{name} is {value!r}: write {wanted}")
        return value

    def text(self, name: str, default: str | None) -> str:
        value = self.get(name, str, default)
        if not value:
            raise JobSubmissionError(f"{name} is missing: write it as text")
        return str(value)

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        value = self.get(name, int, default)
        if not least <= value <= most:
            raise JobSubmissionError(
                f"{name} is {value}: write a whole number from {least} to {most}"
            )
        return int(value)

    def seconds(self, name: str, default: float | None) -> float | None:
        value = self.get(name, (int, float), default)
        if value is not None and not 0 < value < MOST_SECONDS:
            raise JobSubmissionError(f"{name} is {value} s: write a number of seconds above 0")
        return None if value is None else float(value)

    def refuse_unknown(self) -> None:
        if self._left:
            raise JobSubmissionError(
                f"field {', '.join(sorted(self._left))} of the submission is unknown: remove it"
            )


if not TYPE_CHECKING:  # so that mypy goes on finding names that are nowhere

    def __getattr__(name: str) -> Any:
        from hawork import moved  # each start of a process would pay for it

        return moved.find(__name__, name)
