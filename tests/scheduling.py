"""Which worker of a run takes which tests: what waits first, and what computes in between.

Tests of real processes wait more than they work, for leases, elections and servers; tests without
processes only work. One worker, the *filler*, takes nothing but the latter, and the others the
former as long as there are some: so both cores are used to the end. The filler is nicer than the
others, and than the processes that their tests have started: it takes what they leave. Another one,
the *waiter*, begins with the files that hardly work at all: were they the last, the cores would
stand idle then.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).resolve().parent.parent

ONE_BY_ONE = (
    "tests/notebooks/test_run.py",
    "tests/interop/test_under_fire.py",
    "tests/simulation/test_many.py",
)
"""Files of a few long tests that have nothing in common: else one worker would do them all."""

TOGETHER = {
    "tests/browser/test_panels.py": "tests/browser",
    "tests/browser/test_run_bundle.py": "tests/browser",
    "tests/browser/test_tour.py": "tests/browser",
    "tests/interop/test_flink_cluster.py": "tests/interop, one cluster",
    "tests/interop/test_flink_jar.py": "tests/interop, one cluster",
}
"""Files whose tests share what is dear to start: one JupyterLab, one cluster of Flink."""

COMPUTING = (
    "tests/unit/",
    "tests/simulation/",
    "tests/test_architecture.py",
    "tests/test_links.py",
)
"""Where the filler's tests are: all but those of files that start processes of a cluster."""

_STARTS = re.compile(r"\b(LabCluster|ProcessControl|Supervisor|ZooKeeperServers?|ControlPlane)\(")

LONGEST = (
    "tests/interop, one cluster",
    "tests/browser",
    "tests/notebooks/test_run.py::test_notebook_runs[09_real_flink-]",
    "tests/notebooks/test_run.py::test_notebook_runs[07_kubernetes-]",
    "tests/notebooks/test_run.py::test_notebook_runs[13_flink_on_kubernetes-]",
)
"""What takes a minute or more comes first: at the end the other workers would wait for it."""

FIRST = ("tests/faults/", "tests/interop/", "tests/notebooks/", "tests/browser/", "tests/test_")
"""Then come the folders of long files; those of short ones, which end evenly, are the last."""

WAITING = ("tests/backends/", "tests/contract/")
"""Files of tests that a processor has an eighth of the time to do with."""

NICER = 5
FEWEST = 3
"""Workers of a run that has a filler and a waiter."""


def make_nicer(worker: str, workers: int) -> None:
    """Let the filler among ``workers`` take only what the others leave."""
    if is_filler(worker, workers):
        os.nice(NICER)


def is_filler(worker: str, workers: int) -> bool:
    """The last one, which xdist sends home first where there are fewer units than workers."""
    return worker == f"gw{workers - 1}" and workers >= FEWEST


def is_waiter(worker: str, workers: int) -> bool:
    return worker == "gw0" and workers >= FEWEST


def choose(units: Iterable[str], *, filler: bool = False, waiter: bool = False) -> str | None:
    """The next of the ``units`` that are left; None when the filler has no more to do.

    Of equals it is the first, in the order in which they were collected.
    """
    if filler:
        units = filter(computes, units)
    if waiter:
        return min(
            units, key=lambda unit: (not unit.startswith(WAITING), _rank(unit)), default=None
        )
    return min(units, key=_rank, default=None)


@functools.cache
def computes(unit: str) -> bool:
    """Whether a unit waits for no process: its file says so."""
    file = ROOT / unit.partition("::")[0]
    return unit.startswith(COMPUTING) and not _STARTS.search(file.read_text("utf-8"))


def _rank(unit: str) -> int:
    if unit in LONGEST:
        return LONGEST.index(unit)
    if computes(unit):
        return len(LONGEST) + len(FIRST) + 1
    ranks = (rank for rank, folder in enumerate(FIRST) if unit.startswith(folder))
    return len(LONGEST) + next(ranks, len(FIRST))


def unit_of(nodeid: str) -> str:
    """What is given to one worker as a whole: a file, several, or a single test.

    >>> unit_of("tests/unit/test_units.py::test_sizes[1 kb]")
    'tests/unit/test_units.py'
    """
    file = nodeid.partition("::")[0]
    return nodeid if file in ONE_BY_ONE else TOGETHER.get(file, file)


class FileByFile(LoadFileScheduling):
    """The tests of a file stay together, for what they share."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _next(self, node: WorkerController) -> str | None:
        others = any(not each.shutting_down for each in self.nodes if each is not node)
        worker, workers = node.gateway.id, self.numnodes
        return choose(
            self.workqueue,
            filler=others and is_filler(worker, workers),
            waiter=is_waiter(worker, workers),
        )

    def _assign_work_unit(self, node: WorkerController) -> None:
        unit = self._next(node)
        if unit is not None:
            self.workqueue.move_to_end(unit, last=False)
            super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        if self._next(node) is None and not node.shutting_down:
            node.shutdown()
        else:
            super()._reschedule(node)
