"""A crash at every step of the protocol, once, twice in a row, and as a long pause.

Whatever happens: an acknowledged job finishes with the exact output, its result is stored
once and ends clean, and nothing else of the job is left in the store or in storageDir.
"""

from __future__ import annotations

import pytest

from hawork.core.events import EventKind
from hawork.core.steps import STEPS
from tests.faults.crashes import JOB, REVOCATION, TAKEOVER, TASK, run
from tests.faults.scenario import Scenario
from tests.faults.shared_lab import scenario, shared_lab_on
from tests.faults.stores import chosen_store

__all__ = ["scenario", "shared_lab"]

shared_lab = shared_lab_on(chosen_store)


def test_the_steps_are_all_here() -> None:
    assert sorted(TAKEOVER + TASK + REVOCATION + JOB) == sorted(STEPS)
    assert len(STEPS) >= 20


@pytest.mark.parametrize("step", JOB + TASK)
def test_crash_at_a_step_of_a_job(scenario: Scenario, step: str) -> None:
    scenario.lab.arm(step, "crash")
    run(scenario)
    scenario.check_reached(step, "crash")


@pytest.mark.parametrize("step", TAKEOVER)
def test_crash_at_a_step_of_a_takeover(scenario: Scenario, step: str) -> None:
    scenario.lab.arm(step, "crash")
    run(scenario, fail_over=True)
    scenario.check_reached(step, "crash")


def test_crash_while_leadership_is_given_up(scenario: Scenario) -> None:
    job = scenario.submit()
    scenario.wait_for_event(EventKind.CHECKPOINT_COMPLETED)
    scenario.lab.arm("leadership.revoked", "crash")
    scenario.lab.terminate("leader")
    scenario.check_exact(job)
    scenario.check_nothing_left(job)
    scenario.check_reached("leadership.revoked", "crash")


@pytest.mark.parametrize("step", JOB)
def test_two_crashes_in_a_row(scenario: Scenario, step: str) -> None:
    """The leader dies at the step, the next one as soon as it has recovered the jobs."""
    first = scenario.lab.leader()
    scenario.lab.arm(step, "crash", process=first)
    scenario.lab.arm("takeover.graphs_recovered", "crash")
    run(scenario)
    scenario.check_reached(step, "crash")
    scenario.check_reached("takeover.graphs_recovered", "crash")


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
