"""One job on one cluster, and all that must be true of it in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hawork.core.events import Event, EventKind
from hawork.core.jobs import JobStatus
from hawork.job import read_output
from hawork.lab import LabCluster
from hawork.lab.job import Job
from hawork.testing import eventually
from tests.faults.jobs.counting import KEYS

JOBS = Path(__file__).parent / "jobs" / "counting.py"

FAST = {
    "high-availability.embedded.leader-election.lease-duration": "1 s",
    "high-availability.embedded.leader-election.renew-deadline": "800 ms",
    "high-availability.embedded.leader-election.retry-period": "200 ms",
    "restart-strategy.exponential-delay.initial-backoff": "50 ms",
    "restart-strategy.exponential-delay.max-backoff": "200 ms",
}
"""Short enough for many failovers in a test; safe at any length, which is what is tested."""


PATIENT = {
    **FAST,
    "high-availability.embedded.leader-election.lease-duration": "20 s",
    "high-availability.embedded.leader-election.renew-deadline": "15 s",
    "high-availability.kubernetes.leader-election.lease-duration": "20 s",
    "high-availability.kubernetes.leader-election.renew-deadline": "15 s",
    "high-availability.zookeeper.client.session-timeout": "20 s",
}
"""For what has nothing to do with a lease that ends: a kill is noticed at once all the same."""


def expected_counts(end: int) -> list[tuple[int, int, int]]:
    return [
        (key, len(range(key, end, KEYS)), sum(range(key, end, KEYS)))
        for key in range(min(KEYS, end))
    ]


@dataclass
class Scenario:
    """A cluster, and jobs whose exact output is known."""

    lab: LabCluster
    directory: Path
    outputs: list[Path] = field(default_factory=list)
    since: float = 0.0
    """Monotonic seconds; what happened before in this cluster is another scenario's."""

    def submit(
        self, function: str = "counts", *, end: int = 3000, rate: int = 3000, **more: Any
    ) -> Job:
        output = self.directory / f"output-{len(self.outputs)}"
        self.outputs.append(output)
        more.setdefault("checkpoint_interval", "100 ms")
        more.setdefault("parallelism", 2)
        config = {"end": end, "rate": rate, "output": str(output)}
        return self.lab.submit(f"{JOBS}:{function}", config=config, **more)

    def check_exact(self, job: Job, end: int = 3000, output: Path | None = None) -> None:
        """The job finished, and its output is that of a run without any fault."""
        details = job.wait(timeout=120)
        assert details.status is JobStatus.FINISHED, details.failure
        self.check_exact_files(output or Path(job.config["output"]), end)

    def check_exact_copies(self, job: Job, end: int) -> None:
        """The job finished, and every number came out exactly once."""
        details = job.wait(timeout=120)
        assert details.status is JobStatus.FINISHED, details.failure
        found = sorted(row["number"] for row in read_output(Path(job.config["output"])))
        assert found == list(range(end))

    def check_exact_files(self, output: Path, end: int) -> None:
        rows = read_output(output)
        found = sorted((int(row["key"]), int(row["count"]), int(row["total"])) for row in rows)
        assert found == expected_counts(end)

    def check_nothing_left(self, job: Job) -> None:
        """The result is stored once and clean; nothing else of the job is left anywhere."""
        self.check_no_ha_data_left(job)
        pending = Path(job.config["output"]) / ".pending"
        assert not pending.exists(), list(pending.rglob("*"))

    def check_no_ha_data_left(self, job: Job) -> None:
        """The result is stored once and clean; nothing else of the job is left in HA data."""
        job_id = job.job_id
        eventually(lambda: self._result_files(job_id) == [f"{job_id}.json"])
        eventually(lambda: not self._job_directory(job_id).exists())
        eventually(lambda: not self._rows_of(job_id))

    def check_verdict(self) -> None:
        """Leaders, writes, jobs and checkpoints were as they must be, by the event log."""
        verdict = self.lab.verdict()
        assert verdict.valid, str(verdict)

    def wait_for_event(self, kind: EventKind, **wanted: Any) -> Event:
        """The first event of a kind in this scenario."""
        return wait_for_event(self.lab, kind, self.since, **wanted)

    def check_reached(self, step: str, action: str) -> None:
        """The armed step did its work; a test in which it did not would prove nothing."""
        self.wait_for_event(EventKind.STEP_ARMED, step=step, action=action)

    def _result_files(self, job_id: str) -> list[str]:
        directory = self.lab.directory / "storage" / "job-result-store" / "lab"
        return sorted(path.name for path in directory.glob(f"{job_id}*.json"))

    def _rows_of(self, job_id: str) -> list[Any]:
        return [row for row in self.lab.store_rows().to_dict("records") if job_id in str(row)]

    def _job_directory(self, job_id: str) -> Path:
        return self.lab.directory / "storage" / "lab" / "jobs" / job_id


def wait_for_event(lab: LabCluster, kind: EventKind, since: float = 0.0, **wanted: Any) -> Event:
    """The first event of a kind with these attributes or facts; waits for it."""

    def found() -> Event | None:
        for event in lab.event_list():
            if (
                event.kind is kind
                and event.monotonic >= since
                and all(
                    getattr(event, name, None) == value or event.facts.get(name) == value
                    for name, value in wanted.items()
                )
            ):
                return event
        return None

    event = eventually(found)
    assert event is not None
    return event
