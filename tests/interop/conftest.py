"""A cluster of real Flink that several files share: its start takes a processor ten seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hawork.lab import FlinkCluster


@pytest.fixture(scope="package")
def lab() -> Iterator[FlinkCluster]:
    """Two JobManagers and a TaskManager on ZooKeeper; a test leaves them as it found them.

    ``tests/scheduling.py`` gives the files that use it to one worker.
    """
    with FlinkCluster(job_managers=2, task_managers=1) as lab:
        yield lab
