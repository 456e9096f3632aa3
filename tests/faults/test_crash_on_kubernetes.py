"""A crash at every step of the protocol, once, on Kubernetes.

All other stories of crashes, pauses, damage and the soak run there with
``HAWORK_FAULTS_HA=kubernetes make test ARGS=tests/faults``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.lab import LabCluster
from tests.faults.scenario import FAST, Scenario, check_reached
from tests.faults.stores import on_shared_kubernetes
from tests.faults.test_crash_at_every_step import JOB, TAKEOVER, run


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[Scenario]:
    options = {**FAST, **on_shared_kubernetes()}
    with LabCluster(3, 2, ha="kubernetes", directory=tmp_path / "lab", options=options) as lab:
        yield Scenario(lab, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("step", JOB + TAKEOVER)
def test_crash_at_a_step(scenario: Scenario, step: str) -> None:
    scenario.lab.arm(step, "crash")
    run(scenario, fail_over=step in TAKEOVER)
    check_reached(scenario.lab, step, "crash")
