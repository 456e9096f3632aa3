"""What a job without checkpoints begins with again: is it there, and does it fit (1, 11)?"""

from __future__ import annotations

from collections.abc import Iterator

from hawork.inspect.cluster import JobGraph, JobView, Savepoint
from hawork.inspect.finding import Finding, Object
from hawork.inspect.questions.facts import Check, Facts, job_name, several
from hawork.inspect.savepoints import DUMMY

__all__ = ["CHECKS"]

_SAFE = (
    "while no JobManager runs: back up, then write the pointer of the newest checkpoint again, or "
    "remove this job graph pointer and submit the job from a checkpoint or savepoint that is whole"
)
_UNSAFE = "restart JobManagers until it works: the other jobs do not run meanwhile"


def first_savepoints(facts: Facts) -> Iterator[Finding]:
    """A job that has no checkpoint to be restored from: can it begin as it first did?"""
    for job in facts.cluster.jobs.values():
        savepoint = job.savepoint
        if savepoint is None or job.job_id not in facts.recovery.loading or not job.graphs:
            continue
        if any(facts.fate(each) in ("read", "fatal") for each in job.checkpoints):
            continue
        yield from _of_job(facts, job, job.graphs[-1], savepoint)


def _of_job(facts: Facts, job: JobView, graph: JobGraph, savepoint: Savepoint) -> Iterator[Finding]:
    file = savepoint.file
    objects: tuple[Object, ...] = (graph.entry.object, file.object, job.object)
    began = f"{job_name(job)} has no checkpoint pointer, and {savepoint.url}, with which it began"
    cause = "recovery ends with it, and the JobManager with the recovery of one job"
    if file.missing:
        evidence = f"{file.name} is not there"
        if savepoint.url == DUMMY:
            objects = (graph.entry.object, job.object)
            evidence = (
                "the Flink Kubernetes Operator writes this path, so that a job whose checkpoints "
                "are lost ends and does not begin from nothing"
            )
        yield Finding(
            "savepoint-missing", "fatal", (1, 11), objects, f"{began}, is not there", (evidence,),
            cause, _SAFE, _UNSAFE, job.job_id,
        )  # fmt: skip
    elif file.error:
        yield Finding(
            "savepoint-unreadable", "fatal", (1, 11, 22), objects, f"{began}, cannot be read",
            (file.error,), cause, _SAFE, _UNSAFE, job.job_id,
        )  # fmt: skip
    elif facts.ends_it(graph):
        yield Finding(
            "operators-do-not-match", "fatal", (1, 11), objects,
            f"{began}, has state of operators that its job graph does not have", (),
            "the job was changed, and allowNonRestoredState was not set when it was submitted",
            _SAFE, _UNSAFE, job.job_id,
        )  # fmt: skip
    elif savepoint.missing:
        gone = savepoint.missing
        short = all(each.size is not None for each in gone)
        yield Finding(
            "state-file-too-short" if short else "state-file-missing", "stuck", (1, 11),
            (*(Object("file", each.name) for each in gone), *objects),
            f"{began}, lacks {several(len(gone), 'file')} of state",
            tuple(f"{each.name} is missing" if each.size is None
                  else f"{each.name} has {each.size} bytes, {each.wanted} are needed"
                  for each in gone[:3]),
            "the TaskManager fails to open the file on every attempt: the job restarts for ever",
            _SAFE, "create an empty file in its place", job.job_id,
        )  # fmt: skip


CHECKS: tuple[Check, ...] = (first_savepoints,)
