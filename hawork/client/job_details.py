"""What clients are told about a job, as a value and as Flink's REST shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hawork.core.errors import RestError
from hawork.core.jobs import JobGraph, JobResult, JobStatus
from hawork.core.types import JobID

_TASK_COUNTERS = (
    "running", "canceling", "canceled", "total", "created", "scheduled", "deploying",
    "reconciling", "finished", "initializing", "failed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobDetails:
    """A job as seen by clients; times in milliseconds since 1970, ``-1`` when open.

    ``failure`` says in one sentence why the job failed, restarts or waits. A ``foreign`` job
    is one of a real Flink cluster, which counts no records and tells less.
    """

    job_id: JobID
    name: str
    status: JobStatus
    parallelism: int = 0
    start_time: int = 0
    end_time: int = -1
    last_modification: int = 0
    duration: int = 0
    records: int = 0
    records_per_second: float = 0.0
    checkpoints: int = 0
    latest_checkpoint_id: int | None = None
    restored_checkpoint_id: int | None = None
    restarts: int = 0
    failure: str | None = None
    foreign: bool = False
    timestamps: Mapping[str, int] = field(default_factory=dict)
    tasks: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of_graph(cls, graph: JobGraph) -> JobDetails:
        return cls(
            job_id=graph.job_id,
            name=graph.name,
            status=JobStatus.INITIALIZING,
            parallelism=graph.parallelism,
            start_time=graph.submitted_at,
            last_modification=graph.submitted_at,
        )

    @classmethod
    def of_result(cls, result: JobResult) -> JobDetails:
        """A job of which only the result is left; Flink shows its name as unknown, too."""
        return cls(
            job_id=result.job_id,
            name="unknown",
            status=result.application_status.job_status,
            end_time=0,
            duration=result.net_runtime,
            failure=_first_line(result.failure_cause),
        )

    def to_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__slots__}
        data["status"] = self.status.value
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JobDetails:
        known = {name: data[name] for name in cls.__slots__ if name in data}
        known["job_id"] = JobID(data["job_id"])
        known["status"] = JobStatus(data["status"])
        known["tasks"] = tuple(data.get("tasks", ()))
        return cls(**known)

    @classmethod
    def from_overview(cls, answer: Mapping[str, Any]) -> list[JobDetails]:
        """The jobs of ``GET /v1/jobs/overview``; ``RestError`` when the answer has none."""
        jobs = answer.get("jobs")
        if not isinstance(jobs, list):
            raise RestError("the leader's answer has no list of jobs: see whose address it is")
        return [cls.from_flink(job) for job in jobs]

    @classmethod
    def from_flink(cls, data: Mapping[str, Any]) -> JobDetails:
        """From a job as ``GET /v1/jobs/overview`` or ``/v1/jobs/<id>`` shows it.

        A hawork cluster says more in the same answer. ``RestError`` when it is not such a job.
        """
        try:
            if "hawork" in data:
                return cls.from_json(data["hawork"])
            vertices = data.get("vertices") or [{}]
            return cls(
                job_id=JobID(data["jid"]),
                name=str(data["name"]),
                status=JobStatus(data["state"]),
                parallelism=max(int(vertex.get("parallelism", 0)) for vertex in vertices),
                start_time=int(data["start-time"]),
                end_time=int(data["end-time"]),
                last_modification=int(data.get("last-modification", data.get("now", 0))),
                duration=int(data["duration"]),
                foreign=True,
                timestamps=dict(data.get("timestamps", {})),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RestError(
                f"the leader's answer is not a job as Flink describes it ({error!r}): see which "
                "program has published its address"
            ) from None

    def to_flink_overview(self) -> dict[str, Any]:
        """An entry of Flink's ``GET /v1/jobs/overview``, and hawork's own view in it."""
        tasks = dict.fromkeys(_TASK_COUNTERS, 0)
        tasks["total"] = self.parallelism
        for task in self.tasks:
            counter = str(task["status"]).lower()
            tasks[counter] = tasks.get(counter, 0) + 1
        return {
            "jid": self.job_id,
            "name": self.name,
            "start-time": self.start_time,
            "end-time": self.end_time,
            "duration": self.duration,
            "state": self.status.value,
            "last-modification": self.last_modification,
            "tasks": tasks,
            "pending-operators": 0,  # a client of Flink 2 wants it
            "hawork": self.to_json(),
        }

    def to_flink_details(self) -> dict[str, Any]:
        """Flink's ``GET /v1/jobs/<id>``, and hawork's own view under ``hawork``."""
        overview = self.to_flink_overview()
        return {
            "jid": self.job_id,
            "name": self.name,
            "isStoppable": False,
            "state": self.status.value,
            "job-type": "STREAMING",
            "start-time": self.start_time,
            "end-time": self.end_time,
            "duration": self.duration,
            "maxParallelism": self.parallelism,
            "now": self.start_time + self.duration,
            "timestamps": dict(self.timestamps),
            "vertices": [],
            "status-counts": {
                name.upper(): count for name, count in overview["tasks"].items() if name != "total"
            },
            "plan": {"jid": self.job_id, "name": self.name, "type": "STREAMING", "nodes": []},
            "pending-operators": 0,
            "hawork": self.to_json(),
        }


def _first_line(failure_cause: Mapping[str, str] | None) -> str | None:
    """What a stored ``failure-cause`` says, without the name of its Java class."""
    if failure_cause is None:
        return None
    line = failure_cause.get("stack-trace", "").partition("\n")[0]
    return line.removeprefix(f"{failure_cause.get('class', '')}: ")
