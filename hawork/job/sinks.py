"""Where output goes: the contract of transactional sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from hawork.core.types import JobID


@dataclass(frozen=True, slots=True)
class SubtaskContext:
    """Which subtask of which job this is; ``attempt`` is new for each time it is started.

    ``cluster`` is the URL of the cluster's directory in storageDir, and ``is_stored`` says whether
    that cluster still has HA data of a job, which it has until the job is over.
    """

    job_id: JobID
    index: int
    parallelism: int
    attempt: str
    cluster: str = ""
    is_stored: Callable[[str], bool] = field(default=lambda _: True, compare=False, repr=False)


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


@runtime_checkable
class EndOfJobListener(Protocol):
    """What a ``SinkWriter`` may be besides."""

    def job_is_over(self) -> None:
        """The whole job has ended and will not be restored; after ``close``. May be left out."""


class Sink(Protocol):
    """A place for output; users may write their own."""

    def open(self, context: SubtaskContext) -> SinkWriter:
        """The writer of one subtask."""


if not TYPE_CHECKING:  # so that mypy goes on finding names that are nowhere

    def __getattr__(name: str) -> Any:
        from hawork import moved  # each start of a process would pay for it

        return moved.find(__name__, name)
