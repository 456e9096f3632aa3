"""Whether what a simulated cluster did is right: from its output, stores and files."""

from __future__ import annotations

import json
import re

from hawork.core.jobs import ApplicationStatus
from hawork.core.types import JobID
from hawork.ha.job_result_json import decode_job_result
from hawork.simulation.cluster import Cluster, Submission

_JOB = re.compile(r"[0-9a-f]{32}")


def check(cluster: Cluster, settled: bool) -> list[str]:
    """Everything that is wrong, in sentences; nothing when all is right."""
    found = list(cluster.world.violations)
    if not settled:
        found += _unsettled(cluster)
        return found
    for job in cluster.jobs:
        if job.job_id in cluster.world.robbed:
            found += _kept(cluster, job)
            continue
        problem = cluster.task_manager.output.problem(job.job_id, job.parallelism, job.records)
        if problem is not None:
            found.append(f"the output of job {job.job_id} is not exact: {problem}")
        found += _results(cluster, job.job_id)
    found += _leftovers(cluster)
    leader = cluster.store.leading()
    if leader is None:
        found.append("no JobManager leads after everything was healed")
    for manager in cluster.managers.values():
        dispatcher = manager.leading() if manager.running else None
        if dispatcher is not None and str(dispatcher.term.session_id) != leader:
            found.append(
                f"{manager.name} still answers as the leader {dispatcher.term.session_id}, and "
                f"{leader} leads"
            )
    for thread, error in cluster.world.scheduler.crashes:
        found.append(f"thread {thread} ended by {type(error).__name__}: {error}")
    return found


def _unsettled(cluster: Cluster) -> list[str]:
    found = []
    if cluster.store.leading() is None:
        found.append("no JobManager leads long after the last fault")
    for job in cluster.jobs:
        if job.job_id in cluster.world.robbed:
            continue
        if not job.acknowledged:
            answers = "; ".join(dict.fromkeys(job.refusals)) or "no answer"
            found.append(f"job {job.job_id} was never acknowledged: {answers}")
        else:
            found.append(f"job {job.job_id} was acknowledged, and is not over and cleaned up")
    for thread, error in cluster.world.scheduler.crashes:
        found.append(f"thread {thread} ended by {type(error).__name__}: {error}")
    return found


def _results(cluster: Cluster, job_id: JobID) -> list[str]:
    """One result each, that it has finished; kept or remembered as configured."""
    files = cluster.result_files.files
    if cluster.keeps_results:
        payload = files.get(f"{job_id}.json")
        if payload is None:
            return [f"job {job_id} has no clean result"]
        result = decode_job_result("the result", payload)
        if result.application_status is not ApplicationStatus.SUCCEEDED:
            return [f"job {job_id} ended as {result.application_status.value}"]
    remembered = [name for name in files if name.startswith("ended/") and job_id in name]
    if not remembered:
        return [f"the end of job {job_id} is not remembered"]
    ends = {json.dumps(json.loads(files[name]), sort_keys=True) for name in remembered}
    if len(ends) > 1:
        return [f"job {job_id} is remembered to have ended in {len(ends)} ways"]
    return []


def _kept(cluster: Cluster, job: Submission) -> list[str]:
    """What is in doubt is kept: of a job whose pointer was taken before it had ended.

    As long as its mark is there it cannot be told from a submission that was never acknowledged.
    """
    if not job.acknowledged or job.job_id in cluster.world.decided | cluster.given_away:
        return []
    files = cluster.files.files
    return [
        f"a pointer of job {job.job_id} was taken, and then its {what} was removed"
        for what in ("blob/", "submittedJobGraph")
        if not any(name.startswith(f"jobs/{job.job_id}/{what}") for name in files)
    ]


def _leftovers(cluster: Cluster) -> list[str]:
    left = cluster.not_robbed
    found = [f"pointer {name} is left over" for name in left(cluster.store.pointers_left())]
    found += [f"file {name} is left over" for name in left(cluster.files.files)]
    found += [
        f"file {name} is left over"
        for name in left(cluster.result_files.files)
        if not name.startswith("ended/")
        and not (cluster.keeps_results and _JOB.fullmatch(name.removesuffix(".json")))
    ]
    return found
