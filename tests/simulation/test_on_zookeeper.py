"""The HA core in simulation on ZooKeeper."""

from __future__ import annotations

import pytest

from tests.simulation import many

pytestmark = pytest.mark.timeout(900)


def test_random_schedules_come_out_right() -> None:
    many.random_schedules_come_out_right("zookeeper")


def test_guided_schedules_come_out_right_and_go_everywhere() -> None:
    many.guided_schedules_come_out_right_and_go_everywhere("zookeeper")
