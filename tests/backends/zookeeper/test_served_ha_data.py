"""A copy of HA data in a server of its own: a store that is lost is written again, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawork.core.errors import LabError
from hawork.lessons import ha_data

CASES = Path(__file__).resolve().parents[3] / "notebooks" / "cases"


def test_a_lost_zookeeper_is_written_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even the parent of the cluster's znode is there."""
    data = ha_data("whole-zookeeper", CASES)
    try:
        data.remove("/flink")
        data.serve()
        with pytest.raises(LabError, match="the copy is in a ZooKeeper server now"):
            data.remove("/flink")
        assert data.held().store == {}
        assert data.run("repair --apply --backup empty.zip") == 0
        assert "nothing was written" not in capsys.readouterr().out
        found = data.inspect()
        assert found.alarms == []
        restored = sorted(each.checkpoint or 0 for each in found.recovery.jobs.values())
        assert restored == [9, 9, 10]
        assert data.run("restore empty.zip") == 0
        assert data.held().store == {}
    finally:
        data.close()
    assert not data.directory.exists()
