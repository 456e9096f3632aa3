"""From ``file.py:function`` to a submission: finding the file, packing it, reading texts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from hawork.client.submission import JobSubmission
from hawork.core.errors import (
    ArtifactError,
    ConfigurationError,
    JobSubmissionError,
    RestError,
)
from hawork.core.jobs import RestartStrategy
from hawork.core.types import JobID
from hawork.core.units import parse_duration
from hawork.job import pack_artifact
from hawork.lab.magic import written_artifacts


def make_submission(
    job: str | Path,
    config: Mapping[str, Any],
    artifacts: Path,
    parallelism: int | None = None,
    checkpoint_interval: str | float | None = None,
    name: str | None = None,
    retained_checkpoints: int | None = None,
    restart_strategy: RestartStrategy | None = None,
) -> JobSubmission:
    """The submission of ``file.py:function``.

    ``artifacts`` is where sources written by ``%%artifact`` are put; paths in ``config``
    become absolute text. ``JobSubmissionError`` or ``ArtifactError`` in one sentence.
    """
    job = str(job)
    file_name, colon, function = job.rpartition(":")
    if not colon or not file_name or not function:
        raise JobSubmissionError(
            f"job {job!r} names no function: write file.py:function, such as flights.py:delays"
        )
    path = find_source(file_name, artifacts)
    return JobSubmission(
        artifact=pack_artifact(path),
        entry_point=f"{path.stem}:{function}",
        name=name or function,
        config={key: _json_value(value) for key, value in config.items()},
        parallelism=parallelism,
        checkpoint_interval=seconds(checkpoint_interval),
        retained_checkpoints=retained_checkpoints,
        restart_strategy=restart_strategy,
    )


def send(
    submit: Callable[[bool], JobID], *, wait: bool, held: Callable[[], object] = lambda: False
) -> Future[JobID]:
    """Call ``submit``, now or on a thread; its error is raised now, or by the future.

    While somebody looks at a step that is ``held`` there is no answer, and the same job is
    submitted again; ``submit`` is told whether it is.
    """
    sent: Future[JobID] = Future()

    def patiently() -> JobID:
        again = False
        while True:
            try:
                return submit(again)
            except RestError as error:
                if error.status or not held():
                    raise
                again = True

    def run() -> None:
        try:
            sent.set_result(patiently())
        except BaseException as error:  # noqa: BLE001 - raised where the job is waited for
            sent.set_exception(error)

    if wait:
        run()
        sent.result()
    else:
        threading.Thread(target=run, name="hawork-submission", daemon=True).start()
    return sent


def find_source(file_name: str, artifacts: Path) -> Path:
    """The file of a job: a name that ``%%artifact`` has written, else a path."""
    source = written_artifacts().get(file_name)
    if source is not None:
        path = artifacts / file_name
        path.write_text(source, encoding="utf-8")
        return path
    path = Path(file_name).expanduser().absolute()
    if not path.exists():
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


def _json_value(value: Any) -> Any:
    return str(value.expanduser().absolute()) if isinstance(value, Path) else value
