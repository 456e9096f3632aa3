"""Jobs of which the store has nothing left: their files alone say that they were there.

Files of a job that the store does not know may as well be those of another cluster with the same
directory. They are this cluster's own when the store still names the job as one that was led, or
when it has lost every job graph: then theirs lies among those of the others.
"""

from __future__ import annotations

from hawork.inspect.cluster import Cluster, JobView, LooseFile

__all__ = ["find_lost_jobs"]

_APART = 86400.0
"""Seconds by which a lost job's newest file may be older than the newest of all."""


def find_lost_jobs(cluster: Cluster) -> None:
    """Add such jobs to ``cluster.jobs``, each with ``lost`` set."""
    if not cluster.store_looked:
        return
    empty = not cluster.stored_jobs
    graphless = not any(job.graphs for job in cluster.jobs.values())
    led = cluster.leadership.jobs if cluster.leadership is not None else set()
    stored = {job.job_id for job in cluster.stored_jobs}
    by_job: dict[str, list[LooseFile]] = {}
    for file in cluster.loose:
        if file.job_id and file.job_id not in stored and not file.later:
            by_job.setdefault(file.job_id, []).append(file)
    times = (file.modified for file in cluster.files or () if file.modified is not None)
    newest = max(times, default=0.0)
    for job_id, files in by_job.items():
        known = cluster.jobs.get(job_id)
        if known is not None and (known.dirty or known.clean):
            continue
        graphs = [file for file in files if file.kind != "completed checkpoint"]
        if not graphs or not (empty or _young(newest, files)):
            continue
        if graphless or (job_id in led and len(files) > len(graphs)):
            job = cluster.jobs[job_id] = JobView(job_id, lost=True)
            job.place = cluster.place_of(job_id)


def _young(newest: float, files: list[LooseFile]) -> bool:
    """Whether a job went on until the newest of all files; unknown times count as it."""
    ours = [file.modified for file in files if file.modified is not None]
    return not ours or newest - max(ours) <= _APART
