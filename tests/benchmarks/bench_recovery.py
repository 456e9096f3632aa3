"""A takeover with 1,000 stored jobs, all of which have to be read and restored."""

from __future__ import annotations

from pathlib import Path

from hawork.lab import LabCluster
from tests.benchmarks.leading import leadership
from tests.benchmarks.taking_over import JOBS, print_takeovers, store_jobs, take_over_often

TAKEOVERS = 5


def test_recovery_of_many_jobs(tmp_path: Path) -> None:
    """Without TaskManagers: the jobs are restored, and wait for slots."""
    lab = LabCluster(2, 0, directory=tmp_path)
    try:
        with leadership(lab.config) as (_, stores):
            store_jobs(stores, JOBS)
        lab.start()
        seen = take_over_often(lab, TAKEOVERS)
    finally:
        lab.close()
    print_takeovers(f"Takeover with {JOBS:,} stored jobs, each with a checkpoint", seen)
