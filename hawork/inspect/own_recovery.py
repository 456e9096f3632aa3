"""What hawork's next leader does with its own jobs."""

from __future__ import annotations

from hawork.inspect.cluster import Cluster
from hawork.inspect.outcomes import JobRecovery
from hawork.inspect.own import OwnJob

__all__ = ["own_outcome"]


def own_outcome(cluster: Cluster, job: OwnJob) -> JobRecovery | None:
    """What hawork's next leader does with a job of its own; ``None`` for one that is done."""
    view = cluster.jobs.get(job.job_id)
    place = job.graph.object if job.graph is not None else job.object
    newest = job.newest_whole
    number = None if newest is None else newest.checkpoint_id
    if job.decided is not None or (view is not None and view.dirty is not None):
        decided = job.decided.object if job.decided is not None else place
        return JobRecovery(job.job_id, "cleaned-up", because="it ended", decided_by=decided)
    if job.graph is None:
        if (view is not None and view.clean is not None) or job.submitting:
            return None
        return JobRecovery(
            job.job_id, "not-recovered", because="no job graph pointer", decided_by=place,
            newest_readable=number,
        )  # fmt: skip
    if view is not None and view.clean is not None:
        return JobRecovery(
            job.job_id, "removed-as-done", because="clean result", decided_by=view.clean.object
        )
    if job.graph_damage is not None:
        return JobRecovery(
            job.job_id, "not-recovered", because=job.graph_damage.why, decided_by=place,
            newest_readable=number,
        )  # fmt: skip
    if job.artifact_damage is not None:
        return JobRecovery(
            job.job_id, "restart-loop", number, job.artifact_damage.why, place, number
        )
    held = cluster.leadership is not None and cluster.leadership.held
    if newest is None and job.newer and held:
        number = max(job.newer)
        why = "the storage was dumped after the store, when it had newer checkpoints"
        return JobRecovery(job.job_id, "restored", number, why, place, number)
    if newest is not None:
        return JobRecovery(job.job_id, "restored", number, "", newest.entry.object, number)
    if not job.checkpoints:
        return JobRecovery(job.job_id, "from-scratch", because="no checkpoint", decided_by=place)
    last = job.checkpoints[-1]
    if not last.looked:
        why = "its file was not looked at"
        return JobRecovery(job.job_id, "restored", last.checkpoint_id, why, last.entry.object)
    why = "none of its checkpoints can be read: it waits until one can"
    return JobRecovery(job.job_id, "restart-loop", None, why, last.entry.object)
