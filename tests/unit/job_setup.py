"""A job without processes: its subtasks, the checkpoints that completed, and crashes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hawork.core.jobs import SubtaskState
from hawork.core.types import JobID
from hawork.job import Pipeline, SubtaskContext
from hawork.job.output_owner import OWNER
from hawork.job.subtask import Subtask
from hawork.testing import ManualClock

JOB = JobID("a" * 32)


def context(index: int = 0, parallelism: int = 1, attempt: str = "a1") -> SubtaskContext:
    return SubtaskContext(JOB, index, parallelism, attempt)


def written(state: SubtaskState, encoded: bytes) -> str:
    """A snapshot as it stands in a checkpoint's file."""
    return json.dumps(dataclasses.replace(state, state=json.loads(encoded)).to_json())


def read(text: str) -> SubtaskState:
    return SubtaskState.from_json(json.loads(text))


class JobRun:
    """What JobMaster and TaskManagers do to the subtasks of a job, in one thread."""

    def __init__(self, pipeline: Pipeline, parallelism: int) -> None:
        self.pipeline = pipeline
        self.parallelism = parallelism
        self.completed: list[tuple[int, list[str]]] = []
        self.subtasks: list[Subtask] = []
        self.zombies: list[Subtask] = []
        self._attempts = 0
        self._checkpoint_id = 0
        self.start()

    def start(self) -> None:
        """Start every subtask from the latest checkpoint."""
        self._attempts += 1
        states: list[SubtaskState | None] = [None] * self.parallelism
        if self.completed:
            states = list(map(read, self.completed[-1][1]))
        self.subtasks = [
            Subtask(
                self.pipeline,
                context(index, self.parallelism, f"attempt{self._attempts}"),
                states[index],
                ManualClock(),
            )
            for index in range(self.parallelism)
        ]

    def crash(self) -> None:
        """The subtasks are taken for dead; the old ones may wake up later as zombies."""
        self.zombies += self.subtasks
        self.start()

    def checkpoint(self, snapshots: int | None = None, *, complete: bool = True) -> int:
        """Take the first ``snapshots`` snapshots; complete only if they are all taken."""
        self._checkpoint_id += 1
        count = self.parallelism if snapshots is None else min(snapshots, self.parallelism)
        states = [
            written(*subtask.snapshot(self._checkpoint_id)) for subtask in self.subtasks[:count]
        ]
        if complete and count == self.parallelism:
            self.completed.append((self._checkpoint_id, states))
        return self._checkpoint_id

    def notify(self, indexes: Iterable[int] | None = None) -> None:
        """Tell subtasks that the latest checkpoint is completed."""
        if self.completed:
            for index in range(self.parallelism) if indexes is None else indexes:
                self.subtasks[index % self.parallelism].notify_complete(self.completed[-1][0])

    def finish(self) -> None:
        """Let every subtask read its input to the end, and commit."""
        for subtask in self.subtasks:
            while subtask.advance() is not None:
                pass
        self.checkpoint()
        self.notify()
        self.close()

    def close(self) -> None:
        for subtask in (*self.subtasks, *self.zombies):
            subtask.close()

    @property
    def records(self) -> int:
        return sum(subtask.records for subtask in self.subtasks)


def run(pipeline: Pipeline, parallelism: int = 1) -> JobRun:
    """Run a bounded pipeline from beginning to end."""
    job = JobRun(pipeline, parallelism)
    job.finish()
    return job


def write_csv(path: Path, rows: Iterable[tuple[Any, ...]], header: str = "key,value") -> Path:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def files_below(directory: Path) -> list[str]:
    """Every file and directory, by relative path; but for the one that names the owner."""
    paths = (path for path in directory.rglob("*") if path.name != OWNER)
    return sorted(str(path.relative_to(directory)) for path in paths)
