"""A lab and its jobs: what checks ask about them, which may be anything, and cells run again."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hawork.core.errors import JobNotFoundError, JobSubmissionError, RestError
from hawork.core.events import Event, EventKind
from hawork.lessons.check import Point

if TYPE_CHECKING:
    from hawork.lab.cluster import LabCluster
    from hawork.lab.flink.cluster import FlinkCluster
    from hawork.lab.job import Job

__all__ = [
    "after", "cancel_earlier", "end_of", "ended_well", "is_first", "job_problem", "last",
    "lost_task_managers", "other_lab", "told_of",
]  # fmt: skip

_JOB_ID = re.compile(r"[0-9a-f]{32}")


def cancel_earlier(
    lab: LabCluster | FlinkCluster, ours: Callable[[Job], bool] = lambda _: True
) -> None:
    """Cancel the jobs of a cell that is run again: they have the slots that its next one needs.

    A submission that was interrupted may arrive only now, and is waited for.
    """
    for job in lab.jobs:
        if not ours(job):
            continue
        try:
            if job.accepted is None:
                job.acknowledged().wait()
            if not job.details.status.globally_terminal:
                job.cancel()
        except (JobSubmissionError, JobNotFoundError):
            continue  # the cluster does not have it
        except RestError as error:
            if error.status != 404:
                raise


def job_problem(job: Any) -> str:
    """Why this is not a job that can be looked at; ``""`` when it is one."""
    if job is None or job is ...:
        return "none is given yet"
    if isinstance(job, str) and _JOB_ID.fullmatch(job):
        return "this is a job's id: hand in the job itself, as lab.submit returned it"
    if not hasattr(job, "job_id"):
        return f"{job!r} is not a job: hand in what lab.submit returned"
    return ""


def told_of(lab: LabCluster, job: Job | None) -> list[Event]:
    """What the log tells of a job; nothing, when it is not a job."""
    if job_problem(job) or job is None:
        return []
    return [event for event in lab.event_list() if event.job_id == job.job_id]


def is_first(lab: LabCluster, job: Job | None) -> bool:
    """Whether a job is the first one that was submitted in this lab, so not another one."""
    jobs = list(getattr(lab, "jobs", ()))
    return bool(jobs) and jobs[0] is job


def ended_well(told: Sequence[Event]) -> bool:
    """Whether a job has ended well, by the events that tell of it."""
    return any(
        event.kind is EventKind.JOB_RESULT and event.facts.get("application_status") == "SUCCEEDED"
        for event in told
    )


def end_of(told: Sequence[Event], wish: str = "the job has finished") -> Point:
    """The point that a job has finished; what it did instead, where it has not."""
    if ended_well(told):
        return wish, True
    status = [event for event in told if event.kind is EventKind.JOB_STATUS]
    results = [event for event in told if event.kind is EventKind.JOB_RESULT]
    if not status and not results:
        return wish, False
    newest = status[-1] if status else results[-1]
    state = results[-1].facts.get("application_status") if results else newest.facts.get("status")
    reasons = [event.facts.get("reason") for event in status if event.facts.get("reason")]
    why = f", because {reasons[-1]}" if reasons and state in ("FAILED", "FAILING") else ""
    return f"{wish}: it is {state}{why}", False


def lost_task_managers(lab: LabCluster, told: Sequence[Event]) -> list[Event]:
    """The ends of TaskManagers that ran a job, while it ran."""
    if not told:
        return []
    tasks = [event for event in told if event.kind is EventKind.TASK_STATUS]
    ran = {event.facts.get("taskmanager") for event in tasks}
    times = [event.monotonic for event in told]
    return [
        event
        for event in lab.event_list()
        if _ended(event) in ran and min(times) < event.monotonic < max(times)
    ]


def _ended(event: Event) -> str | None:
    """The process of whose end an event tells."""
    if event.kind is EventKind.PROCESS_EXITED:
        return str(event.facts.get("of"))
    if event.kind is EventKind.FAULT and event.facts.get("verb") == "kill":
        return str(event.facts.get("target"))
    return None


def other_lab(other: Any, own: Any = None) -> Point:
    """The point that another lab was started; why not, where that is not so."""
    wish = "another lab was started"
    if other is None or other is ...:
        return wish, False
    if not hasattr(other, "event_list"):
        return f"{wish}: {other!r} is not a lab", False
    if own is not None and other is own:
        return f"{wish}: this is the lesson's own lab", False
    if not any(event.kind is EventKind.PROCESS_STARTED for event in other.event_list()):
        return f"{wish}: this one was never started, call .start() or use it with 'with'", False
    return wish, True


def last(events: Sequence[Event], kind: EventKind, **facts: Any) -> Event | None:
    """The last event of a kind that says so."""
    for event in reversed(events):
        if event.kind is kind and facts.items() <= event.facts.items():
            return event
    return None


def after(events: Sequence[Event], event: Event | None) -> list[Event]:
    """What happened after an event; nothing, if it never happened."""
    return [each for each in events if event is not None and each.monotonic > event.monotonic]
