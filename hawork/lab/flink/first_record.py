"""When a job of Flink's comes forward again under a new leader: its subtasks run, records pass."""

from __future__ import annotations

from collections.abc import Mapping

from hawork.client.flink_rest import Get, records_of
from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.events import EventKind
from hawork.lab.flink.events import WrittenEvents

_FIRST_PAUSE, _GROWTH, _LONGEST_PAUSE = 0.05, 1.05, 10.0  # seconds between looks at a job


class FirstRecordWatch:
    """Tells of each job, once for each leader, when its subtasks began to run, and then to work.

    Flink knows the first to a millisecond. Of records it has counters only: the moment is that of
    the first look at which one had moved, up to ``metrics.fetcher.update-interval`` late.
    A job that does not come forward is looked at ever more seldom.
    """

    def __init__(self, events: WrittenEvents, clock: Clock = SYSTEM_CLOCK) -> None:
        self._events = events
        self._clock = clock
        self._looks: dict[str, tuple[float, float]] = {}  # when it is due, and the pause after it
        self._process: str = ""
        self._session_id: str | None = None
        self._run: set[tuple[str, str]] = set()
        self._worked: set[str] = set()

    def look(
        self, jobs: Mapping[str, str], get: Get, process: str, session_id: str | None
    ) -> None:  # fmt: skip
        """``jobs`` are those of the leader, with their status; ``RestError`` as ``get`` raises."""
        if (process, session_id) != (self._process, self._session_id):
            self._process, self._session_id = process, session_id
            self._run.clear()
            self._worked.clear()
            self._looks.clear()
        now = self._clock.monotonic()
        for job_id, status in jobs.items():
            due, pause = self._looks.get(job_id, (now, _FIRST_PAUSE))
            if status == "RUNNING" and job_id not in self._worked and now >= due:
                self._looks[job_id] = now + pause, min(_LONGEST_PAUSE, pause * _GROWTH)
                self._look_at(job_id, get)

    def _look_at(self, job_id: str, get: Get) -> None:
        job = get(f"/jobs/{job_id}")
        running = True
        for vertex in job.get("vertices", ()):
            vertex_id = str(vertex.get("id"))
            if (job_id, vertex_id) in self._run:
                continue
            if vertex.get("tasks", {}).get("RUNNING", 0) < vertex.get("parallelism", 1):
                running = False
                continue
            self._tell_running(job_id, vertex_id, get)
            self._run.add((job_id, vertex_id))
        if running and records_of(job) > 0:
            self._worked.add(job_id)
            self._events.write(
                EventKind.TASK_PROGRESSED, self._process, session_id=self._session_id,
                job_id=job_id,
            )  # fmt: skip

    def _tell_running(self, job_id: str, vertex_id: str, get: Get) -> None:
        times = get(f"/jobs/{job_id}/vertices/{vertex_id}/subtasktimes")
        for subtask in times.get("subtasks", ()):
            since = subtask.get("timestamps", {}).get("RUNNING", 0)
            if since > 0:
                self._events.write(
                    EventKind.TASK_STATUS, self._process, wall=since / 1000,
                    session_id=self._session_id, job_id=job_id, status="RUNNING",
                    vertex=vertex_id, index=subtask.get("subtask"),
                )  # fmt: skip
