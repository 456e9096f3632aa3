"""The fewest faults that still break a promise: delta debugging over the numbers of a drill.

Source: Zeller and Hildebrandt, *Simplifying and Isolating Failure-Inducing Input* (2002).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from hawork.lab.nemesis.drill import DrillReport

RUNS = 24
"""Drills that are run at most: what is found by then is told."""


def fewest(
    report: DrillReport,
    run: Callable[[Sequence[int]], DrillReport],
    *,
    runs: int = RUNS,
    tell: Callable[[str], None] = lambda _: None,
) -> DrillReport:
    """The smallest drill found that breaks a promise which ``report`` broke, too.

    ``run`` does a drill of the faults with these numbers, on a new cluster. Processes are not
    deterministic, so a smaller drill that kept the promise once may break it another time.
    """
    wanted = {breach.promise for breach in report.breaches}
    best, numbers = report, [deed.number for deed in report.done]
    parts = 2
    while wanted and len(numbers) > 1 and runs > 0:
        for tried in _tries(numbers, parts):
            if runs <= 0:
                break
            runs -= 1
            found = run(tried)
            broken = wanted & {breach.promise for breach in found.breaches}
            tell(f"faults {', '.join(map(str, tried))}: {', '.join(sorted(broken)) or 'kept'}")
            if broken:
                best, parts = found, max(2, parts - 1) if len(tried) > len(numbers) // 2 else 2
                numbers = list(tried)
                break
        else:
            if parts >= len(numbers):
                break
            parts = min(2 * parts, len(numbers))
    return best


def _tries(numbers: Sequence[int], parts: int) -> list[Sequence[int]]:
    """Each part alone, then all others without it."""
    bounds = [len(numbers) * index // parts for index in range(parts + 1)]
    pieces = [numbers[start:end] for start, end in itertools.pairwise(bounds)]
    rest = [[number for number in numbers if number not in piece] for piece in pieces if parts > 2]
    return [*pieces, *rest]
