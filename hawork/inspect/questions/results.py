"""Job results: what ended, and what its cleanup left (questions 4 and 5)."""

from __future__ import annotations

from collections.abc import Iterator

from hawork.inspect.cluster import JobView, ResultFile
from hawork.inspect.finding import Finding, Severity
from hawork.inspect.moments import is_led
from hawork.inspect.questions.facts import Check, Facts, age, job_name, several

__all__ = ["CHECKS"]

_CLEANING = 60.0
"""Seconds from a dirty result on for which a leader may be cleaning up."""


def unreadable(facts: Facts) -> Iterator[Finding]:
    """Can every dirty result be read?"""
    for result in facts.cluster.results:
        if not result.error:
            continue
        objects = (result.object, *((facts.cluster.job(result.job_id).object,)
                                    if result.job_id else ()))  # fmt: skip
        if result.dirty:
            yield Finding(
                "dirty-result-unreadable", "fatal", (4, 24, 11), objects,
                f"a dirty job result cannot be read: {result.name}",
                (result.error, f"the name still tells the job id, {result.job_id}")
                if result.job_id else (result.error,),
                "Flink writes it directly under its final name: a crash leaves a part of it; one "
                "that cannot be parsed stops every JobManager ('Could not retrieve JobResults of "
                "globally-terminated jobs')",
                safe="while no JobManager runs: back up, replace it by a whole one of the same job "
                "(status by REST, history server or log), or move it away when no pointer of that "
                "job is left",
                unsafe="empty the job-result-store", job_id=result.job_id or None,
            )  # fmt: skip
        else:
            yield Finding(
                "clean-result-unreadable", "info", (5,), objects,
                f"a clean job result cannot be read: {result.name}", (result.error,),
                "Flink only asks whether the file is there", safe="nothing",
                unsafe="delete it: the job id may be submitted again", job_id=result.job_id or None,
            )  # fmt: skip


def dirty(facts: Facts) -> Iterator[Finding]:
    """Which jobs have ended and were not cleaned up?"""
    cluster = facts.cluster
    for job in cluster.jobs.values():
        result = job.dirty
        if result is None or result.error or job.ended:
            continue
        left = [*(each.entry.object for each in job.checkpoints),
                *(each.entry.object for each in job.graphs)]  # fmt: skip
        outcome = facts.recovery.jobs.get(job.job_id)
        repeated = outcome is not None and outcome.outcome == "fails"
        severity: Severity = "stuck" if repeated else "warning"
        if not repeated and _is_under_way(facts, job, result):
            severity = "info"
        evidence = [f"the job ended as {result.status}"]
        if result.modified is not None and facts.now is not None and facts.now > result.modified:
            evidence.append(f"{age(facts.now - result.modified)} before this data was taken")
        evidence.append(
            f"{several(len(left), 'pointer')} of it are left"
            if left
            else "no pointer of it is left: only the result was not marked clean"
        )
        yield Finding(
            "dirty-result", severity, (4, 5, 11), (result.object, job.object, *left),
            f"{job_name(job)} ended and was not cleaned up",
            (*evidence, *((outcome.because,) if repeated and outcome is not None else ())),
            "the JobManager died between writing the result and removing the job; the next "
            "leader removes job graph, pointers, checkpoints and counter, and does not run it",
            safe="let the next leader finish it; copy chk-N first if the state is still wanted",
            unsafe="rename the result to clean by hand: pointers and files stay for ever",
            job_id=job.job_id,
        )  # fmt: skip
        if result.job_id and result.content_id and result.job_id != result.content_id:
            yield Finding(
                "result-of-another-job", "warning", (4, 5), (result.object, job.object),
                f"{result.name} is the result of job {result.content_id}", (),
                "Flink takes the job id from inside the file, and marks another file clean",
                safe="while no JobManager runs: back up, give the file its right name",
                unsafe="let it run: the result stays dirty for ever", job_id=job.job_id,
            )  # fmt: skip


def _is_under_way(facts: Facts, job: JobView, result: ResultFile) -> bool:
    """Whether a leader may just be cleaning up. It removes the checkpoints before it writes a
    result, and takes seconds for the rest.

    Source: ``CheckpointCoordinator.shutdown``, ``Dispatcher.jobReachedTerminalState``.
    """
    if job.checkpoints or not is_led(facts.cluster):
        return False
    if result.modified is None or facts.now is None or not facts.cluster.original_times:
        return False
    return facts.now - result.modified < _CLEANING


def clean(facts: Facts) -> Iterator[Finding]:
    """Will a job be taken for done because a clean result of it exists?"""
    for job in facts.cluster.jobs.values():
        if job.clean is None or (job.dirty is not None and not job.dirty.error) or job.ended:
            continue
        graphs = [graph for graph in job.graphs if facts.leads(graph)]
        if graphs:
            yield Finding(
                "clean-result-with-job-graph", "data-loss", (5, 11),
                (job.clean.object, job.object, *(graph.entry.object for graph in graphs)),
                f"a clean result says that {job_name(job)} is done, and its job graph is there",
                (f"the result says {job.clean.status}",) if job.clean.status else (),
                "it is recovered, found done (JobAlreadyDoneException), and removed; it does not "
                "run, and a submission under its id is refused",
                safe="if the job should run: while no JobManager runs, back up and remove the "
                "result file; if it is done: nothing",
                unsafe="start the cluster first and look later: the job graph is gone then",
                job_id=job.job_id,
            )  # fmt: skip
        elif job.graphs or job.checkpoints:
            left = [*(each.entry.object for each in job.graphs),
                    *(each.entry.object for each in job.checkpoints)]  # fmt: skip
            yield Finding(
                "left-over-of-a-done-job", "info", (4, 2), (*left, job.object),
                f"{job_name(job)} is done, and {several(len(left), 'pointer')} of it are left", (),
                "its cleanup was cut short; nothing removes them",
                safe="back up, then remove them", unsafe="", job_id=job.job_id,
            )  # fmt: skip


CHECKS: tuple[Check, ...] = (unreadable, dirty, clean)
