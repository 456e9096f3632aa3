"""A hundred thousand schedules, and which deliberate defects are found by what."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from hawork.simulation import Coverage, GuidedSearch, Seed, run
from hawork.simulation.schedule import STORES
from tests.simulation.defects import DEFECTS
from tests.simulation.finding import find
from tests.simulation.with_defect import NUMBER

SCHEDULES = int(os.environ.get("HAWORK_SCHEDULES", "100000"))
_WORKERS = 2
_PORTION = 500
_MOST = 1800
"""Schedules after which a defect counts as not found."""
_UNIT_TESTS = (
    "job_result_store", "job_result_machine", "job_graph_store", "checkpoint_store", "cleanup",
    "state_handle_store", "checkpoint_id_counter", "dispatcher", "job_master", "lease_state",
    "leader_election", "checkpoint_errors", "standing_back", "ended_jobs", "ha_services",
)  # fmt: skip


def portion(backend: str, first: int, guided: bool) -> tuple[Coverage, list[str], float]:
    """Some schedules in a process of their own; the last is processor seconds."""
    coverage, wrong, began = Coverage(), [], time.process_time()
    schedules = GuidedSearch(backend, first) if guided else (
        run(Seed(backend, number)) for number in itertools.count(first)
    )  # fmt: skip
    for outcome in itertools.islice(schedules, _PORTION):
        coverage.add(outcome)
        if not outcome.ok:
            wrong.append(str(outcome))
    return coverage, wrong, time.process_time() - began


@pytest.mark.timeout(0)
def test_many_schedules() -> None:
    """Random and guided ones in turn, on each backend in turn."""
    jobs = [
        (backend, first, guided)
        for first in range(0, SCHEDULES, _PORTION * len(STORES) * 2)
        for backend in STORES
        for guided in (False, True)
    ][: SCHEDULES // _PORTION]
    total, wrong, started = {each: Coverage() for each in STORES}, [], time.monotonic()
    spent = 0.0
    with ProcessPoolExecutor(_WORKERS) as pool:
        for (backend, _, _), (coverage, found, processor) in zip(
            jobs, pool.map(portion, *zip(*jobs, strict=True)), strict=True
        ):
            total[backend].merge(coverage)
            wrong += found
            spent += processor
    seconds = time.monotonic() - started
    print(f"\n{SCHEDULES:,} schedules in {seconds:.0f} s: {SCHEDULES / seconds:.0f} a second")
    print(f"{spent:.0f} s of processor time, {1000 * spent / SCHEDULES:.1f} ms each")
    for backend, coverage in total.items():
        print(f"{backend}: {coverage}")
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.timeout(0)
def test_defects() -> None:
    """A table: each defect, after how many schedules it is found, and by unit tests or not."""
    with ProcessPoolExecutor(_WORKERS) as pool:
        simulated = list(pool.map(_simulated, range(len(DEFECTS))))
    with ProcessPoolExecutor(_WORKERS) as pool:
        units = list(pool.map(_found_by_unit_tests, range(len(DEFECTS))))
    print("\n| defect | simulation | unit tests |\n|---|---|---|")
    for defect, found, unit in zip(DEFECTS, simulated, units, strict=True):
        print(f"| {defect.name} | {found or 'not found'} | {'found' if unit else 'not found'} |")
    count = sum(found is not None for found in simulated)
    print(f"{count} of {len(DEFECTS)} by simulation, {sum(units)} by unit tests")
    assert count >= 38


def _simulated(number: int) -> str | None:
    """By the guided search alone: no fault is named that is known to show the defect."""
    defect = DEFECTS[number]
    found = find(defect, _MOST // len(defect.backends))
    if found is None:
        return None
    return f"schedule {found.schedules}, on {found.outcome.seed.backend}"


def _found_by_unit_tests(number: int) -> bool:
    folder = Path(__file__).parent.parent / "unit"
    files = [path for name in _UNIT_TESTS for path in sorted(folder.glob(f"test_*{name}*.py"))]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "tests.simulation.with_defect", *files],
        env={**os.environ, NUMBER: str(number)}, capture_output=True, check=False,
        cwd=folder.parent.parent,
    )  # fmt: skip
    return ended.returncode == 1
