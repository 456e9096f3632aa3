"""A cluster per test; on failure its last events and logs are shown.

With ``HAWORK_FAULTS_HA=zookeeper`` or ``kubernetes`` in the environment the same stories run there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.lab import LabCluster
from tests.faults.scenario import FAST, Scenario
from tests.faults.shared_lab import TASK_MANAGERS, passed, show
from tests.faults.stores import store_options


@pytest.fixture
def scenario(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """Three JobManagers and two TaskManagers with two slots each."""
    ha, store = store_options()
    options = {**FAST, **store, **getattr(request, "param", {})}
    with LabCluster(
        3, TASK_MANAGERS, ha=ha, directory=tmp_path / "lab", options=options, keep=True
    ) as lab:
        yield Scenario(lab, tmp_path)
        if not passed(request):
            show(lab)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.report_of_call = report
    return report
