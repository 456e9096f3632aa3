"""What ``hawork inspect`` predicts is what real Flink does; ``bench_prediction`` has more kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.lab.flink.distribution import FlinkDistribution
from tests.contract.zookeeper_harness import shared_servers
from tests.interop.broken_flink import Base, check_repair, make_base
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
        ("graph_pointer_gone", "HA205", "data-loss"),
        ("newest_ha_file_truncated", "HA102", "fatal"),
        ("graph_file_missing", "HA201", "fatal"),
        ("checkpoint_pointer_is_not_java", "HA107", "data-loss"),
    ],
)
def test_real_flink_does_what_was_predicted(
    base: Base, name: str, code: str, severity: str
) -> None:
    case = base.restore()
    KINDS[name].break_(case)
    predicted, answer = case.predict()
    assert severity in {each["severity"] for each in answer["findings"] if each["code"] == code}
    assert case.observe() == predicted


@pytest.mark.parametrize("name", ["older_ha_file_missing", "two_jobs_broken"])
def test_a_repaired_cluster_starts_and_goes_on(base: Base, name: str, tmp_path: Path) -> None:
    """From the checkpoints that were named; and a restored one is as broken as it was."""
    case = base.restore()
    KINDS[name].break_(case)
    repaired = check_repair(case, tmp_path)
    assert {outcome for outcome, _ in repaired.jobs.values()} == {"restored"}
    assert case.observe() == repaired
