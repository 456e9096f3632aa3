"""The long soak: 100 random faults under load. ``HAWORK_SEED`` repeats one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from tests.faults.soak import soak

FAULTS = 100


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_soak(tmp_path: Path) -> None:
    seed = int(os.environ.get("HAWORK_SEED") or secrets.randbelow(1_000_000))
    print()
    soak(tmp_path, seed, FAULTS)
