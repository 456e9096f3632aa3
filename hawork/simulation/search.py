"""Which schedules to run: at random, and guided to where no schedule has been yet.

The guided search keeps a list of the points that a JobManager came to, each with the step that it
had reached last, and lets each kind of fault strike at each of them once: mostly in the schedule
that came there first, after the faults that led there, where it is sure to strike; else in another
one. What a new schedule comes to first is added. Writes and steps come before reads, and what
leaves a deposed leader or a half-done write behind before all else; of that, a leader that stands
still for long just before each of its writes has a list of its own: that is what fences are for.
One schedule in three looks for an ordered pair of steps of two JobManagers that none has come to: a
leader dies or stands still at the first of them, after another fault perhaps, in a schedule of two
jobs, so that the next leader does whatever there is to be done. One in six draws its faults.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from hawork.core.steps import STEPS
from hawork.simulation.cluster import SIZES, TWO_JOBS
from hawork.simulation.faults import JOB_MANAGER_STEPS, KINDS, Order
from hawork.simulation.schedule import Outcome, run
from hawork.simulation.seed import Seed

_Point = tuple[str, str | None]

_HARD = (
    "crash", "crash-after", "long-pause", "long-pause-after", "lost", "refused", "no-tasks", "hang",
)  # fmt: skip
_READS = (".read", ".list", ".watch", ".begin")
_WRITES = (".lock", ".create", ".patch", ".delete", ".transaction", ".write", ".rename")
_MOST_ORDERS = 3
_TURNS = ("drawn", "pair", "fence", "first", "pair", "first")
"""What one schedule after the other looks for."""
PAIRS = frozenset(itertools.product(JOB_MANAGER_STEPS, repeat=2))
"""Steps of two JobManagers, in order."""
_THERE = 0.7
"""How many faults strike in the schedule that came to their point first."""


@dataclass
class Coverage:
    """What a number of schedules came to, in figures."""

    schedules: int = 0
    steps: set[str] = field(default_factory=set)
    pairs: set[tuple[str, str]] = field(default_factory=set)
    """Steps of two JobManagers in this order, the second one's before any other of the first."""
    points: set[_Point] = field(default_factory=set)

    def add(self, outcome: Outcome) -> None:
        self.schedules += 1
        self.points |= outcome.reached
        last: dict[str, str] = {}
        for process, step, _ in outcome.steps:
            self.steps.add(step)
            self.pairs.update((other, step) for name, other in last.items() if name != process)
            last[process] = step

    def merge(self, other: Coverage) -> None:
        self.schedules += other.schedules
        self.steps |= other.steps
        self.pairs |= other.pairs
        self.points |= other.points

    def __str__(self) -> str:
        possible = len(JOB_MANAGER_STEPS)
        missing = sorted(set(JOB_MANAGER_STEPS) - self.steps)
        return (
            f"{self.schedules:,} schedules: {len(self.steps)} of {possible} steps"
            + (f" (not {', '.join(missing)})" if missing else "")
            + f", {len(self.pairs)} of {possible**2} ordered pairs of steps of two JobManagers, "
            f"{len(self.points)} points"
        )


def random_seeds(backend: str, first: int = 0) -> Iterator[Seed]:
    """One schedule after the other."""
    number = first
    while True:
        yield Seed(backend, number)
        number += 1


class GuidedSearch:
    """Iterate for outcomes, for ever; ``coverage`` grows with them."""

    def __init__(self, backend: str, first: int = 0) -> None:
        self.coverage = Coverage()
        self._backend = backend
        self._number = first
        self._random = Random(f"{backend}:{first}")
        self._fenced: deque[Seed] = deque()
        self._first: deque[Seed] = deque()
        self._then: deque[Seed] = deque()
        self._known: set[_Point] = set()

    def __iter__(self) -> Iterator[Outcome]:
        for kind in itertools.cycle(_TURNS):
            if kind == "pair" and (missing := self._missing()):
                yield self._run(self._towards(self._random.choice(missing)))
                continue
            waiting = (
                (self._fenced, self._first, self._then)
                if kind == "fence"
                else (self._first, self._fenced, self._then)
            )
            todo = next(filter(None, waiting), None) if kind != "drawn" else None
            yield self._run(todo.popleft() if todo else self._seed(()))

    def _missing(self) -> list[str]:
        """Steps that another JobManager's steps are missing after, once for each of those."""
        return [first for first, _ in sorted(PAIRS - self.coverage.pairs)]

    def _towards(self, step: str) -> Seed:
        """A leader ends its work at this step, and the next one finds as much to do as may be."""
        random = self._random
        last = Order(
            random.choice(("crash", "crash", "long-pause")), step, random.choice((1, 1, 2))
        )
        more = Order(
            random.choice(("crash", "long-pause")),
            random.choice(JOB_MANAGER_STEPS),
            random.choice((1, 2)),
        )
        number = self._number + (TWO_JOBS - self._number) % SIZES
        self._number = number + 1
        return Seed(self._backend, number, random.choice(((last,), (last,), (more, last))))

    def _run(self, seed: Seed) -> Outcome:
        outcome = run(seed)
        self.coverage.add(outcome)
        fresh = sorted(
            (each for each in outcome.reached if each not in self._known),
            key=lambda each: (each[0], each[1] or ""),
        )
        self._known.update(fresh)
        pairs = [(kind, point) for point in fresh for kind in KINDS]
        self._random.shuffle(pairs)
        for kind, point in pairs:
            # One that stands still between two reads acts on what is not so any more.
            label, step = point
            if kind == "long-pause" and step is not None and label.endswith(_WRITES):
                self._fenced.append(self._extended(seed, kind, point))
                continue
            reads = label.endswith(_READS) and kind != "long-pause"
            mild = reads or (kind == "hang" and not label.startswith("storage."))
            hard = kind in _HARD and not mild
            (self._first if hard else self._then).append(self._extended(seed, kind, point))
        return outcome

    def _extended(self, seed: Seed, kind: str, point: _Point) -> Seed:
        label, step = point
        after = None if label in STEPS else step
        if seed.orders and self._random.random() < _THERE:
            before = seed.orders[: _MOST_ORDERS - 1]
            return Seed(seed.backend, seed.number, (*before, Order(kind, label, 1, after)))
        order = Order(kind, label, self._random.choices((1, 2, 3), (6, 3, 1))[0], after)
        if self._random.random() < 0.5:
            return self._seed((order,))
        first = Order(
            self._random.choice(("crash", "crash", "long-pause")),
            self._random.choice(JOB_MANAGER_STEPS),
            self._random.choices((1, 2), (3, 1))[0],
        )
        return self._seed((first, order))

    def _seed(self, orders: tuple[Order, ...]) -> Seed:
        self._number += 1
        return Seed(self._backend, self._number - 1, orders)
