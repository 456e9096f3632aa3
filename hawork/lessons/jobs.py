"""Checks about a job: what became of it while processes died."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hawork.core.events import Event, EventKind
from hawork.lab import flights
from hawork.lessons.check import Check, answer

if TYPE_CHECKING:
    from hawork.lab.cluster import LabCluster
    from hawork.lab.job import Job

__all__ = ["check_exactly_once", "check_restart", "check_results", "check_submission"]

_CHANGES = {
    "changes of the leader": "compare lab.leader() before the kill and after it",
    "restarts of the job": "the job's details tell, when it has finished",
    "flights lost or doubled": "compare its output, as above",
}
"""What a dead TaskManager may change, and where to look."""


def check_exactly_once(lab: LabCluster, job: Job | None, output: Any = None) -> Check:
    """Did a job lose a TaskManager *and* its leader, and come out exactly all the same?

    ``output`` is what comparing its output gave, such as ``flights.compare``.

    >>> check_exactly_once(lab, job, flights.compare(job.output()))        # doctest: +SKIP
    """
    if job is None:
        return Check((("a job was submitted", False),))
    events = lab.event_list()
    of_job = [event for event in events if event.job_id == job.job_id]
    running = [e for e in of_job if e.kind is EventKind.JOB_STATUS]
    start = running[0].monotonic if running else float("inf")
    ended = [e.monotonic for e in of_job if e.kind is EventKind.JOB_RESULT]
    end = ended[0] if ended else float("inf")
    during = [event for event in events if start < event.monotonic < end]
    killed = {str(e.facts.get("of")) for e in during if e.kind is EventKind.PROCESS_EXITED}
    restored = [e for e in of_job if e.kind is EventKind.JOB_RESTORED and e.facts["checkpoint_id"]]
    leaders = {event.session_id for event in running}
    exact = output is not None and not (output.lost or output.duplicated or output.different)
    return Check(
        (
            ("a TaskManager died while the job ran", any(n.startswith("tm") for n in killed)),
            ("the job ran under two leaders", len(leaders) > 1),
            ("it was restored from a checkpoint, twice or more", len(restored) > 1),
            ("it has ended", bool(ended)),
            ("its output is exact", exact),
            ("the verdict over the run is valid", lab.verdict().valid),
        )
    )


def check_results(lab: LabCluster, job: Job | None) -> Check:
    """Did one leader store a job's result, and another one clean up behind the job?

    >>> check_results(lab, job)                                            # doctest: +SKIP
    """
    if job is None:
        return Check((("a job was submitted", False),))
    told = [
        event
        for event in lab.event_list()
        if event.kind is EventKind.JOB_RESULT and event.job_id == job.job_id
    ]
    dirty = {event.session_id for event in told if event.facts.get("state") == "dirty"}
    clean = {event.session_id for event in told if event.facts.get("state") == "clean"}
    results = lab.job_results()
    stored = list(results[results.job_id == job.job_id].state)
    paths = lab.storage_tree().path
    left = paths[paths.str.contains(job.job_id) & ~paths.str.contains("job-result-store")]
    return Check(
        (
            ("a leader stored the result, dirty", bool(dirty)),
            ("another leader marked it clean", bool(clean - dirty)),
            ("there is one result, and it is clean", stored == ["clean"]),
            ("nothing else of the job is left in storageDir", left.empty),
            ("the verdict over the run is valid", lab.verdict().valid),
        )
    )


def check_restart(lab: LabCluster, job: Job | None, answers: Mapping[str, Any]) -> Check:
    """Did a job of the flights lose a TaskManager, and what did that change?

    ``"?"`` is the answer of a reader who does not know yet.

    >>> check_restart(lab, job, {"changes of the leader": 0, "restarts of the job": 1,
    ...                          "flights lost or doubled": "?"})          # doctest: +SKIP
    """
    told = _of_job(lab, job)
    status = [event for event in told if event.kind is EventKind.JOB_STATUS]
    ended = _ended(told)
    right: dict[str, Any] = dict.fromkeys(_CHANGES, ...)
    if job is not None and ended:
        output = flights.compare(job.output())
        leaders = {event.session_id for event in status}
        restarts = [event for event in status if event.facts["status"] == "RESTARTING"]
        numbers = (len(leaders) - 1, len(restarts), output.lost + output.duplicated)
        right = dict(zip(_CHANGES, numbers, strict=True))
    return Check(
        (
            ("the job was submitted again", job is not None),
            ("a TaskManager that ran it was killed", _lost_a_task_manager(lab, told)),
            ("the job has finished", ended),
            *(answer(each, answers.get(each, ...), right[each], _CHANGES[each]) for each in right),
        )
    )


def check_submission(lab: LabCluster, job: Job | None, counted: str) -> Check:
    """Did a leader crash before it answered, and how often is each flight ``counted`` then?

    ``"never"``, ``"once"``, ``"twice"``, or ``"?"`` from a reader who does not know yet.

    >>> check_submission(lab, job, "?")                                    # doctest: +SKIP
    """
    told = _of_job(lab, job)
    crashed = [
        event
        for event in told
        if event.kind is EventKind.STEP_ARMED
        and (event.step, event.facts["action"]) == ("submit.acknowledged", "crash")
    ]
    ran = {event.process for event in told if event.kind is EventKind.JOB_STATUS}
    ended = _ended(told)
    right: Any = ...
    if job is not None and ended:
        output = flights.compare(job.output())
        right = "never" if output.lost else "twice" if output.duplicated else "once"
    hint = '"never", "once" or "twice"? Compare its output, as above'
    return Check(
        (
            ("a job was submitted", job is not None),
            ("its leader crashed when it was about to answer", bool(crashed)),
            ("another one has the job", bool(ran - {event.process for event in crashed})),
            ("the job has finished", ended),
            answer("each flight is counted", counted, right, hint),
        )
    )


def _of_job(lab: LabCluster, job: Job | None) -> list[Event]:
    return [] if job is None else [e for e in lab.event_list() if e.job_id == job.job_id]


def _ended(told: list[Event]) -> bool:
    """Whether a job has ended well, by the events that tell of it."""
    return any(
        event.kind is EventKind.JOB_RESULT and event.facts["application_status"] == "SUCCEEDED"
        for event in told
    )


def _lost_a_task_manager(lab: LabCluster, told: list[Event]) -> bool:
    """Whether a TaskManager was killed by the lab while it ran the job."""
    tasks = [event for event in told if event.kind is EventKind.TASK_STATUS]
    ran = {event.facts["taskmanager"] for event in tasks}
    times = [event.monotonic for event in told]
    return any(
        event.facts["target"] in ran and min(times) < event.monotonic < max(times)
        for event in lab.event_list()
        if event.kind is EventKind.FAULT and event.facts["verb"] == "kill"
    )
