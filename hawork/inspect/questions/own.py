"""hawork's own jobs: is all there that its next leader needs (questions 1, 3, 10, 11, 21)?"""

from __future__ import annotations

from collections.abc import Iterator

from hawork.inspect.finding import Finding, Object, Severity
from hawork.inspect.own import OwnJob, passed_over
from hawork.inspect.questions.facts import Check, Facts, several, short

__all__ = ["CHECKS"]

_WAIT = "restore the file from a copy; hawork keeps everything that is in doubt"


def _called(job: OwnJob) -> str:
    return f"{job.name} ({short(job.job_id)})" if job.name else f"job {short(job.job_id)}"


def _ended(facts: Facts, job: OwnJob) -> bool:
    view = facts.cluster.jobs.get(job.job_id)
    return job.decided is not None or (view is not None and (view.clean or view.dirty) is not None)


def job_graphs(facts: Facts) -> Iterator[Finding]:
    """Can every job graph be read, and has each its artifact?"""
    for job in facts.cluster.own.values():
        if job.graph is not None and job.graph_damage is not None and not _ended(facts, job):
            damage = job.graph_damage
            yield Finding(
                "hawork-job-graph-damaged", "data-loss", (3, 11),
                (job.graph.object, *_files(damage.file), job.object),
                f"the job graph of {_called(job)} cannot be read: the job does not run",
                (damage.why,), "hawork reports it, keeps it, and runs the other jobs",
                safe=_WAIT, unsafe="submit the job again under another id: its state stays here",
                job_id=job.job_id,
            )  # fmt: skip
        elif job.artifact_damage is not None and not _ended(facts, job):
            assert job.graph is not None
            yield Finding(
                "hawork-artifact-damaged", "stuck", (21, 11),
                (*_files(job.artifact_damage.file), job.graph.object, job.object),
                f"the artifact of {_called(job)} is missing or damaged: every attempt fails",
                (job.artifact_damage.why,), "the file was removed or changed", safe=_WAIT,
                unsafe="cancel the job: its state goes with it", job_id=job.job_id,
            )  # fmt: skip


def _files(name: str | None) -> tuple[Object, ...]:
    return () if name is None else (Object("file", name),)


def checkpoints(facts: Facts) -> Iterator[Finding]:
    """Can the newest checkpoint be restored?"""
    for job in facts.cluster.own.values():
        if job.graph is None or _ended(facts, job):
            continue
        held = facts.cluster.leadership is not None and facts.cluster.leadership.held
        above = list(passed_over(job))
        for at, each in enumerate(job.checkpoints):
            if each.damage is None or each.set_aside:
                continue
            if held and each.damage.missing and at < len(job.newer):
                continue  # a leader replaced it between store and storage
            severity: Severity = "warning"
            if each in above:
                severity = "stuck" if job.newest_whole is None else "data-loss"
            whole = job.newest_whole
            after = "no other one is whole: the job waits until one is"
            if whole is not None:
                after = f"checkpoint {whole.checkpoint_id} is taken"
            yield Finding(
                "hawork-checkpoint-damaged", severity, (1, 11),
                (each.entry.object, *_files(each.damage.file), job.object),
                f"checkpoint {each.checkpoint_id} of {_called(job)} cannot be restored",
                (each.damage.why, after),
                "hawork passes over it with a report, and never comes back to it",
                safe=f"before a JobManager runs: {_WAIT}",
                unsafe="start a JobManager: it decides for the older one for good",
                job_id=job.job_id,
            )  # fmt: skip
        if job.files and not job.checkpoints and job.graph_damage is None:
            kept = [name for name in job.files if "completedCheckpoint" in name]
            if kept and not (held and len(job.newer) == len(kept)):
                yield Finding(
                    "hawork-checkpoints-lost", "data-loss", (10, 11),
                    (*(Object("file", name) for name in kept), job.object),
                    f"no checkpoint pointer of {_called(job)} is left: it starts from nothing",
                    (f"{several(len(kept), 'file')} of its checkpoints lie there",),
                    "pointers were removed from the store, or an older copy of it was restored",
                    safe="restore the store from a copy", unsafe="start a JobManager",
                    job_id=job.job_id,
                )  # fmt: skip


def lost(facts: Facts) -> Iterator[Finding]:
    """Are there files of a job that the store does not know?"""
    for job in facts.cluster.own.values():
        graphs = [name for name in job.files if "submittedJobGraph" in name]
        if job.graph is not None or job.submitting or not graphs or _ended(facts, job):
            continue
        yield Finding(
            "hawork-job-graph-lost", "data-loss", (3, 10, 11),
            (*(Object("file", name) for name in graphs), job.object),
            f"the job graph of {_called(job)} is there, and its pointer is not: the job does not "
            "run",
            (), "its pointer was removed from the store, or an older copy of it was restored",
            safe="restore the store from a copy", unsafe="remove the directory of the job",
            job_id=job.job_id,
        )  # fmt: skip


def results(facts: Facts) -> Iterator[Finding]:
    """Can every result be read?"""
    if not facts.cluster.of_hawork:
        return
    for result in facts.cluster.results:
        if result.error:
            yield Finding(
                "hawork-result-unreadable", "warning", (4, 5), (result.object,),
                f"the result {result.name} cannot be read", (result.error,),
                "hawork reports it and keeps it; the job is not cleaned up",
                safe="restore the file from a copy, or move it away", unsafe="",
            )  # fmt: skip


CHECKS: tuple[Check, ...] = (job_graphs, checkpoints, lost, results)
