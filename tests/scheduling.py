"""Which worker of a run takes which tests: what waits first, and what computes in between.

Tests of real processes wait more than they work, for leases, elections and servers; tests without
processes only work. One worker, the *filler*, takes nothing but the latter, and the others the
former as long as there are some: so both cores are used to the end. The filler is nicer than the
others, and than the processes that their tests have started: it takes what they leave.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

ONE_BY_ONE = ("tests/notebooks/test_run.py", "tests/interop/test_under_fire.py")
"""Files of a few long tests that have nothing in common: else one worker would do them all."""

COMPUTING = ("tests/unit/", "tests/simulation/", "tests/test_")
"""What starts no cluster: the filler's."""

LONGEST = (
    "tests/interop/test_flink_cluster.py",
    "tests/notebooks/test_run.py::test_notebook_runs[09_real_flink-]",
    "tests/notebooks/test_run.py::test_notebook_runs[07_kubernetes-]",
    "tests/notebooks/test_run.py::test_notebook_runs[13_flink_on_kubernetes-]",
    "tests/browser/test_panels.py",
)
"""What takes a minute or more comes first: at the end the other workers would wait for it."""

NICER = 5
FEWEST = 3
"""Workers of a run that has a filler."""


def make_nicer(worker: str, workers: int) -> None:
    """Let the filler among ``workers`` take only what the others leave."""
    if is_filler(worker, workers):
        os.nice(NICER)


def is_filler(worker: str, workers: int) -> bool:
    """The last one, which xdist sends home first where there are fewer units than workers."""
    return worker == f"gw{workers - 1}" and workers >= FEWEST


def choose(waiting: Iterable[str], filler: bool) -> str | None:
    """The next of the ``waiting`` units; None when the filler has no more to do.

    Of equals it is the first, in the order in which they were collected.
    """
    units = [each for each in waiting if not filler or each.startswith(COMPUTING)]
    return min(units, key=_rank, default=None)


def _rank(unit: str) -> int:
    if unit in LONGEST:
        return LONGEST.index(unit)
    return len(LONGEST) + unit.startswith(COMPUTING)


class FileByFile(LoadFileScheduling):
    """The tests of a file stay together, for what they share."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(ONE_BY_ONE) else super()._split_scope(nodeid)

    def _next(self, node: WorkerController) -> str | None:
        others = any(not each.shutting_down for each in self.nodes if each is not node)
        return choose(self.workqueue, others and is_filler(node.gateway.id, self.numnodes))

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
