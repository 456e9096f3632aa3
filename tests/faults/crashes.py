"""A crash at every step of the protocol: what the files of all stores share."""

from __future__ import annotations

import pytest

from hawork.core.events import EventKind
from hawork.core.steps import STEPS
from tests.faults.scenario import Scenario

TAKEOVER = [step for step in STEPS if step.startswith("takeover.")]
TASK = [step for step in STEPS if step.startswith("task.")]
REVOCATION = ["leadership.revoked"]
JOB = [step for step in STEPS if step not in TAKEOVER + TASK + REVOCATION]


def run(scenario: Scenario, *, fail_over: bool = False) -> None:
    """A job from its submission to its end, with a failover in the middle if asked for."""
    job = scenario.submit()
    if fail_over:
        scenario.wait_for_event(EventKind.CHECKPOINT_COMPLETED)
        scenario.lab.kill("leader")
    scenario.check_exact(job)
    scenario.check_nothing_left(job)
    scenario.check_verdict()


@pytest.mark.slow
@pytest.mark.parametrize("step", JOB + TAKEOVER)
def crash_at_a_step(scenario: Scenario, step: str) -> None:
    scenario.lab.arm(step, "crash")
    run(scenario, fail_over=step in TAKEOVER)
    scenario.check_reached(step, "crash")
