"""Where output goes: the contract of transactional sinks, and the sink of files."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hawork.core.errors import ConfigurationError
from hawork.core.types import JobID

FORMATS = ("jsonl", "csv")


@dataclass(frozen=True, slots=True)
class SubtaskContext:
    """Which subtask of which job this is; ``attempt`` is new for each time it is started."""

    job_id: JobID
    index: int
    parallelism: int
    attempt: str


class SinkWriter(Protocol):
    """One subtask's output as a two-phase commit (Flink's ``TwoPhaseCommittingSink``).

    ``restore`` comes first. What was written becomes visible when the checkpoint that
    names it is completed, and never otherwise.
    """

    def restore(self, checkpoint_id: int | None, pending: Sequence[str]) -> None:
        """Make visible what the completed checkpoint names, and nothing after it.

        ``None`` starts afresh. May be repeated. ``ConfigurationError`` when that would mix
        with another run's output, ``JobExecutionError`` when named output is gone.
        """

    def write(self, records: Sequence[Any]) -> None:
        """Add records to what the next snapshot names."""

    def snapshot(self, checkpoint_id: int) -> tuple[str, ...]:
        """Make durable what was written, and name *everything* that is not committed."""

    def commit(self, checkpoint_id: int) -> None:
        """Checkpoints up to this one are completed: make visible what they name. Repeatable."""

    def close(self, *, discard: bool) -> None:
        """Stop. ``discard`` when the job is over: what was not committed is removed."""


class Sink(Protocol):
    """A place for output; users may write their own."""

    def open(self, context: SubtaskContext) -> SinkWriter:
        """The writer of one subtask."""


class FileSink:
    """Files of a directory, complete and exactly once: ``part-<subtask>-<checkpoint>-<n>``.

    ``format`` is ``jsonl`` (any JSON record, values keep their types) or ``csv`` (dicts with
    the same fields; everything is text when read again). A file appears, whole, when the
    checkpoint that names it is completed; until then it is below ``.pending``. The
    directory belongs to one run: a job that starts afresh refuses to add to another's.

    >>> Pipeline("copy").source(CsvSource("in.csv")).sink(FileSink("out"))  # doctest: +SKIP
    """

    def __init__(self, directory: str | os.PathLike[str], format: str = "jsonl") -> None:
        if format not in FORMATS:
            raise ConfigurationError(
                f"format {format!r} of FileSink is unknown: write one of {', '.join(FORMATS)}"
            )
        self.directory = Path(directory).absolute()
        self.format = format

    def open(self, context: SubtaskContext) -> SinkWriter:
        from hawork.job.file_sink_writer import FileSinkWriter

        return FileSinkWriter(self.directory, self.format, context)

    def __repr__(self) -> str:
        return f"FileSink({str(self.directory)!r}, format={self.format!r})"


def part_files(directory: str | os.PathLike[str]) -> list[Path]:
    """The committed files by subtask and checkpoint; none if there is no directory."""
    return sorted(path for path in Path(directory).glob("part-*") if path.is_file())


def read_output(directory: str | os.PathLike[str]) -> list[Any]:
    """The committed records of a ``FileSink``, of all subtasks; texts only from CSV files.

    >>> read_output("/no/such/directory")
    []
    """
    records: list[Any] = []
    for path in part_files(directory):
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                records += csv.DictReader(file)
            else:
                records += map(json.loads, file)
    return records
