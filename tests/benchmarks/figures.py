"""Tables of measured figures, aligned for a terminal and valid as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


def machine() -> str:
    """What the figures were measured on, in as few words as they deserve."""
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


@dataclass
class Table:
    """Rows of samples in one unit: number, median, least and largest, and a target."""

    title: str
    unit: str
    digits: int = 3
    first: str = "what"
    _rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, name: str, samples: Sequence[float], at_most: float | None = None) -> None:
        """One row; ``at_most`` is a target for the median."""
        median = statistics.median(samples)
        target = ""
        if at_most is not None:
            verdict = "met" if median <= at_most else "MISSED"
            target = f"{at_most:g} {verdict}"
        spread = f"{self._number(min(samples))} .. {self._number(max(samples))}"
        self._rows.append((name, str(len(samples)), self._number(median), spread, target))

    def print(self) -> None:
        header = (self.first, "n", f"median [{self.unit}]", "least .. largest", "at most")
        print(f"\n{self.title} ({machine()})\n")
        print_table(header, self._rows)

    def _number(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns: the first one to the left, the others to the right."""
    columns = range(len(header))
    widths = [max(2, *(len(row[column]) for row in (header, *rows))) for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    print(line(header))
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    print(line(rule))
    for row in rows:
        print(line(row))
    print(flush=True)
