"""The jobs of a timeline: what was told of each last, by whom, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hawork.core.events import Event, EventKind
from hawork.core.jobs import JobStatus
from hawork.story.segments import NOT_KNOWN, PROGRESS, STILL, Mark, Segment
from hawork.story.terms import Terms

_ENDED = {status.value for status in JobStatus if status.globally_terminal}


@dataclass(frozen=True)
class _State:
    """What was told last for a lane, and by which process."""

    status: str
    session_id: str | None
    since: float
    told_by: str
    label: str = ""

    @property
    def ended(self) -> bool:
        return self.status in _ENDED

    def segment(self, lane: str, end: float) -> Segment:
        return Segment(lane, self.status, self.since, end, self.session_id, self.label)


class JobLanes:
    """A lane for each job and, where progress was told of it, one for that, too.

    What is over goes to ``segments`` and ``marks``, ``renamed`` has lanes by their former names.
    """

    def __init__(self, segments: list[Segment], marks: list[Mark], terms: Terms) -> None:
        self.renamed: dict[str, str] = {}
        self._segments = segments
        self._marks = marks
        self._terms = terms
        self._states: dict[str, _State] = {}
        self._told: set[str] = set()
        """Every lane that something was told of, by its present name."""
        self._names: dict[str, str] = {}
        self._called: dict[str, str] = {}
        """The job that has a name."""
        self.handlers: dict[EventKind, Callable[[Event, float], None]] = {
            EventKind.JOB_ACKNOWLEDGED: self._on_name,
            EventKind.JOB_STATUS: self._on_job_status,
            EventKind.JOB_PROGRESS: self._on_job_progress,
            EventKind.CHECKPOINT_COMPLETED: self._on_checkpoint_completed,
            EventKind.JOB_RESTORED: self._on_job_restored,
        }

    def lanes(self) -> list[str]:
        """In the order in which the jobs began, each with its progress."""
        jobs = [lane for lane in self._states if not is_progress(lane)]
        both = ((lane, progress_of(lane)) for lane in jobs)
        # The progress of a job that has ended is over, and still to be seen.
        return [lane for pair in both for lane in pair if lane in self._told]

    def going_on(self, now: float) -> Iterator[Segment]:
        """Every state that has not ended, as if it did now."""
        for lane, state in self._states.items():
            yield state.segment(lane, now)

    def forget_told_by(self, process: str, moment: float) -> None:
        """What is not over is not known from ``moment`` on: who told it is not heard any more."""
        for lane, state in self._states.items():
            if state.told_by == process:
                self._forget(lane, state, moment)

    def forget_all(self, moment: float) -> None:
        """Nothing was watched since ``moment``, of none of the processes."""
        for lane, state in self._states.items():
            self._forget(lane, state, moment)

    def _forget(self, lane: str, state: _State, moment: float) -> None:
        if not state.ended and state.status != NOT_KNOWN:
            before = "" if is_progress(lane) else f"{NOT_KNOWN}, {state.status} before"
            self._turn(lane, replace(state, status=NOT_KNOWN, since=moment, label=before))

    def _on_name(self, event: Event, now: float) -> None:
        job_id = event.job_id or ""
        name = event.job_name or job_id[:8]
        if job_id in self._names:
            return
        if name in self._called:
            name = f"{name} ({job_id[:4]})"
        # A job may be CREATED before its submission is acknowledged and its name is told.
        before = self._lane(event)
        self._names[job_id] = name
        self._called[name] = job_id
        now_called = self._lane(event)
        for old, new in ((before, now_called), (progress_of(before), progress_of(now_called))):
            if old in self._told:
                self._rename(old, new)

    def _rename(self, before: str, lane: str) -> None:
        self._states = {
            lane if name == before else name: state for name, state in self._states.items()
        }
        self.renamed[before] = lane
        self._told.remove(before)
        self._told.add(lane)
        for index, segment in enumerate(self._segments):
            if segment.lane == before:
                self._segments[index] = replace(segment, lane=lane)
        for index, mark in enumerate(self._marks):
            if mark.lane == before:
                self._marks[index] = replace(mark, lane=lane)

    def _on_job_status(self, event: Event, now: float) -> None:
        if self._terms.deposed(event.session_id):
            return  # a deposed leader suspends what is no longer its own
        if event.job_name:
            self._on_name(event, now)
        lane, status = self._lane(event), str(event.facts.get("status"))
        self._turn(lane, _State(status, event.session_id or "", now, event.process))
        if status in _ENDED and (ended := self._states.pop(progress_of(lane), None)):
            self._segments.append(ended.segment(progress_of(lane), max(now, ended.since)))

    def _on_job_progress(self, event: Event, now: float) -> None:
        """``seconds`` ago there was progress for the last time, when there is none now."""
        lane, facts = self._lane(event), event.facts
        job = self._states.get(lane)
        if self._terms.deposed(event.session_id) or job is None or job.ended:
            return
        moves = bool(facts.get("moves"))
        rate = round(facts.get("rate") or 0)
        label = f"{rate:,} records/s" if moves and rate else ""
        since = now if moves else now - float(facts.get("seconds") or 0.0)
        state = PROGRESS if moves else STILL
        self._turn(progress_of(lane), _State(state, event.session_id, since, event.process, label))

    def _turn(self, lane: str, state: _State) -> None:
        known = self._states.get(lane)
        if known is not None:
            state = replace(state, since=max(state.since, known.since))
            self._segments.append(known.segment(lane, state.since))
        self._states[lane] = state
        self._told.add(lane)

    def _on_checkpoint_completed(self, event: Event, now: float) -> None:
        number = event.facts.get("checkpoint_id")
        self._marks.append(Mark(self._lane(event), "checkpoint", now, f"checkpoint {number}"))

    def _on_job_restored(self, event: Event, now: float) -> None:
        number = event.facts.get("checkpoint_id")
        if number is not None:
            label = f"restored from checkpoint {number}"
            self._marks.append(Mark(self._lane(event), "restored", now, label))

    def _lane(self, event: Event) -> str:
        job_id = event.job_id or ""
        return f"{_JOB}{self._names.get(job_id, job_id[:8])}"


_JOB, _PROGRESS = "job ", "progress "


def progress_of(lane: str) -> str:
    """The lane that shows the progress of a job's lane.

    >>> progress_of("job flights")
    'progress flights'
    """
    return f"{_PROGRESS}{lane.removeprefix(_JOB)}"


def is_progress(lane: str) -> bool:
    """Whether a lane shows progress."""
    return lane.startswith(_PROGRESS)
