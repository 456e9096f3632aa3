"""How cost grows with a number: a table for each thing that there can be many of."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.benchmarks.figures import machine
from tests.benchmarks.pages import cell, keep


@dataclass
class Growth:
    """Samples of costs, by how many there were of something."""

    of: str
    """What there are more and more of, and the name of the table in ``docs/benchmarks.md``."""
    _samples: dict[tuple[str, str], dict[int, Sequence[float]]] = field(default_factory=dict)

    def add(self, what: str, line: str, count: int, samples: Sequence[float]) -> None:
        """``what`` is measured, with its unit; ``line`` tells rows of the same chart apart."""
        self._samples.setdefault((what, line), {})[count] = samples
        print(f"  {count:,} {self.of}: {what}, {line}: {cell(samples)}", flush=True)

    def table(self) -> str:
        """A row for each line: median and spread by number, and how it grows in the end."""
        counts = sorted({count for samples in self._samples.values() for count in samples})
        head = ["what", "of", *(f"{count:,}" for count in counts), "grows with"]
        lines = [_row(head), "| --- | --- |" + " --: |" * (len(counts) + 1)]
        for (what, line), samples in self._samples.items():
            medians = {count: statistics.median(found) for count, found in samples.items()}
            cells = [cell(samples.get(count)) for count in counts]
            lines.append(_row([what, line, *cells, power(medians)]))
        return "\n".join(lines)

    def finish(self) -> None:
        """Print the table, and write it into the page where that is asked for."""
        print(f"\nScale, {self.of}: median (least .. largest) ({machine()})\n\n{self.table()}")
        keep(f"scale: {self.of}", self.table())


def power(medians: Mapping[int, float]) -> str:
    """``n^x``, from the two largest numbers: 1 is in proportion, 0 does not grow at all."""
    largest = sorted(medians.items())[-2:]
    if len(largest) < 2 or any(median <= 0 for _, median in largest):
        return ""
    (few, before), (many, after) = largest
    return f"n^{math.log(after / before) / math.log(many / few):.2f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
