"""Where output goes: the contract of transactional sinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hawork.core.types import JobID


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
