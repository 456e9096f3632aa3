"""The section *jobs*: how far each job is, what it goes back to, how it ended."""

from __future__ import annotations

from typing import Any

from hawork.client.flink_rest import FullDetails
from hawork.client.job_details import JobDetails
from hawork.panels.cluster_source import ClusterSource

MOST_JOBS = 50
"""The newest ones; ``lab.client.jobs()`` tells of all."""


def jobs_section(lab: ClusterSource, details_of: FullDetails) -> dict[str, Any]:
    """Asks the leader, and reads the job result store. Raises what the client raises."""
    ended = {row.job_id: row for row in lab.job_results().itertuples()}
    expected = {job.job_id: job.expected_records for job in lab.jobs}
    names = {job.job_id: job.name for job in lab.jobs}
    if lab.leader_information() is None:
        return {"note": "there is no leader: this is what the last leader told"}
    found = details_of.of(lab.client.get, lab.client.jobs())
    jobs = {}
    for details in found:
        row = job_row(details, names.get(details.job_id))
        if expected.get(details.job_id):
            row["expected"] = expected[details.job_id]
        if details.job_id in ended:
            result = ended[details.job_id]
            row["result"] = f"{result.application_status}, {result.state}"
        jobs[str(details.job_id)] = row
    return {"jobs": jobs, "order": [str(details.job_id) for details in found], "note": ""}


def job_row(details: JobDetails, name: str | None = None) -> dict[str, Any]:
    """What the panel tells of one job; ``name`` is another than the cluster knows."""
    row: dict[str, Any] = {
        "name": name or details.name,
        "status": str(details.status),
        "ended": details.status.globally_terminal,
        "records": details.records,
        "rate": round(details.records_per_second),
        "checkpoints": details.checkpoints,
        "restarts": details.restarts,
        "parallelism": details.parallelism,
        "failure": details.failure or "",
    }
    if details.latest_checkpoint_id is not None:
        row["latest"] = details.latest_checkpoint_id
    if details.restored_checkpoint_id is not None:
        row["restored"] = details.restored_checkpoint_id
    return row
