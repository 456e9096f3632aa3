"""A crash at every step of the protocol, once: the body that the stores with servers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hawork.lab import LabCluster
from tests.faults.scenario import FAST, Scenario, check_reached
from tests.faults.test_crash_at_every_step import JOB, TAKEOVER, run


def scenario_on(ha: str, options: Callable[[], Mapping[str, str]]) -> Any:
    """A fixture: three JobManagers and two TaskManagers on a server that files share."""

    @pytest.fixture
    def scenario(tmp_path: Path) -> Iterator[Scenario]:
        given = {**FAST, **options()}
        with LabCluster(3, 2, ha=ha, directory=tmp_path / "lab", options=given) as lab:
            yield Scenario(lab, tmp_path)

    return scenario


@pytest.mark.slow
@pytest.mark.parametrize("step", JOB + TAKEOVER)
def crash_at_a_step(scenario: Scenario, step: str) -> None:
    scenario.lab.arm(step, "crash")
    run(scenario, fail_over=step in TAKEOVER)
    check_reached(scenario.lab, step, "crash")
