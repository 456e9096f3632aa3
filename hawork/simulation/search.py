"""Which schedules to run: at random, and guided to where no schedule has been yet.

The guided search keeps a list of the points that a JobManager came to: a step, or a request with
the step that it had reached last. It lets each kind of fault that means something there strike at
each of them once: mostly in the schedule that came there first, after the faults that led there,
where it is sure to strike; else in another one. No point has a second kind before each has had one.
A leader that stands still for long just before each of its writes has a list of its own: that is
what fences are for. One schedule in four ends a leader's work at a step, in a schedule of two jobs,
so that the next leader does whatever there is to be done: at the first step of an ordered pair of
two JobManagers that none has come to, as long as there is one. A third of these, and later most,
are earlier ones with one fault more: at a request of the takeover that followed, which is where an
error meets half-done work. One schedule in eight draws its faults.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from hawork.core.steps import STEPS
from hawork.simulation.cluster import SIZES, TWO_JOBS
from hawork.simulation.faults import JOB_MANAGER_STEPS, KINDS, REQUEST, WRITES, Order
from hawork.simulation.schedule import Outcome, run
from hawork.simulation.seed import Seed

_Point = tuple[str, str | None]

_FENCED = tuple(each for each in WRITES if each != ".commit")
"""How the requests end before the first of which it is decided what is to be written."""
_MOST_ORDERS = 3
_AT_STEPS = ("no-tasks", "crash", "long-pause")
_AT_WRITES = ("refused", "lost", "crash-after", "crash", "long-pause-after", "no-tasks")
_AT_READS = ("long-pause", "refused")
_IN_TAKEOVER = ("refused", "refused", "refused", "lost", "lost", "crash", "crash", "long-pause")
_REVOKED = "leadership.revoked"
_WHILE_LEADING = ("takeover.published", "takeover.job_restored", "checkpoint.written")
_TURNS = ("leader", "first", "fence", "first", "leader", "first", "drawn", "first")
"""What one schedule after the other looks for."""
PAIRS = frozenset((first, then) for first in JOB_MANAGER_STEPS for then in JOB_MANAGER_STEPS)
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


class Untried:
    """Schedules by point: of the points at which fewest kinds were tried, the one found first."""

    def __init__(self) -> None:
        self._seeds: dict[_Point, list[Seed]] = {}
        self._rounds: defaultdict[int, deque[_Point]] = defaultdict(deque)

    def add(self, point: _Point, seeds: list[Seed]) -> None:
        if seeds:
            self._seeds[point] = seeds
            self._rounds[0].append(point)

    def take(self) -> Seed | None:
        for number in sorted(self._rounds):
            points = self._rounds[number]
            if points:
                point = points.popleft()
                seeds = self._seeds[point]
                seed = seeds.pop(0)
                if seeds:
                    self._rounds[number + 1].append(point)
                return seed
        return None


class GuidedSearch:
    """Iterate for outcomes, for ever; ``coverage`` grows with them."""

    def __init__(self, backend: str, first: int = 0) -> None:
        self.coverage = Coverage()
        self._backend = backend
        self._number = first
        self._random = Random(f"{backend}:{first}")
        self._fenced, self._first, self._then = Untried(), Untried(), Untried()
        self._known: set[_Point] = set()
        self._ends: defaultdict[str, list[tuple[Seed, list[tuple[str, int]]]]] = defaultdict(list)
        """By the step at which a leader ended: the schedule, and the requests that came then."""
        self._steps = itertools.cycle(JOB_MANAGER_STEPS)

    def __iter__(self) -> Iterator[Outcome]:
        for kind in itertools.cycle(_TURNS):
            if kind == "leader":
                seed = None
                if self._random.random() < (0.33 if self._missing() else 0.8):
                    seed = self._in_the_takeover()
                if seed is None:
                    outcome = self._run(self._end_of_a_leader())
                    self._note_end(outcome)
                    yield outcome
                else:
                    yield self._run(seed)
                continue
            first = (self._fenced, self._first) if kind == "fence" else (self._first, self._fenced)
            seed = None
            if kind != "drawn":
                seed = first[0].take() or first[1].take() or self._then.take()
            yield self._run(seed or self._seed(()))

    def _missing(self) -> list[tuple[str, str]]:
        """Steps of two JobManagers that no schedule has had in this order."""
        return sorted(PAIRS - self.coverage.pairs)

    def _end_of_a_leader(self) -> Seed:
        """A leader ends its work at a step, and the next one finds as much to do as may be."""
        random = self._random
        step, then = random.choice(self._missing() or [(random.choice(JOB_MANAGER_STEPS), None)])
        orders: tuple[Order, ...] = (
            Order(random.choice(("crash", "crash", "long-pause")), step, random.choice((1, 1, 2))),
        )
        if then == _REVOKED:
            # Which is what the next leader does of itself only when it stands still, too.
            orders = *orders, Order("long-pause", random.choice(_WHILE_LEADING), then=True)
        elif random.random() < 0.3:
            more = Order(
                random.choice(("crash", "long-pause")),
                random.choice(JOB_MANAGER_STEPS),
                random.choice((1, 2)),
            )
            orders = more, *orders
        number = self._number + (TWO_JOBS - self._number) % SIZES
        self._number = number + 1
        return Seed(self._backend, number, orders)

    def _in_the_takeover(self) -> Seed | None:
        """A second fault, in what came after such an end: where an error meets half-done work."""
        for step in itertools.islice(self._steps, len(JOB_MANAGER_STEPS)):
            if ends := self._ends.get(step):
                seed, requests = self._random.choice(ends)
                after, number = self._random.choice(requests)
                order = Order(self._random.choice(_IN_TAKEOVER), REQUEST, number, after, then=True)
                return Seed(seed.backend, seed.number, (*seed.orders, order))
        return None

    def _run(self, seed: Seed) -> Outcome:
        outcome = run(seed)
        self.coverage.add(outcome)
        # A step is looked for wherever its process came from.
        points = {(each[0], None) if each[0] in STEPS else each for each in outcome.reached}
        fresh = sorted(points - self._known, key=lambda each: (each[0], each[1] or ""))
        self._known.update(fresh)
        self._random.shuffle(fresh)
        for point in fresh:
            self._note(seed, point)
        return outcome

    def _note_end(self, outcome: Outcome) -> None:
        """The requests of the takeover that came after the end of a leader, if it came to that."""
        orders = outcome.seed.orders
        if len(outcome.faults) < len(orders) or orders[-1].then:
            return
        requests = [
            (step, number)
            for step, count in outcome.later.items()
            if step.startswith("takeover.")
            for number in range(1, count + 1)
        ]
        if requests:
            self._ends[orders[-1].label].append((outcome.seed, requests))

    def _note(self, seed: Seed, point: _Point) -> None:
        """A point to which no schedule had come: each kind of fault is to strike there."""
        label, _ = point
        hard: tuple[str, ...] = _AT_READS
        if label in STEPS:
            hard = _AT_STEPS
        elif label.endswith(WRITES):
            hard = _AT_WRITES
        if label.startswith("storage."):
            hard = (*hard, "hang")
        others = [each for each in KINDS if each not in hard]
        if label.endswith(_FENCED):
            self._fenced.add(point, [self._extended(seed, "long-pause", point)])
            others.remove("long-pause")
        self._random.shuffle(others)
        self._first.add(point, [self._extended(seed, each, point) for each in hard])
        self._then.add(point, [self._extended(seed, each, point) for each in others])

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
