"""What becomes of a JobManager and of its jobs, in the words of the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from hawork.inspect.finding import Object

__all__ = ["Blocker", "JobManagerOutcome", "JobRecovery", "Outcome", "Recovery"]

Outcome: TypeAlias = Literal[
    "restored", "from-scratch", "not-recovered", "restart-loop", "cleaned-up",
    "removed-as-done", "fails", "unknown",
]  # fmt: skip
JobManagerOutcome: TypeAlias = Literal["starts", "crash-loops", "never-leads", "unknown"]


@dataclass(frozen=True, slots=True)
class Blocker:
    """One thing that ends every JobManager, or keeps it from leading."""

    why: str
    decided_by: Object
    job_id: str | None = None
    leads_first: bool = False
    """Whether the JobManager leads for some seconds, and other jobs run, before it ends."""


@dataclass(slots=True)
class JobRecovery:
    """What happens to one job."""

    job_id: str
    outcome: Outcome
    checkpoint: int | None = None
    because: str = ""
    decided_by: Object | None = None
    newest_readable: int | None = None
    """The newest checkpoint that could be restored, after a repair."""
    savepoint: str | None = None
    """What the job was first started from, when that is what it starts from again."""

    def to_json(self) -> dict[str, Any]:
        written: dict[str, Any] = {"outcome": self.outcome}
        if self.checkpoint is not None:
            written["checkpoint"] = self.checkpoint
        if self.because:
            written["because"] = self.because
        if self.decided_by is not None:
            written["decided_by"] = self.decided_by.to_json()
        if self.savepoint is not None:
            written["savepoint"] = self.savepoint
        return written


@dataclass(slots=True)
class Recovery:
    """What happens to the JobManager and to every job."""

    jobmanager: JobManagerOutcome
    jobs: dict[str, JobRecovery] = field(default_factory=dict)
    because: str = ""
    blockers: list[Blocker] = field(default_factory=list)
    flink_version: str = ""
    loading: frozenset[str] = frozenset()
    """Jobs whose checkpoints are loaded: one that cannot be read ends the JobManager."""
    _places: tuple[int, frozenset[Object]] = field(default=(0, frozenset()), repr=False)

    def ends_with(self, place: Object) -> bool:
        """Whether this ends every JobManager. There may be as many as there are checkpoints."""
        if self._places[0] != len(self.blockers):
            places = frozenset(each.decided_by for each in self.blockers)
            self._places = (len(self.blockers), places)
        return place in self._places[1]

    def to_json(self) -> dict[str, Any]:
        newest = {
            job_id: job.newest_readable
            for job_id, job in self.jobs.items()
            if job.newest_readable is not None
            and (job.outcome, job.checkpoint) != ("restored", job.newest_readable)
        }
        return {
            "jobmanager": self.jobmanager,
            "because": self.because,
            "flink_version": self.flink_version,
            "jobs": {job_id: job.to_json() for job_id, job in self.jobs.items()},
            "newest_readable": newest,
            "blockers": [
                {"why": each.why, "object": each.decided_by.to_json(), "job": each.job_id}
                for each in self.blockers
            ],
        }
