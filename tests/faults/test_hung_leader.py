"""A leader that stands still and never comes back: nobody waits for it beyond its lease."""

from __future__ import annotations

import pytest

from hawork.testing import eventually
from tests.faults.scenario import Scenario

LEASE = "high-availability.embedded.leader-election"
PATIENT = {
    # Long enough for a TaskManager to start and to meet the leader that has stopped.
    f"{LEASE}.lease-duration": "5 s",
    f"{LEASE}.renew-deadline": "4 s",
    "heartbeat.interval": "1 s",
    "heartbeat.timeout": "10 min",
}


@pytest.mark.parametrize("scenario", [PATIENT], indirect=True)
def test_a_taskmanager_that_meets_a_stopped_leader_goes_to_the_next(scenario: Scenario) -> None:
    lab = scenario.lab
    first = lab.leader()
    lab.pause(first)
    lab.restart("tm-1")
    assert lab.wait_for_leader(other_than=first, timeout=60).wait() != first
    eventually(lambda: len(lab.client.taskmanagers()) == 2)
