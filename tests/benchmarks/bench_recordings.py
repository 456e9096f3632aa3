"""Recordings made anew by real Flink show the same as those that the lessons replay."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hawork.lessons.recorder import record
from tests.benchmarks.figures import Table
from tests.recorded_facts import SHOWN, opened


@pytest.mark.parametrize(
    "name", ["standby-rest", "half-submission", "crash-kubernetes", "cut-off-publishing"]
)
def test_a_recording_made_anew(name: str, tmp_path: Path) -> None:
    began = time.monotonic()
    record(name, tmp_path / f"{name}.zip")
    took = time.monotonic() - began
    SHOWN[name](opened(name, tmp_path))
    table = Table("A recording made anew", "s", digits=0)
    table.add(name, [took])
    table.print()
