"""What an inspection found: facts, findings, answers and the prediction, in one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hawork.inspect.cluster import Cluster
from hawork.inspect.finding import Finding, is_alarm
from hawork.inspect.outcomes import Recovery
from hawork.inspect.questions.table import Answer

if TYPE_CHECKING:
    import pandas

__all__ = ["Inspection"]


@dataclass(frozen=True)
class Inspection:
    """What was looked at, and what it says. ``to_json`` is all of it."""

    cluster: Cluster
    recovery: Recovery
    findings: Sequence[Finding]
    answers: Sequence[Answer]
    target_version: str | None = None
    seconds: float = field(default=0.0, compare=False)

    @property
    def alarms(self) -> list[Finding]:
        """The findings that are more than information."""
        return [finding for finding in self.findings if is_alarm(finding)]

    @property
    def exit_status(self) -> int:
        """0 nothing found, 1 findings, 2 could not look."""
        if self.alarms:
            return 1
        return 0 if self.cluster.store_looked and not self._blind else 2

    @property
    def _blind(self) -> bool:
        """Whether something was given and could not be looked at."""
        return any(missed.what != "live cluster" for missed in self.cluster.not_looked_at)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the names of its keys do not change."""
        cluster = self.cluster
        return {
            "cluster_id": cluster.cluster_id,
            "backend": cluster.backend,
            "flink_version": str(cluster.versions),
            "flink_version_because": list(cluster.versions_because),
            "target_version": self.target_version,
            "taken_at": {
                "earliest": cluster.moment.earliest,
                "latest": cluster.moment.latest,
            },
            "leader": _leader(cluster),
            "jobs": {job.job_id: _job(cluster, job.job_id) for job in cluster.jobs.values()},
            "findings": [finding.to_json() for finding in self.findings],
            "recovery": self.recovery.to_json(),
            "questions": [
                {
                    "number": answer.question.number,
                    "question": answer.question.text,
                    "state": answer.state,
                    "why": answer.why,
                }
                for answer in self.answers
            ],
            "not_looked_at": [
                {"what": missed.what, "why": missed.why} for missed in cluster.not_looked_at
            ],
        }

    def to_frame(self) -> pandas.DataFrame:
        """One row a finding."""
        import pandas

        columns = ["code", "name", "severity", "job", "title", "objects", "safe"]
        rows = [
            (each.code, each.name, each.severity, each.job_id or "", each.title,
             [str(thing) for thing in each.objects], each.safe)
            for each in self.findings
        ]  # fmt: skip
        return pandas.DataFrame(rows, columns=columns)


def _leader(cluster: Cluster) -> Mapping[str, Any] | None:
    leadership = cluster.leadership
    if leadership is None:
        return None
    record = leadership.record
    return {
        "lock": leadership.place.to_json(),
        "held": leadership.held,
        "holder": record.holder if record is not None
        else leadership.latch[0].entry.owner if leadership.latch else None,
        "renewed": record.renew_time if record is not None else None,
        "lease_duration": record.lease_duration if record is not None else None,
        "transitions": record.transitions if record is not None else None,
        "contenders": len(leadership.latch),
        "addresses": {
            each.component: {
                "session_id": str(each.information.session_id),
                "address": each.information.address,
            }
            for each in leadership.published
            if each.information is not None
        },
    }  # fmt: skip


def _job(cluster: Cluster, job_id: str) -> dict[str, Any]:
    job = cluster.jobs[job_id]
    result = job.dirty or job.clean
    return {
        "name": job.name,
        "job_graph": [
            {"object": graph.entry.object.to_json(),
             "file": graph.file.name if graph.file is not None else None,
             "marked_for_deletion": graph.marked}
            for graph in job.graphs
        ],
        "checkpoints": [
            {"id": each.checkpoint_id,
             "object": each.entry.object.to_json(),
             "file": each.file.name if each.file is not None else None,
             "whole": each.whole if each.file is not None and each.file.looked else None,
             "metadata": each.metadata}
            for each in job.checkpoints
        ],
        "counter": job.counter.value if job.counter is not None else None,
        "result": None if result is None
        else {"dirty": result.dirty, "status": result.status, "file": result.name},
    }  # fmt: skip
