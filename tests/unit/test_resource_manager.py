"""Slots: who gets them, and what happens when a TaskManager is lost."""

from __future__ import annotations

import os
import re
import socket
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hawork.core.errors import ConfigurationError
from hawork.core.events import NullEventSink
from hawork.core.types import JobID
from hawork.runtime.process import unique_name
from hawork.runtime.resource_manager import ResourceManager, Slot
from hawork.testing import ManualClock


@dataclass
class Connection:
    closed: bool = False
    sent: list[dict[str, Any]] = field(default_factory=list)

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def close(self) -> None:
        self.closed = True


@dataclass
class Requester:
    slots_needed: int = 1
    job_id: JobID = field(default_factory=JobID.random)
    slots: list[Slot] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def slots_offered(self, slots: list[Slot]) -> None:
        assert not self.slots, "slots are offered once"
        self.slots = slots

    def taskmanager_lost(self, taskmanager_id: str, reason: str) -> None:
        self.lost.append(taskmanager_id)


def manager(clock: ManualClock | None = None) -> ResourceManager:
    return ResourceManager(uuid.uuid4(), 3.0, clock or ManualClock(), NullEventSink())


def test_a_job_gets_all_its_slots_at_once_spread_over_taskmanagers() -> None:
    resources, job = manager(), Requester(slots_needed=2)
    resources.request(job)
    resources.register("tm-1", 1, 1, Connection())
    assert job.slots == []
    resources.register("tm-2", 1, 2, Connection())
    assert {slot.taskmanager_id for slot in job.slots} == {"tm-1", "tm-2"}
    assert (resources.slots_total, resources.slots_free) == (2, 0)


def test_a_large_job_does_not_hold_up_a_small_one() -> None:
    resources, large, small = manager(), Requester(slots_needed=3), Requester()
    resources.request(large)
    resources.request(small)
    resources.register("tm-1", 2, 1, Connection())
    assert len(small.slots) == 1
    assert large.slots == []
    assert "it needs 3 slots, 1 of 2 are free" in resources.explain_shortage(3)
    resources.register("tm-2", 2, 2, Connection())
    assert len(large.slots) == 3


def test_released_slots_go_to_whoever_waits() -> None:
    resources, first, second = manager(), Requester(), Requester()
    resources.register("tm-1", 1, 1, Connection())
    resources.request(first)
    resources.request(second)
    assert second.slots == []
    resources.release(first.job_id)
    assert len(second.slots) == 1


class CountedRequester(Requester):
    """Counts how often anything looks at what it needs."""

    looks = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "slots_needed":
            CountedRequester.looks += 1
        return super().__getattribute__(name)


def test_what_waits_is_not_looked_at_for_every_job_that_comes_and_goes() -> None:
    """A leader of 10,000 jobs without TaskManagers was busy with nothing else for half a minute."""
    resources = manager()
    jobs = [CountedRequester() for _ in range(100)]
    CountedRequester.looks = 0
    for job in jobs:
        resources.request(job)
    for job in jobs[50:]:
        resources.release(job.job_id)
    assert CountedRequester.looks <= 2 * len(jobs)
    resources.register("tm-1", 50, 1, Connection())
    assert all(len(job.slots) == 1 for job in jobs[:50])


def test_a_silent_taskmanager_is_lost_and_its_jobs_are_told() -> None:
    clock = ManualClock()
    resources, job, connection = manager(clock), Requester(), Connection()
    resources.register("tm-1", 1, 1, connection)
    resources.request(job)
    for _ in range(4):
        clock.advance(1.0)
        resources.check_heartbeats()
    assert job.lost == ["tm-1"]
    assert connection.closed
    assert resources.slots_total == 0


def test_the_end_of_an_old_connection_does_not_lose_the_new_one() -> None:
    resources, old, new = manager(), Connection(), Connection()
    resources.register("tm-1", 1, 1, old)
    resources.register("tm-1", 1, 2, new)
    assert old.closed
    resources.lose("tm-1", "its connection closed", old)
    assert resources.slots_total == 1
    resources.lose("tm-1", "its connection closed", new)
    assert resources.slots_total == 0


def test_another_process_of_the_same_name_is_refused_and_changes_nothing() -> None:
    """Two containers: each of them evicted the other, and the job never ran."""
    clock = ManualClock()
    resources, job, first, second = manager(clock), Requester(), Connection(), Connection()
    resources.register("taskmanager-1", 1, 1, first, "one")
    resources.request(job)
    with pytest.raises(ConfigurationError, match="named taskmanager-1 is registered already"):
        resources.register("taskmanager-1", 1, 1, second, "another")
    assert (job.lost, first.closed, resources.slots_total) == ([], False, 1)
    clock.advance(3.5)
    resources.check_heartbeats()
    resources.register("taskmanager-1", 1, 1, second, "another")
    assert job.lost == ["taskmanager-1"], "the first is gone: the name is free"


def test_names_that_are_given_by_default_are_one_processs_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In containers of one image and one host name, everything has process id 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setattr(socket, "gethostname", lambda: "../node 7")
    names = {unique_name("taskmanager") for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"taskmanager-node-7-1-[0-9a-f]{6}", name) for name in names)


class Slots(RuleBasedStateMachine):
    """Any order of arrivals and departures keeps the books straight."""

    def __init__(self) -> None:
        super().__init__()
        self.resources = manager()
        self.jobs: list[Requester] = []

    @rule(name=st.sampled_from(["a", "b", "c"]), slots=st.integers(1, 4))
    def register(self, name: str, slots: int) -> None:
        self.resources.register(name, slots, 1, Connection())

    @rule(name=st.sampled_from(["a", "b", "c"]))
    def lose(self, name: str) -> None:
        self.resources.lose(name, "test")

    @rule(slots=st.integers(1, 5))
    def request(self, slots: int) -> None:
        job = Requester(slots_needed=slots)
        self.jobs.append(job)
        self.resources.request(job)

    @rule(index=st.integers(0, 20))
    def release(self, index: int) -> None:
        if index < len(self.jobs):
            self.resources.release(self.jobs.pop(index).job_id)

    @invariant()
    def the_books_are_straight(self) -> None:
        for info in self.resources.taskmanagers:
            assert 0 <= info.free <= info.slots
        for job in self.jobs:
            assert len(job.slots) in (0, job.slots_needed)
            if not job.slots:
                assert self.resources.slots_free < job.slots_needed, "nobody waits in vain"


TestSlots = Slots.TestCase
TestSlots.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
