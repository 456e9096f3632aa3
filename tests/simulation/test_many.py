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
MOST = 2 * GUIDED
"""How far a search goes on that has not come to all pairs yet: a change of the core moves that."""


def test_guided_schedules_come_out_right_and_go_everywhere(backend: str) -> None:
    search = GuidedSearch(backend, first=1_100_000)
    coverage = search.coverage
    wrong = []
    for count, outcome in enumerate(itertools.islice(search, MOST), start=1):
        wrong += [] if outcome.ok else [outcome]
        if count >= GUIDED and coverage.pairs == PAIRS:
            break
    assert not wrong, "\n".join(map(str, wrong[:5]))
    assert coverage.steps == set(JOB_MANAGER_STEPS)
    assert coverage.pairs == PAIRS, f"{coverage}; not {sorted(PAIRS - coverage.pairs)}"
    assert str(coverage).startswith(f"{count} schedules: {len(coverage.steps)} of")


def test_random_schedules_come_out_right(backend: str) -> None:
    wrong = [each for each in (run(Seed(backend, n)) for n in range(RANDOM)) if not each.ok]
    assert not wrong, "\n".join(map(str, wrong[:5]))
