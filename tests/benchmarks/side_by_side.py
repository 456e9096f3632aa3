"""The table of several programs measured alike, printed or written into ``docs``."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.benchmarks.figures import machine
from tests.benchmarks.pages import cell, keep


@dataclass
class Comparison:
    """Rows of samples for each program. The last program is what the others are compared with."""

    programs: Sequence[str]
    _rows: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)
    _given_up: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, what: str, unit: str, program: str, samples: Sequence[float]) -> None:
        self._rows.setdefault((what, unit), {})[program] = list(samples)
        print(f"  {program}: {what}: {cell(list(samples))} {unit}", flush=True)

    def give_up(self, what: str, program: str, why: str) -> None:
        """Say in the table why a row has no samples of a program."""
        self._given_up[what, program] = why
        print(f"  {program}: {what}: {why}", flush=True)

    def table(self) -> str:
        """Median and spread per program, and the ratio of the first one's median to the last's."""
        head = ["what", "n", *self.programs, "ratio"]
        lines = ["| " + " | ".join(head) + " |", "| --- |" + " --: |" * (len(head) - 1)]
        for (what, unit), samples in self._rows.items():
            cells = [f"{what} [{unit}]" if unit else what, str(self._count(samples))]
            cells += [
                cell(samples.get(program)) or self._given_up.get((what, program), "")
                for program in self.programs
            ]
            lines.append("| " + " | ".join([*cells, self._ratio(samples)]) + " |")
        return "\n".join(lines)

    def print(self) -> None:
        print(f"\nSide by side: median (least .. largest) ({machine()})\n")
        print(self.table(), flush=True)

    def keep(self, name: str) -> None:
        """Put the table between the marks of ``docs/benchmarks.md``, if that is asked for."""
        keep(f"side by side: {name}", self.table())

    def _count(self, samples: dict[str, list[float]]) -> int:
        return min(map(len, samples.values()))

    def _ratio(self, samples: dict[str, list[float]]) -> str:
        ours, theirs = samples.get(self.programs[0]), samples.get(self.programs[-1])
        if not ours or not theirs or not statistics.median(theirs):
            return ""
        return f"{statistics.median(ours) / statistics.median(theirs):.2g}"
