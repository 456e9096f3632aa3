"""Which seed finds a defect first."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from hawork.simulation import Defect, GuidedSearch, Outcome, Seed, run
from hawork.simulation.faults import Order

NAMED = {
    "a repeated submission of an ended job runs again": "crash@submit.acknowledged",
    "ended jobs are recovered": "crash@result.dirty+refused@storage.read/takeover.granted#2",
    "a result that cannot be stored is given up": "refused@kubernetes.patch/checkpoint.notified",
    "the jobs' maps are not claimed": "long-pause@kubernetes.patch/checkpoint.written",
    "a job is finished before its output is committed": "no-tasks@checkpoint.notified",
    "maps are claimed without another look at the lock": "crash@checkpoint.written"
    "+long-pause@kubernetes.read#12",
    "an election ends when the store does not answer": "lost@sqlite.commit#6",
    "who stood back does not take part again": "hang@storage.write/checkpoint.triggered",
}
"""By defect: the fewest faults that show it, in few schedules. The search has to come upon them."""


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


def find_named(defect: Defect, most: int) -> Found | None:
    """Have the defect, and let the faults strike that show it, in ``most`` schedules."""
    orders = tuple(Order.parse(each) for each in NAMED[defect.name].split("+"))
    with defect.applied():
        for number in range(most):
            backend = defect.backends[number % len(defect.backends)]
            outcome = run(Seed(backend, number, orders))
            if not outcome.ok:
                return Found(number + 1, outcome)
    return None
