"""An output held against what it should be, value by value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from hawork.core.calls import checked

if TYPE_CHECKING:
    import pandas

_JOB = "job_id"


@runtime_checkable
class Comparison(Protocol):
    """An output held against what it should be, such as ``flights.compare`` gives."""

    @property
    def records(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def duplicated(self) -> int: ...
    @property
    def different(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Exactness:
    """How many values are missing, and how many are there too often or should not be there."""

    records: int
    lost: int
    duplicated: int
    different: int = 0
    job_id: str | None = field(default=None, repr=False, compare=False)

    @property
    def equal(self) -> bool:
        return not (self.lost or self.duplicated or self.different)

    def __str__(self) -> str:
        verdict = "exact" if self.equal else "NOT exact"
        return (
            f"{verdict}: {self.records:,} records, {self.lost} lost, {self.duplicated} duplicated"
        )


@checked
def compare_values(found: Iterable[Hashable], expected: Iterable[Hashable]) -> Exactness:
    """Compare what a job wrote with what it should have written, in any order.

    >>> print(compare_values([1, 2, 2], [1, 2, 3]))
    NOT exact: 3 records, 1 lost, 1 duplicated
    """
    there, wanted = Counter(found), Counter(expected)
    return Exactness(
        there.total(), (wanted - there).total(), (there - wanted).total(), job_id=job_of(found)
    )


def of_job(output: pandas.DataFrame, job_id: str) -> pandas.DataFrame:
    """``output``, and whose it is: pandas hands that on to columns and selections."""
    output.attrs[_JOB] = str(job_id)
    return output


def job_of(output: object) -> str | None:
    """Whose ``output()`` this is, or is a part of; ``None`` when nothing says so."""
    job_id = getattr(output, "attrs", {}).get(_JOB)
    return str(job_id) if job_id is not None else None
