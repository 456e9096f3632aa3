"""An output held against what it should be, value by value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exactness:
    """How many values are missing, and how many are there too often or should not be there."""

    records: int
    lost: int
    duplicated: int
    different: int = 0

    @property
    def equal(self) -> bool:
        return not (self.lost or self.duplicated or self.different)

    def __str__(self) -> str:
        verdict = "exact" if self.equal else "NOT exact"
        return (
            f"{verdict}: {self.records:,} records, {self.lost} lost, {self.duplicated} duplicated"
        )


def compare_values(found: Iterable[Hashable], expected: Iterable[Hashable]) -> Exactness:
    """Compare what a job wrote with what it should have written, in any order.

    >>> print(compare_values([1, 2, 2], [1, 2, 3]))
    NOT exact: 3 records, 1 lost, 1 duplicated
    """
    there, wanted = Counter(found), Counter(expected)
    return Exactness(there.total(), (wanted - there).total(), (there - wanted).total())
