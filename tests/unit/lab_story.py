"""A run told by hand: three JobManagers, a kill, a pause, one job. For timeline tests."""

from __future__ import annotations

from typing import Any

from hawork.core.events import Event, EventKind

JOB = "0" * 31 + "1"
START = 1000.0
SESSIONS = {name: f"{number}" * 8 for number, name in enumerate(("jm-1", "jm-2", "jm-3"), 1)}


class Story:
    """Collects events at given seconds since the start."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, at: float, process: str, kind: EventKind, **more: Any) -> Story:
        fixed = {key: more.pop(key) for key in ("session_id", "job_id", "step") if key in more}
        self.events.append(Event(kind, process, 5e9 + at, START + at, facts=more, **fixed))
        self.events.sort(key=lambda event: event.monotonic)
        return self

    def started(self, at: float, *names: str) -> Story:
        for name in names:
            role = "jobmanager" if name.startswith("jm") else "taskmanager"
            self.add(at, name, EventKind.PROCESS_STARTED, pid=1, role=role)
        return self

    def leads(self, at: float, name: str, session: str | None = None, takes: float = 0.1) -> Story:
        session_id = session or SESSIONS[name]
        self.add(at, name, EventKind.LEADERSHIP_GRANTED, session_id=session_id)
        for component in ("dispatcher", "rest_server"):
            self.add(
                at + takes, name, EventKind.LEADERSHIP_CONFIRMED, session_id=session_id,
                component=component, address="http://127.0.0.1:1",
            )  # fmt: skip
        return self

    def fault(self, at: float, verb: str, target: str, **more: str) -> Story:
        return self.add(at, "lab", EventKind.FAULT, verb=verb, target=target, **more)

    def died(self, at: float, name: str) -> Story:
        return self.add(at, "supervisor", EventKind.PROCESS_EXITED, of=name, pid=1, status=-9)

    def job(self, at: float, process: str, status: str) -> Story:
        return self.add(at, process, EventKind.JOB_STATUS, job_id=JOB, status=status)


def killed_leader() -> Story:
    """jm-1 leads, runs a job and is killed at 4 s; jm-2 finishes the job."""
    story = Story().started(0.0, "jm-1", "jm-2", "jm-3", "tm-1", "tm-2")
    story.leads(0.5, "jm-1")
    story.add(1.0, "jm-1", EventKind.JOB_ACKNOWLEDGED, job_id=JOB, name="delays")
    story.job(1.0, "jm-1", "CREATED").job(1.5, "jm-1", "RUNNING")
    for number in range(1, 5):
        story.add(
            1.5 + number / 2, "jm-1", EventKind.CHECKPOINT_COMPLETED, job_id=JOB,
            checkpoint_id=number, records=number * 1000,
        )  # fmt: skip
    story.fault(4.0, "kill", "jm-1").died(4.01, "jm-1")
    story.add(4.02, "supervisor", EventKind.LEADERSHIP_RELEASED, of="jm-1")
    story.leads(4.05, "jm-2", takes=0.05)
    story.job(4.15, "jm-2", "CREATED")
    story.add(4.16, "jm-2", EventKind.JOB_RESTORED, job_id=JOB, checkpoint_id=4, records=4000)
    story.job(4.4, "jm-2", "RUNNING").job(7.0, "jm-2", "FINISHED")
    return story.add(8.0, "jm-2", EventKind.PROCESS_STOPPED, pid=1, reason="SIGTERM")


def paused_leader() -> Story:
    """jm-1 is paused at 2 s; jm-2 leads from 4 s; jm-1 wakes up at 5 s and finds out."""
    story = Story().started(0.0, "jm-1", "jm-2").leads(0.5, "jm-1")
    story.fault(2.0, "pause", "jm-1").leads(4.0, "jm-2").fault(5.0, "resume", "jm-1")
    return story.add(
        5.1, "jm-1", EventKind.LEADERSHIP_REVOKED, session_id=SESSIONS["jm-1"], reason="lost"
    )
