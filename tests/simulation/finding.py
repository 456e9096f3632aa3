"""Which seed finds a defect first."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from hawork.simulation import Defect, GuidedSearch, Outcome


@dataclass(frozen=True, slots=True)
class Found:
    """After how many schedules, and by which."""

    schedules: int
    outcome: Outcome


def find(defect: Defect, most: int) -> Found | None:
    """Have the defect, and search; ``None`` after ``most`` schedules on each backend."""
    with defect.applied():
        return find_in(defect, most)


def find_in(defect: Defect, most: int) -> Found | None:
    """The same where the defect is applied already."""
    searches = [iter(GuidedSearch(backend)) for backend in defect.backends]
    for number, search in enumerate(itertools.cycle(searches), 1):
        if number > most * len(searches):
            return None
        outcome = next(search)
        if not outcome.ok:
            return Found(number, outcome)
    return None
