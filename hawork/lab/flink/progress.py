"""Whether a job comes forward: records that its sources sent on, and checkpoints that completed.

Flink gathers records every ``metrics.fetcher.update-interval`` (10 s), so standing still is told
after a while, with the moment of the last progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.events import EventKind
from hawork.lab.flink.events import WrittenEvents

LOOK_EVERY = 1.0
_STILL_AFTER = 15.0
_TOLD_EVERY = 10.0
_RATE_OVER = 10.0
_CHANGED = 0.2
"""The share by which a rate must change to be told again."""


@dataclass
class _Job:
    records: int
    moved: float
    """Monotonic seconds of the last progress."""
    since: float
    """When the records from which a rate is taken were seen."""
    counted: int
    looked: float = float("-inf")
    checkpoint: int | None = None
    rate: float = 0.0
    told: tuple[bool, float] | None = None
    told_at: float = float("-inf")


class ProgressWatch:
    """Fed with what one leader tells of its running jobs; writes an event when that changes."""

    def __init__(self, events: WrittenEvents, clock: Clock = SYSTEM_CLOCK) -> None:
        self._events = events
        self._clock = clock
        self._jobs: dict[str, _Job] = {}

    def due(self, job_id: str) -> bool:
        """Whether to ask for the records of a job again."""
        job = self._jobs.get(job_id)
        return job is None or self._clock.monotonic() - job.looked >= LOOK_EVERY

    def forget(self) -> None:
        """Another leader, or another silence: everything is told anew."""
        self._jobs.clear()

    def look(
        self, job_id: str, records: int, checkpoints: Mapping[str, Any], process: str,
        session_id: str | None,
    ) -> None:  # fmt: skip
        """Once more: ``checkpoints`` is Flink's answer for the job, ``records`` of this attempt."""
        now = self._clock.monotonic()
        completed = ((checkpoints.get("latest") or {}).get("completed") or {}).get("id")
        job = self._jobs.get(job_id)
        if job is None or records < job.records:  # a new attempt counts from zero
            job = self._jobs[job_id] = _Job(records, now, now, records, checkpoint=completed)
        elif records > job.records or completed != job.checkpoint:
            job.moved = now
        if now - job.since >= _RATE_OVER:
            job.rate = (records - job.counted) / (now - job.since)
            job.since, job.counted = now, records
        job.records, job.checkpoint, job.looked = records, completed, now
        still = now - job.moved
        state = (still < _STILL_AFTER, job.rate)
        if job.told is not None and not self._news(job, state, now):
            return
        job.told, job.told_at = state, now
        self._events.write(
            EventKind.JOB_PROGRESS, process, session_id=session_id, job_id=job_id, moves=state[0],
            records=records, rate=round(job.rate, 1), seconds=round(still, 3),
        )  # fmt: skip

    def _news(self, job: _Job, state: tuple[bool, float], now: float) -> bool:
        assert job.told is not None
        moves, rate = job.told
        if state[0] != moves:
            return True
        changed = abs(state[1] - rate) > _CHANGED * max(rate, 1.0)
        return state[0] and changed and now - job.told_at >= _TOLD_EVERY
