"""A crash at every step of the protocol, once and twice in a row.

Whatever happens: an acknowledged job finishes with the exact output, its result is stored
once and ends clean, and nothing else of the job is left in the store or in storageDir. Leases do
not end here: a death is noticed by itself, and on a busy machine the leader that is armed must lead
until it comes to its step.
"""

from __future__ import annotations

import pytest

from hawork.core.events import EventKind
from hawork.core.steps import STEPS
from tests.faults.crashes import JOB, REVOCATION, TAKEOVER, TASK, run
from tests.faults.scenario import Scenario
from tests.faults.shared_lab import scenario, shared_lab_on
from tests.faults.stores import patient_store

__all__ = ["scenario", "shared_lab"]

shared_lab = shared_lab_on(patient_store)


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
