"""The event log: complete, ordered, and never in the way."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from IPython.lib.pretty import pretty

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


def test_an_event_in_a_notebook_is_one_line_that_can_be_read() -> None:
    event = Event(EventKind.FAULT, "lab", 0.0, 0.0, facts={"verb": "kill", "target": "jm-1"})
    at = time.strftime("%H:%M:%S", time.localtime(0.0))
    assert pretty(event) == f"{at} lab: fault (verb=kill, target=jm-1)"
    assert pretty(Event(EventKind.PROCESS_STARTED, "jm-1", 0.0, 0.0)).endswith("process.started")


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
            log.emit(EventKind.FAULT, message=name * 500)

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


def test_what_is_still_the_matter_is_told_once() -> None:
    """A job that waited for a checkpoint's file said so five times a second."""
    clock = ManualClock()
    log = EventLog("jm-1", clock=clock)

    def tell(job_id: str = "a", session_id: str = "1", **facts: str) -> int:
        log.emit(EventKind.STATE_SET_ASIDE, session_id=session_id, job_id=job_id, **facts)
        return len(log.recent())

    missing = {"what": "checkpoint 12", "reason": "its file is missing"}
    assert tell(**missing) == 1
    for _ in range(10):
        clock.advance(0.2)
        assert tell(**missing) == 1
    assert tell(**{**missing, "what": "checkpoint 13"}) == 2
    assert tell(**{**missing, "reason": "its file was altered"}) == 3
    assert tell(job_id="b", **missing) == 4, "of another job"
    assert tell(session_id="2", **missing) == 5, "under another leadership"
    clock.advance(3600.0)
    assert tell(**missing) == 6, "an hour later"


@pytest.mark.parametrize(
    ("one", "another", "told"),
    [
        ("file a-0123456789ab: full", "file a-ba9876543210: full", 1),
        ("full (4096 bytes free)", "full (0 bytes free)", 1),
        ("job " + "1" * 32, "job " + "2" * 32, 2),
        ("checkpoint 7 is damaged", "checkpoint 8 is damaged", 2),
    ],
)
def test_what_only_a_random_name_tells_apart_is_the_same(one: str, another: str, told: int) -> None:
    log = EventLog("jm-1")
    for message in (one, another):
        log.emit(EventKind.ERROR, message=message)
    assert len(log.recent()) == told


def test_a_log_that_is_removed_goes_on(tmp_path: Path) -> None:
    told: list[str] = []
    log = EventLog("jm-1", tmp_path / "run" / "events" / "jm-1.jsonl", tell=told.append)
    for number in range(4):
        log.emit(EventKind.FAULT, verb=str(number))
        if number == 1:
            shutil.rmtree(tmp_path / "run")
    log.close()
    left = read_events(tmp_path / "run" / "events")
    assert [event.facts["verb"] for event in left] == ["2", "3"]
    assert len(told) == 1 and "was removed" in told[0]


def test_a_full_disk_is_told_once_and_tears_one_line_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    log = EventLog("jm-1", tmp_path / "jm-1.jsonl", tell=told.append)
    room = 100

    def write(descriptor: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = real(descriptor, data[:room])
        room -= taken
        return taken

    real = os.write
    monkeypatch.setattr(os, "write", write)
    for number in range(4):
        log.emit(EventKind.FAULT, verb=str(number))
    room = 10_000
    log.emit(EventKind.FAULT, verb="again")
    monkeypatch.undo()
    log.close()
    events = list(read_event_file(tmp_path / "jm-1.jsonl"))
    assert [event.facts["verb"] for event in events][-1] == "again"
    assert log.dropped == 4 - (len(events) - 1)
    assert len(told) == 2 and "cannot be written (No space left" in told[0]
    assert "is written again" in told[1]
