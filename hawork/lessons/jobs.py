"""Checks about a job: what became of it while processes died."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hawork.core.events import Event, EventKind
from hawork.lab import flights
from hawork.lessons.check import Check, Point, answer, answers_of, because, safe
from hawork.lessons.labs import (
    end_of,
    ended_well,
    is_first,
    job_problem,
    lost_task_managers,
    told_of,
)

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

_COUNTED = {
    "0": "never", "1": "once", "2": "twice", "not at all": "never", "zero times": "never",
    "one time": "once", "two times": "twice",
}  # fmt: skip
_LATEST = "cleanup.artifacts_removed"
"""The last step at which the result of a job is dirty and nothing else is left."""


@safe
def check_exactly_once(lab: LabCluster, job: Job | None, output: Any = None) -> Check:
    """Did a job lose a TaskManager *and* its leader, and come out exactly all the same?

    ``output`` is what comparing its output gave, such as ``flights.compare``.

    >>> check_exactly_once(lab, job, flights.compare(job.output()))        # doctest: +SKIP
    """
    problem = job_problem(job)
    if problem or job is None:
        return Check(((f"a job was submitted: {problem}", False),))
    told = told_of(lab, job)
    killed = lost_task_managers(lab, told)
    restored = [e for e in told if e.kind is EventKind.JOB_RESTORED and e.facts["checkpoint_id"]]
    leaders = {event.session_id for event in told if event.kind is EventKind.JOB_STATUS}
    return Check(
        (
            ("a TaskManager that ran the job was killed meanwhile", bool(killed)),
            ("the job ran under two leaders", len(leaders) > 1),
            (
                f"it was restored from a checkpoint, twice or more (so far: {len(restored)} times)",
                len(restored) > 1,
            ),
            end_of(told, "it has ended"),
            _exact(job, output),
            _valid(lab),
        )
    )


def _exact(job: Job, output: Any) -> Point:
    wish = "its output is exact"
    if output is None or output is ...:
        return f"{wish}: it has not been compared", False
    if not all(hasattr(output, name) for name in ("lost", "duplicated", "different")):
        what = type(output).__name__
        return f"{wish}: a {what} is not a comparison, as compare_values gives one", False
    if getattr(output, "job_id", None) not in (None, job.job_id):
        return f"{wish}: this is the comparison of another job", False
    if not output.records:
        return f"{wish}: nothing was compared with nothing", False
    good = not (output.lost or output.duplicated or output.different)
    return (wish if good else f"{wish}: {output}"), good


def _valid(lab: LabCluster) -> Point:
    verdict = lab.verdict()
    said = "" if verdict.valid else f": {verdict.violations[0].sentence}"
    return f"the verdict over the run is valid{said}", verdict.valid


@safe
def check_results(lab: LabCluster, job: Job | None) -> Check:
    """Did one leader store a job's result and crash as late as possible, and another clean up?

    >>> check_results(lab, job)                                            # doctest: +SKIP
    """
    problem = job_problem(job)
    if problem or job is None:
        return Check(((f"a job was submitted: {problem}", False),))
    told = told_of(lab, job)
    results = [event for event in told if event.kind is EventKind.JOB_RESULT]
    dirty = {event.session_id for event in results if event.facts.get("state") == "dirty"}
    clean = {event.session_id for event in results if event.facts.get("state") == "clean"}
    stored_results = lab.job_results()
    stored = list(stored_results[stored_results.job_id == job.job_id].state)
    paths = lab.storage_tree().path
    left = paths[paths.str.contains(job.job_id) & ~paths.str.contains("job-result-store")]
    return Check(
        (
            ("a leader stored the result, dirty", bool(dirty)),
            _crashed_late(told),
            ("another leader marked it clean", bool(clean - dirty)),
            (f"there is one result, and it is clean (found: {stored})", stored == ["clean"]),
            ("nothing else of the job is left in storageDir", left.empty),
            _valid(lab),
        )
    )


def _crashed_late(told: list[Event]) -> Point:
    wish = "that leader crashed when everything else was removed, and no sooner"
    steps = [
        str(event.step)
        for event in told
        if event.kind is EventKind.STEP_ARMED and event.facts.get("action") == "crash"
    ]
    if _LATEST in steps:
        return wish, True
    return f"{wish}: {f'it crashed at {steps[-1]}' if steps else 'none has crashed'}", False


@safe
def check_restart(lab: LabCluster, job: Job | None, answers: Mapping[str, Any] | None) -> Check:
    """Did a job of the flights lose a TaskManager, and what did that change?

    ``"?"`` is the answer of a reader who does not know yet.

    >>> check_restart(lab, job, {"changes of the leader": 0, "restarts of the job": 1,
    ...                          "flights lost or doubled": "?"})          # doctest: +SKIP
    """
    told = told_of(lab, job)
    status = [event for event in told if event.kind is EventKind.JOB_STATUS]
    leaders = {event.session_id for event in status}
    killed = lost_task_managers(lab, told)
    problem = job_problem(job)
    if not problem and is_first(lab, job) and (not killed or len(leaders) > 1):
        problem = "this is the job from above"
    right: dict[str, Any] = dict.fromkeys(_CHANGES, ...)
    if job is not None and not problem and ended_well(told):
        output = flights.compare(job.output())
        restarts = [event for event in status if event.facts["status"] == "RESTARTING"]
        numbers = (len(leaders) - 1, len(restarts), output.lost + output.duplicated)
        right = dict(zip(_CHANGES, numbers, strict=True))
    given, unknown = answers_of(answers, _CHANGES)
    return Check(
        (
            (f"the job was submitted again{because(problem)}", not problem),
            _lost(told, bool(killed) and not problem),
            end_of(told),
            *(answer(each, given.get(each, ...), right[each], _CHANGES[each]) for each in right),
            *unknown,
        )
    )


def _lost(told: Sequence[Event], lost: bool) -> Point:
    """The point that a TaskManager was killed; which would have been one, where it was not."""
    wish = "a TaskManager that ran it was killed"
    tasks = [event for event in told if event.kind is EventKind.TASK_STATUS]
    ran = sorted({str(event.facts.get("taskmanager")) for event in tasks})
    return (wish if lost or not ran else f"{wish}: it runs, or ran, on {' and '.join(ran)}"), lost


@safe
def check_submission(lab: LabCluster, job: Job | None, counted: Any) -> Check:
    """Did a leader crash before it answered, and how often is each flight ``counted`` then?

    ``"never"``, ``"once"``, ``"twice"``, or ``"?"`` from a reader who does not know yet.

    >>> check_submission(lab, job, "?")                                    # doctest: +SKIP
    """
    told = told_of(lab, job)
    armed = [
        event
        for event in told
        if event.kind is EventKind.STEP_ARMED and event.facts.get("action") == "crash"
    ]
    crashed = [event for event in armed if event.step == "submit.acknowledged"]
    later = [
        event.process
        for event in told
        if event.kind is EventKind.JOB_STATUS and crashed and event.monotonic > crashed[0].monotonic
    ]
    problem = job_problem(job)
    if not problem and is_first(lab, job) and not crashed:
        problem = "this is the job from above"
    right: Any = ...
    if job is not None and not problem and crashed and ended_well(told):
        output = flights.compare(job.output())
        right = "never" if output.lost else "twice" if output.duplicated else "once"
    hint = '"never", "once" or "twice"? Compare its output, as above'
    wish = "its leader crashed when it was about to answer"
    if armed and not crashed and not problem:
        wish += f": it crashed at {armed[-1].step}"
    given = str(counted) if isinstance(counted, int) else counted
    return Check(
        (
            (f"a job was submitted{because(problem)}", not problem),
            (wish, bool(crashed)),
            ("another one has the job", bool(set(later) - {event.process for event in crashed})),
            end_of(told),
            answer("each flight is counted", given, right, hint, _COUNTED),
        )
    )
