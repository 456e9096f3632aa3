"""Two Flink JobManagers and two of hawork in one election, five minutes of random faults."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from tests.interop.under_fire import UnderFire

SECONDS = 300.0


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("ha", ["zookeeper", "kubernetes"])
def test_five_minutes_under_fire(ha: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("HAWORK_SEED") or secrets.randbelow(1_000_000))
    print(f"\nfive minutes on {ha} with HAWORK_SEED={seed}")
    with UnderFire(tmp_path, seed, ha) as fire:
        faults = fire.rage(seconds=SECONDS)
    wrong = fire.check()
    terms = len({each.session_id for each in fire.seen if each is not None})
    print(f"{faults} faults, {terms} leaders, found after each: {dict(fire.led)}")
    print(f"Flink believed to lead beside another one {len(wrong)} times", *wrong, sep="\n  ")
    assert fire.led.keys() == {"hawork", "flink"}
