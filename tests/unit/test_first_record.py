"""When a job of Flink's runs again and works again: once for each leader, whatever REST repeats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hawork.core.events import Event, EventKind, read_events
from hawork.lab.flink.events import FlinkEvents
from hawork.lab.flink.first_record import FirstRecordWatch
from hawork.testing import ManualClock

JOB = "0" * 31 + "a"


class Rest:
    """Flink's answers for a job of a source and a sink with two subtasks each."""

    def __init__(self) -> None:
        self.running = {"source": 0, "sink": 0}
        self.records = 0
        self.asked: list[str] = []

    def get(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        if path == f"/jobs/{JOB}":
            return {
                "vertices": [
                    {
                        "id": name, "parallelism": 2, "tasks": {"RUNNING": count},
                        "metrics": {"write-records": self.records if name == "source" else 0},
                    }
                    for name, count in self.running.items()
                ],
                "plan": {"nodes": [{"id": "source"}, {"id": "sink", "inputs": ["source"]}]},
            }  # fmt: skip
        return {
            "subtasks": [
                {"subtask": index, "timestamps": {"CREATED": 1, "RUNNING": 5_000_000 + index}}
                for index in range(2)
            ]
        }


@pytest.fixture
def events(tmp_path: Path) -> Iterator[FlinkEvents]:
    events = FlinkEvents(tmp_path)
    yield events
    events.close()


def told(directory: Path) -> list[Event]:
    return read_events(directory)


def test_each_moment_is_told_once(events: FlinkEvents, tmp_path: Path) -> None:
    rest, clock = Rest(), ManualClock()
    watch = FirstRecordWatch(events, clock)

    def look(session_id: str = "s1") -> None:
        clock.advance(1.0)
        watch.look({JOB: "RUNNING"}, rest.get, "jm-1", session_id)

    look()
    assert told(tmp_path) == []
    rest.running = {"source": 2, "sink": 1}
    look()
    look()
    running = told(tmp_path)
    assert [each.facts["vertex"] for each in running] == ["source", "source"]
    assert [each.wall for each in running] == [5000.0, 5000.001]
    rest.records = 7  # an older attempt's, as long as not all of this one runs
    look()
    assert len(told(tmp_path)) == 2
    rest.running["sink"] = 2
    look()
    kinds = [each.kind for each in told(tmp_path)]
    assert kinds.count(EventKind.TASK_STATUS) == 4
    assert kinds.count(EventKind.TASK_PROGRESSED) == 1
    # From here on a job costs no request, until another leader has it.
    rest.asked.clear()
    look()
    assert rest.asked == []
    look("s2")
    kinds = [each.kind for each in told(tmp_path)]
    assert (kinds.count(EventKind.TASK_STATUS), kinds.count(EventKind.TASK_PROGRESSED)) == (8, 2)


def test_what_does_not_run_is_not_asked_for(events: FlinkEvents) -> None:
    rest = Rest()
    FirstRecordWatch(events).look({JOB: "INITIALIZING", "other": "FINISHED"}, rest.get, "jm-1", "s")
    assert rest.asked == []


def test_a_job_that_never_works_costs_ever_fewer_requests(events: FlinkEvents) -> None:
    """One vertex alone sends no records on: Flink counts none."""
    rest, clock = Rest(), ManualClock()
    watch = FirstRecordWatch(events, clock)
    for _ in range(4 * 3600):
        clock.advance(0.25)
        watch.look({JOB: "RUNNING"}, rest.get, "jm-1", "s")
    assert len(rest.asked) < 3600 / 10 + 150


def test_an_answer_that_says_nothing_is_no_progress(events: FlinkEvents, tmp_path: Path) -> None:
    """Of an attached cluster, of another version, or while its metrics are away."""
    watch = FirstRecordWatch(events)
    watch.look({JOB: "RUNNING"}, lambda _: {"vertices": [{"parallelism": 2}]}, "jm-1", None)
    watch.look({JOB: "RUNNING"}, lambda _: {}, "jm-1", None)
    assert told(tmp_path) == []
