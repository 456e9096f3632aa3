"""Table and picture of several programs measured alike, printed or written into ``docs``."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.figures import machine

DOCS = Path(__file__).resolve().parents[2] / "docs"
_COLORS = ("#1f77b4", "#9ecae1", "#d6604d")


@dataclass
class Comparison:
    """Rows of samples for each program. The last program is what the others are compared with."""

    programs: Sequence[str]
    _rows: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)
    _given_up: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, what: str, unit: str, program: str, samples: Sequence[float]) -> None:
        self._rows.setdefault((what, unit), {})[program] = list(samples)
        print(f"  {program}: {what}: {_cell(list(samples))} {unit}", flush=True)

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
                _cell(samples.get(program)) or self._given_up.get((what, program), "")
                for program in self.programs
            ]
            lines.append("| " + " | ".join([*cells, self._ratio(samples)]) + " |")
        return "\n".join(lines)

    def print(self) -> None:
        print(f"\nSide by side: median (least .. largest) ({machine()})\n")
        print(self.table(), flush=True)

    def write(self, ha: str) -> None:
        """Put the table between the marks of ``docs/benchmarks.md``, and the picture beside it."""
        page = DOCS / "benchmarks.md"
        begin, end = f"<!-- side by side: {ha} -->", "<!-- end -->"
        before, mark, rest = page.read_text(encoding="utf-8").partition(begin)
        _, closed, after = rest.partition(end)
        assert mark, f"{page} has no {begin}"
        assert closed, f"{page} has no {end} after {begin}"
        text = f"{before}{begin}\n\n{self.table()}\n\n{end}{after}"
        page.write_text(text, encoding="utf-8")
        self.picture(DOCS / "images" / f"side-by-side-{ha}.png")

    def picture(self, path: Path) -> None:
        """One small chart per row: a bar is a median, the line on it is the spread."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        columns = 3
        rows = -(-len(self._rows) // columns)
        figure = Figure(figsize=(11, 1.9 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        for place, ((what, unit), samples) in enumerate(self._rows.items(), start=1):
            axes = figure.add_subplot(rows, columns, place)
            for number, program in enumerate(self.programs):
                values = samples.get(program)
                if values is None:
                    continue
                median = statistics.median(values)
                spread = [[median - min(values)], [max(values) - median]]
                axes.barh(number, median, xerr=spread, color=_COLORS[number], ecolor="#333333")
            axes.set_yticks(range(len(self.programs)), self.programs, fontsize=8)
            axes.invert_yaxis()
            title = f"{what} [{unit}]" if unit else what
            axes.set_title(textwrap.fill(title, 34), fontsize=9)
            axes.set_xlim(left=0)
            axes.tick_params(axis="x", labelsize=8)
        figure.savefig(path, format="png", dpi=100)

    def _count(self, samples: dict[str, list[float]]) -> int:
        return min(map(len, samples.values()))

    def _ratio(self, samples: dict[str, list[float]]) -> str:
        ours, theirs = samples.get(self.programs[0]), samples.get(self.programs[-1])
        if not ours or not theirs or not statistics.median(theirs):
            return ""
        return f"{statistics.median(ours) / statistics.median(theirs):.2g}"


def _cell(values: list[float] | None) -> str:
    if not values:
        return ""
    return f"{_short(statistics.median(values))} ({_short(min(values))} .. {_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 30 else f"{value:.3g}"
