"""Random faults under load, in short; ``make bench`` has the long one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.soak import soak

SEEDS = [int(os.environ["HAWORK_SEED"])] if "HAWORK_SEED" in os.environ else [5]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults_under_load(tmp_path: Path, seed: int) -> None:
    soak(tmp_path, seed, faults=12, mean_pause=0.5)
