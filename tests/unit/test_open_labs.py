"""Cells that are run twice leave labs behind; one call ends them all."""

from __future__ import annotations

import pytest

from hawork.core.errors import LabError
from hawork.lab import LabCluster, reset


def test_reset_ends_also_what_no_variable_names() -> None:
    reset()  # whatever tests before this one have left
    assert reset() == 0
    lab = LabCluster(job_managers=1, task_managers=0).start()
    first = lab.directory
    lab = LabCluster(job_managers=1, task_managers=0).start()  # the cell is run again
    assert first.exists() and first != lab.directory
    assert reset() == 2
    assert not first.exists() and not lab.directory.exists()
    assert reset() == 0
    with pytest.raises(LabError, match="this lab is closed: make a new one"):
        lab.kill("leader")
    with LabCluster(job_managers=1, task_managers=0) as again:
        assert again.leader() == "jm-1"
    assert reset() == 0, "who closes a lab needs no reset"
