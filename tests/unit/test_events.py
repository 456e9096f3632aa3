"""The event log: complete, ordered, and never in the way."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from hawork.core.events import Event, EventKind, EventLog, read_event_file, read_events
from hawork.testing import ManualClock


def test_events_read_back_as_they_were_written(tmp_path: Path) -> None:
    clock = ManualClock()
    log = EventLog("jm-1", tmp_path / "events" / "jm-1.jsonl", clock)
    log.emit(EventKind.LEADERSHIP_GRANTED, session_id="s", job_id="j", step="x", facts_of=[1, "a"])
    log.close()
    (event,) = read_event_file(tmp_path / "events" / "jm-1.jsonl")
    assert event == log.recent()[0]
    assert event.facts == {"facts_of": [1, "a"]}
    assert event.monotonic == clock.monotonic()


def test_an_incomplete_last_line_and_unknown_kinds_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "jm-1.jsonl"
    log = EventLog("jm-1", path)
    log.emit(EventKind.ERROR, message="whole")
    log.close()
    with path.open("ab") as file:
        file.write(b'{"kind": "of.the.future", "process": "x", "wall": 1, "monotonic": 1}\n')
        file.write(b'[1]\n"text"\n{"kind": "err')
    assert [event.facts["message"] for event in read_event_file(path)] == ["whole"]


def test_events_of_all_processes_come_in_the_order_of_time(tmp_path: Path) -> None:
    clock = ManualClock()
    logs = [EventLog(name, tmp_path / f"{name}.jsonl", clock) for name in ("b", "a")]
    for number in range(6):
        clock.advance(1.0)
        logs[number % 2].emit(EventKind.ERROR, message=str(number))
    for log in logs:
        log.close()
    assert [event.facts["message"] for event in read_events(tmp_path)] == list("012345")


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "jm-1.jsonl"
    log = EventLog("jm-1", path)

    def write(name: str) -> None:
        for _ in range(200):
            log.emit(EventKind.ERROR, message=name * 500)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    events = list(read_event_file(path))
    assert len(events) == 800
    assert all(len(set(event.facts["message"])) == 1 for event in events)


def test_a_full_disk_does_not_stop_the_process() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.fail("this test needs Linux's /dev/full")
    log = EventLog("jm-1", full)
    log.emit(EventKind.ERROR, message="kept in memory")
    assert log.dropped == 1
    assert len(log.recent()) == 1
    log.close()


def test_the_log_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    log = EventLog("jm-1", tmp_path / "jm-1.jsonl")
    log.close()
    assert os.stat(tmp_path / "jm-1.jsonl").st_mode & 0o077 == 0


def test_memory_keeps_the_newest_events() -> None:
    log = EventLog("jm-1", keep=3)
    for number in range(5):
        log.emit(EventKind.ERROR, number=number)
    assert [event.facts["number"] for event in log.recent()] == [2, 3, 4]
    assert isinstance(log.recent()[0], Event)
