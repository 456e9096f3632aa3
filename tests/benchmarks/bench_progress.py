"""From the kill of a leader to the first record processed again: hawork and real Flink, one run.

The phases are those of ``lab.timeline().recovery()``. Both run one job of two subtasks on one
TaskManager, with a checkpoint every half second, on the same ZooKeeper server with the same session
timeout. The TaskManager lives on: only the JobManager dies.

With ``HAWORK_BENCH_WRITE=1`` the table goes into ``docs``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hawork.core.events import EventKind
from hawork.lab import FlinkCluster, LabCluster
from hawork.story.recovery import PHASES, JobRecovery
from hawork.testing import eventually
from tests.benchmarks.side_by_side import Comparison
from tests.benchmarks.watching import METERS

TIMES = 5
PATIENCE = 120.0
HA = "zookeeper"
JOB = Path(__file__).parents[1] / "faults" / "jobs" / "counting.py"
SQL = """
CREATE TABLE numbers (number BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000');
CREATE TABLE nothing (rest BIGINT, total BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT MOD(number, 7), COUNT(*) FROM numbers GROUP BY MOD(number, 7);
"""
CONTESTANTS: dict[str, tuple[Callable[..., Any], bool]] = {
    "hawork, supervisor": (LabCluster, True),
    "hawork, no supervisor": (LabCluster, False),
    "Flink 1.20.5": (FlinkCluster, False),
}


@pytest.mark.timeout(1800)
def test_time_to_progress(tmp_path: Path) -> None:
    comparison = Comparison(list(CONTESTANTS))
    for number, name in enumerate(CONTESTANTS):
        rows = [*recoveries(name, tmp_path / str(number))]
        for phase in PHASES:
            comparison.add(phase, "s", name, [getattr(row, phase) for row in rows])
        comparison.add("time to progress", "s", name, [row.total for row in rows])
    comparison.print()
    comparison.keep("progress")


def recoveries(name: str, directory: Path) -> Iterator[JobRecovery]:
    """What each of ``TIMES`` kills cost."""
    with running(name, directory) as lab:
        for number in range(1, TIMES + 1):
            standing_by(lab)
            checkpoint_again(lab)
            leader = lab.leader(PATIENCE)
            lab.kill(leader)

            def seen(number: int = number) -> JobRecovery | None:
                rows = lab.timeline().recovery().rows
                last = rows[-1] if len(rows) == number else None
                return None if last is None or math.isnan(last.total) else last

            row = eventually(seen, timeout=PATIENCE, interval=0.1)
            assert row is not None
            yield row
            lab.restart(leader)


@contextmanager
def running(name: str, directory: Path) -> Iterator[Any]:
    make, supervisor = CONTESTANTS[name]
    directory.mkdir()
    options = {**METERS[HA].options(), "heartbeat.interval": "500 ms", "heartbeat.timeout": "5 s"}
    with make(
        2, 1, ha=HA, directory=directory / "lab", options=options, supervisor=supervisor
    ) as lab:
        if isinstance(lab, FlinkCluster):
            script = directory / "numbers.sql"
            script.write_text(SQL)
            lab.submit(str(script), parallelism=2, checkpoint_interval="500 ms")
        else:
            config = {"output": str(directory / "output"), "rate": 1000}
            lab.submit(f"{JOB}:endless", config, parallelism=2, checkpoint_interval="500 ms")
        yield lab


def standing_by(lab: Any) -> None:
    eventually(lambda: len(METERS[HA].standing(lab)) == 2, timeout=PATIENCE, interval=0.1)


def checkpoint_again(lab: Any) -> None:
    """Wait for two checkpoints from now on: the job runs, and has something to be restored from."""

    def completed() -> int:
        return sum(each.kind is EventKind.CHECKPOINT_COMPLETED for each in lab.event_list())

    before = completed()
    eventually(lambda: completed() >= before + 2, timeout=PATIENCE, interval=0.1)
