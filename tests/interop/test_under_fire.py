"""Interop under fire, in short; ``make bench`` does it for five minutes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.interop.under_fire import UnderFire

FAULTS = 7
SEED = "5"
"""``make bench`` draws its seeds."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ha", ["zookeeper", "kubernetes"])
def test_flink_and_hawork_under_fire(ha: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("HAWORK_SEED", SEED))
    print(f"{FAULTS} faults with HAWORK_SEED={seed}")
    with UnderFire(tmp_path, seed, ha) as fire:
        assert fire.rage(faults=FAULTS) == FAULTS
    print("Flink believed to lead: " + ("; ".join(fire.check()) or "never beside another one"))
    assert fire.led.keys() == {"hawork", "flink"}, fire.led
