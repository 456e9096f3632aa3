"""The clock by which leases are judged goes on while the host sleeps."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

import hawork
from hawork.core.clock import SYSTEM_CLOCK, SystemClock
from hawork.lessons import two_leaders


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's name of that clock")
def test_the_system_clock_is_the_one_that_counts_suspends(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= SYSTEM_CLOCK.monotonic() <= time.clock_gettime(time.CLOCK_BOOTTIME)
    # As after an hour of suspend: the two clocks of the kernel have come apart.
    clocks = {time.CLOCK_MONOTONIC: 100.0, time.CLOCK_BOOTTIME: 3700.0}
    monkeypatch.setattr(time, "clock_gettime", clocks.__getitem__)
    assert SYSTEM_CLOCK.monotonic() == 3700.0


def test_a_machine_without_such_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> float:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(time, "clock_gettime", unknown)
    assert SystemClock().monotonic() <= time.monotonic()


def test_whatever_judges_a_lease_or_a_heartbeat_reads_the_clock() -> None:
    """``time.monotonic`` stands still during a suspend: it is for the supervisor's patience.

    And for the moment at which a lab hears that a process has ended, which the nemesis compares
    with the moments of its own deeds.
    """
    package = Path(hawork.__file__).parent
    folders = [package / name for name in ("core", "ha", "backends", "job", "runtime")]
    found = [
        str(path.relative_to(package))
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        if "time.monotonic()" in path.read_text(encoding="utf-8")
    ]
    assert found == ["core/clock.py", "runtime/process_control.py", "runtime/supervisor.py"]


def test_what_the_lesson_on_leases_shows() -> None:
    assert two_leaders(10.0, counted=False) == pytest.approx(1.4, abs=0.02)
    assert two_leaders(10.0, counted=True) == 0.0
    assert two_leaders(0.5, counted=False) == two_leaders(0.5, counted=True) == 0.0
