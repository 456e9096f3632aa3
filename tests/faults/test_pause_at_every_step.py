"""A pause past the lease at every step of a job; the promises are those of a crash."""

from __future__ import annotations

import pytest

from hawork.core.events import EventKind
from tests.faults.crashes import JOB
from tests.faults.scenario import Scenario
from tests.faults.shared_lab import scenario, shared_lab_on
from tests.faults.stores import chosen_store

__all__ = ["scenario", "shared_lab"]

shared_lab = shared_lab_on(chosen_store)


@pytest.mark.parametrize("step", JOB)
def test_pause_past_the_lease_at_a_step_of_a_job(scenario: Scenario, step: str) -> None:
    """The leader stands still until another has taken over and finished; then it wakes up."""
    first = scenario.lab.leader()
    deposed = scenario.lab.leader_information()
    scenario.lab.arm(step, "pause", process=first)
    job = scenario.submit()
    scenario.check_exact(job)
    scenario.check_reached(step, "pause")
    scenario.lab.wait_for_leader(other_than=first).wait()
    scenario.lab.resume(first)
    scenario.wait_for_event(EventKind.LEADERSHIP_REVOKED, process=first)
    scenario.check_exact(job)
    scenario.check_nothing_left(job)
    scenario.check_verdict()
    assert scenario.lab.leader_information() != deposed
