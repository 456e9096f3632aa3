"""One cluster for many scenarios: what one of them broke is mended before the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hawork.core.clock import SYSTEM_CLOCK
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.faults.scenario import Scenario

TASK_MANAGERS = 2


class SharedLab:
    """Three JobManagers and two TaskManagers, for scenarios that end all their jobs.

    A scenario that failed leaves nothing that can be trusted: the next one gets a new cluster.
    """

    def __init__(self, directory: Path, make: Callable[[Path], LabCluster]) -> None:
        self._directory = directory
        self._make = make
        self._started = 0
        self._lab: LabCluster | None = None

    @contextmanager
    def scenario(self, directory: Path, request: pytest.FixtureRequest) -> Iterator[Scenario]:
        """A scenario on the cluster as if it had just been started."""
        lab = self._ready()
        yield Scenario(lab, directory, since=SYSTEM_CLOCK.monotonic())
        if not passed(request):
            show(lab)
            self.close()

    def _ready(self) -> LabCluster:
        if self._lab is None:
            self._started += 1
            self._lab = self._make(self._directory / f"lab-{self._started}").start()
        else:
            mend(self._lab)
        return self._lab

    def close(self) -> None:
        lab, self._lab = self._lab, None
        if lab is not None:
            lab.close()


def shared_lab_on(store: Callable[[], tuple[str, Mapping[str, str]]], **more: Any) -> Any:
    """A fixture ``shared_lab`` of a module, on the store that is told when the module begins.

    ``more`` are arguments of the ``LabCluster``. The fixture ``scenario`` below goes with it.
    """

    @pytest.fixture(scope="module")
    def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedLab]:
        ha, options = store()

        def make(directory: Path) -> LabCluster:
            return LabCluster(
                3, TASK_MANAGERS, ha=ha, directory=directory, options=options, keep=True, **more
            )

        shared = SharedLab(tmp_path_factory.mktemp("shared"), make)
        yield shared
        shared.close()

    return shared_lab


@pytest.fixture
def scenario(
    shared_lab: SharedLab, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scenario]:
    """A scenario of its own on the module's ``shared_lab``."""
    with shared_lab.scenario(tmp_path, request) as scenario:
        yield scenario


def mend(lab: LabCluster) -> None:
    """Every process runs, none is held, one leads, and all TaskManagers are its."""
    lab.disarm()
    lab.proceed()
    for name, state in lab.processes.items():
        if not state.alive:
            lab.restart(name)
    lab.leader()
    eventually(lambda: len(lab.client.taskmanagers()) == TASK_MANAGERS)


def passed(request: pytest.FixtureRequest) -> bool:
    """Whether the test of a fixture has passed, in its teardown."""
    report = getattr(request.node, "report_of_call", None)
    return report is not None and bool(report.passed)


def show(lab: LabCluster) -> None:
    """The last events and logs of a cluster."""
    for event in lab.event_list()[-80:]:
        job = (event.job_id or "")[:4]
        print(
            f"{event.monotonic:.3f} {event.process:8} {event.kind} {event.step or ''} "
            f"{job} {event.facts}"[:240]
        )
    for log in sorted((lab.directory / "logs").glob("*.log")):
        print(f"--- {log.name}\n{log.read_text()[-2000:]}")
