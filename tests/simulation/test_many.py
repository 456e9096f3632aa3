"""Many schedules of the HA core on each backend; `make bench` runs a hundred thousand."""

from __future__ import annotations

import itertools

import pytest

from hawork.simulation import GuidedSearch, Seed, run
from hawork.simulation.faults import JOB_MANAGER_STEPS
from hawork.simulation.schedule import STORES
from hawork.simulation.search import PAIRS

pytestmark = [pytest.mark.timeout(900), pytest.mark.parametrize("backend", sorted(STORES))]

RANDOM, GUIDED = 190, 480
"""Of each backend; 2,010 in all."""


def test_guided_schedules_come_out_right_and_go_everywhere(backend: str) -> None:
    search = GuidedSearch(backend, first=1_100_000)
    wrong = [each for each in itertools.islice(search, GUIDED) if not each.ok]
    assert not wrong, "\n".join(map(str, wrong[:5]))
    coverage = search.coverage
    assert coverage.steps == set(JOB_MANAGER_STEPS)
    assert coverage.pairs == PAIRS, f"{coverage}; not {sorted(PAIRS - coverage.pairs)}"
    assert str(coverage).startswith(f"{GUIDED} schedules: {len(coverage.steps)} of")


def test_random_schedules_come_out_right(backend: str) -> None:
    wrong = [each for each in (run(Seed(backend, n)) for n in range(RANDOM)) if not each.ok]
    assert not wrong, "\n".join(map(str, wrong[:5]))
