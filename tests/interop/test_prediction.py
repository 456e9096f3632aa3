"""What ``hawork inspect`` predicts is what real Flink does; ``bench_prediction`` has more kinds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hawork.lab.flink.distribution import FlinkDistribution
from tests.contract.zookeeper_harness import shared_servers
from tests.interop.broken_flink import Base, make_base
from tests.interop.broken_kinds import KINDS
from tests.interop.flink_stores import ZooKeeperStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    store = ZooKeeperStore(shared_servers())
    yield make_base(store, tmp_path_factory.mktemp("flink"), FlinkDistribution.find())
    store.close()


@pytest.mark.parametrize(
    ("name", "code", "severity"),
    [
        ("nothing", None, None),
        ("graph_file_missing", "HA201", "fatal"),
        ("older_ha_file_missing", "HA101", "fatal"),
        ("checkpoint_pointer_is_not_java", "HA107", "data-loss"),
        ("two_jobs_broken", "HA205", "data-loss"),
    ],
)
def test_real_flink_does_what_was_predicted(
    base: Base, name: str, code: str | None, severity: str | None
) -> None:
    case = base.restore()
    KINDS[name].break_(case)
    predicted, answer = case.predict()
    told = {each["code"]: each["severity"] for each in answer["findings"]}
    if code is None:
        assert set(told.values()) <= {"info"}, told
    else:
        assert told[code] == severity
    assert case.observe() == predicted
