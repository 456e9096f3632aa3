"""The sink of files: pending files, committed by renaming them.

::

    <directory>/part-<subtask>-<checkpoint>-<n>.<format>           committed
    <directory>/.pending/<job id>/<subtask>-<attempt>-<n>.<format>  not committed
    <directory>/.hawork-owner                                      whose directory it is

A snapshot names every pending file as ``<pending name> -> <part name>``. Pending files carry
the attempt, so an attempt that was taken for dead and wakes up can only write files that no
checkpoint names. Committing is one rename: it may be repeated, by any later attempt.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hawork.core.errors import ConfigurationError, JobExecutionError
from hawork.core.flushing import flush_directory
from hawork.core.types import JobID
from hawork.core.user_files import absolute
from hawork.job.output_owner import claim, release
from hawork.job.record_formats import RecordFormat, record_format
from hawork.job.sinks import SinkWriter, SubtaskContext

FORMATS = ("jsonl", "csv")


class FileSink:
    """Files of a directory, complete and exactly once: ``part-<subtask>-<checkpoint>-<n>``.

    ``format`` is ``jsonl`` (any JSON record, values keep their types) or ``csv`` (dicts with
    the same fields; everything is text when read again). A file appears, whole, when the
    checkpoint that names it is completed; until then it is below ``.pending``. The
    directory belongs to one job: another one is refused, and so is a job that starts afresh
    where there is output.

    >>> Pipeline("copy").source(CsvSource("in.csv")).sink(FileSink("out"))  # doctest: +SKIP
    """

    def __init__(self, directory: str | os.PathLike[str], format: str = "jsonl") -> None:
        if format not in FORMATS:
            raise ConfigurationError(
                f"format {format!r} of FileSink is unknown: write one of {', '.join(FORMATS)}"
            )
        self.directory = absolute(directory)
        self.format = format

    def open(self, context: SubtaskContext) -> SinkWriter:
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


_PENDING_NAME = re.compile(r"([0-9]{1,9})-([0-9A-Za-z_-]{1,80})-([0-9]{1,19})\.(csv|jsonl)")
_TRIES = 100
_PART_NAME = re.compile(r"part-([0-9]{1,9})-([0-9]{1,19})-([0-9]{1,19})\.(csv|jsonl)")


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A file that is not committed, and the name it gets when it is."""

    pending: str
    part: str

    def __str__(self) -> str:
        return f"{self.pending} -> {self.part}"

    @classmethod
    def parse(cls, text: str) -> PendingFile:
        """``JobExecutionError`` unless both are names as above, so that no path can escape."""
        pending, _, part = text.partition(" -> ")
        if not (_PENDING_NAME.fullmatch(pending) and _PART_NAME.fullmatch(part)):
            raise JobExecutionError(
                f"the checkpoint names output {text!r}, which is not a file of a FileSink"
            )
        return cls(pending, part)

    @property
    def checkpoint_id(self) -> int:
        return _checkpoint_of(self.part)


class FileSinkWriter:
    """See ``SinkWriter``; not to be shared between threads."""

    def __init__(self, directory: Path, format: str, context: SubtaskContext) -> None:
        self._directory = directory
        self._pending = pending_directory(directory, context.job_id)
        self._context = context
        self._format = format
        self._files = 0
        self._uncommitted: list[PendingFile] = []
        self._current: tuple[str, BinaryIO, RecordFormat] | None = None

    def restore(self, checkpoint_id: int | None, pending: Sequence[str]) -> None:
        with _reporting(self._directory):
            if checkpoint_id is not None:
                self._check_there()
            _make_directory(self._directory)
            claimed = claim(self._directory, self._context)
            if checkpoint_id is None:
                self._refuse_other_output(claimed)
            self._commit([PendingFile.parse(text) for text in pending])
            # In this order: an attempt that was taken for dead and still commits must not
            # be able to do so after the parts were looked through.
            remove_pending(self._directory, self._context.job_id, self._context.index)
            if checkpoint_id is not None:
                self._remove_parts_after(checkpoint_id)

    def _check_there(self) -> None:
        """Made anew below the place where it was mounted, it would hide when that is mended."""
        if not self._directory.is_dir():
            raise JobExecutionError(
                f"output directory {self._directory} is gone, and what the job has written there: "
                "mount its file system again, or put the directory back"
            ) from FileNotFoundError(str(self._directory))

    def _refuse_other_output(self, claimed: bool) -> None:
        parts = part_files(self._directory)
        if parts:
            if claimed:
                self.job_is_over()
            raise ConfigurationError(
                f"output directory {self._directory} holds {parts[0].name} of another run: "
                "choose an empty directory, or remove its part files"
            )

    def _remove_parts_after(self, checkpoint_id: int) -> None:
        """Records after this checkpoint are read again and would be there twice."""
        removed = False
        for path in part_files(self._directory):
            match = _PART_NAME.fullmatch(path.name)
            if match and int(match[1]) == self._context.index and int(match[2]) > checkpoint_id:
                path.unlink(missing_ok=True)
                removed = True
        if removed:
            flush_directory(self._directory)

    def write(self, records: Sequence[Any]) -> None:
        if not records:
            return
        with _reporting(self._directory):
            _, file, format_ = self._current or self._open_next()
            file.write(format_.encode(records))

    def _open_next(self) -> tuple[str, BinaryIO, RecordFormat]:
        self._files += 1
        context = self._context
        name = f"{context.index}-{context.attempt}-{self._files}.{self._format}"
        file = self._create(name)
        self._current = (name, file, record_format(self._format))
        return self._current

    def _create(self, name: str) -> BinaryIO:
        # Another subtask that finishes removes the directory when it is empty.
        for attempt in range(_TRIES):
            self._check_there()
            _make_directory(self._pending)
            try:
                return (self._pending / name).open("xb")
            except FileNotFoundError:
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("one of the tries has returned or raised")

    def snapshot(self, checkpoint_id: int) -> tuple[str, ...]:
        with _reporting(self._directory):
            if self._current is not None:
                name, file, _ = self._current
                file.flush()
                os.fsync(file.fileno())
                file.close()
                self._current = None
                flush_directory(self._pending)
                part = f"part-{self._context.index:05}-{checkpoint_id:010}-{self._files}"
                self._uncommitted.append(PendingFile(name, f"{part}.{self._format}"))
        return tuple(map(str, self._uncommitted))

    def commit(self, checkpoint_id: int) -> None:
        done = [file for file in self._uncommitted if file.checkpoint_id <= checkpoint_id]
        with _reporting(self._directory):
            self._commit(done)
        self._uncommitted = [file for file in self._uncommitted if file not in done]

    def _commit(self, files: Sequence[PendingFile]) -> None:
        for file in files:
            source, target = self._pending / file.pending, self._directory / file.part
            if target.exists():
                if source.exists():
                    raise JobExecutionError(
                        f"output file {target} is another run's: let each job write to a "
                        "directory of its own"
                    )
                continue  # committed before
            try:
                source.rename(target)
            except FileNotFoundError as error:
                if target.exists():  # a late attempt has just done the same
                    continue
                raise JobExecutionError(
                    f"output file {target} is gone, and so is {source}: the checkpoint names "
                    "it, so put it back or start the job anew in an empty directory"
                ) from error
        if files:
            flush_directory(self._directory)

    def close(self, *, discard: bool) -> None:
        if self._current is not None:
            self._current[1].close()
            self._current = None
        if discard:
            remove_pending(self._directory, self._context.job_id, self._context.index)

    def job_is_over(self) -> None:
        with contextlib.suppress(OSError):  # then it is found out by the next job
            release(self._directory, self._context.job_id)


def pending_directory(directory: Path, job_id: JobID) -> Path:
    """Where a job keeps the output that no completed checkpoint has committed."""
    return directory / ".pending" / job_id


def remove_pending(directory: Path, job_id: JobID, index: int | None = None) -> None:
    """Remove uncommitted output of a job, or of one of its subtasks; absent is fine.

    The pending directories themselves go with the last file in them.
    """
    pending = pending_directory(directory, job_id)
    for path in pending.glob("*"):
        match = _PENDING_NAME.fullmatch(path.name)
        if index is None or (match and int(match[1]) == index):
            path.unlink(missing_ok=True)
    for empty in (pending, pending.parent):
        with contextlib.suppress(OSError):
            empty.rmdir()


def _checkpoint_of(part: str) -> int:
    match = _PART_NAME.fullmatch(part)
    assert match is not None, part
    return int(match[2])


def _make_directory(directory: Path) -> None:
    """Make a directory with those above it; each survives a power cut, as what is in it does."""
    missing = [each for each in (directory, *directory.parents) if not each.is_dir()]
    directory.mkdir(parents=True, exist_ok=True)
    for each in missing:
        flush_directory(each.parent)


@contextlib.contextmanager
def _reporting(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JobExecutionError(
            f"output directory {directory} cannot be used: {error.strerror or error}"
        ) from error
