"""The pictures of ``docs/benchmarks.md``, drawn from the tables of that page.

``python -m tests.benchmarks.pictures`` draws all of them anew.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.pages import DOCS, PAGE, Figure, figure, rows

LESS, MORE, OTHER, INK = "#0072b2", "#d55e00", "#56b4e9", "#333333"
_LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKS = ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times Flink's cost: of the medians, and the most that the samples could mean."""

    median: float
    least: float
    largest: float

    @classmethod
    def of(cls, ours: Figure, theirs: Figure) -> Ratio:
        return cls(
            ours.median / theirs.median,
            ours.least / theirs.largest,
            ours.largest / theirs.least if theirs.least else math.inf,
        )

    def in_words(self) -> str:
        if self.median == 0:
            return "none at all"
        if 0.95 < self.median < 1.05:
            return "as much"
        if self.median < 1:
            return f"{_rounded(1 / self.median)} times less"
        return f"{_rounded(self.median)} times as much"


Comparison = Mapping[str, Mapping[str, Figure]]
"""By what was measured, then by program."""


def comparison(text: str, name: str) -> Comparison:
    """The figures of a table of several programs, without its columns ``n`` and ``ratio``."""
    head, *body = rows(text, name)
    return {
        row[0]: {
            program: found
            for program, cell in zip(head[2:-1], row[2:-1], strict=True)
            if (found := figure(cell)) is not None
        }
        for row in body
    }


def draw_ratios(title: str, figures: Comparison, ours: str, other: str, theirs: str) -> Any:
    """One row for each measurement, on a logarithmic axis where Flink is 1."""
    compared = {what: found for what, found in figures.items() if ours in found}
    ratios = {
        what: Ratio.of(found[ours], found[theirs])
        for what, found in compared.items()
        if theirs in found
    }
    order = sorted(ratios, key=lambda what: ratios[what].median, reverse=True)
    alone = [what for what in compared if what not in ratios]
    figure_, axes = _figure(10.5, 0.36 * (len(order) + len(alone)) + 1.5)
    left = _lower_end([ratio for ratio in ratios.values() if ratio.least > 0])
    for place, what in enumerate(order):
        ratio = ratios[what]
        colour = LESS if ratio.median <= 1 else MORE
        shown = max(ratio.median, left)
        axes.plot(
            [shown, 1],
            [place, place],
            color=colour,
            alpha=0.25,
            linewidth=7,
            solid_capstyle="butt",
            zorder=1,
        )
        spread = max(ratio.least, left), max(ratio.largest, left)
        axes.plot(spread, [place, place], color=INK, linewidth=1.4, zorder=2)
        axes.plot(shown, place, "o" if ratio.median else "<", color=colour, markersize=8, zorder=3)
        if other in compared[what]:
            axes.plot(
                Ratio.of(compared[what][other], compared[what][theirs]).median,
                place, "o", markerfacecolor="white", markeredgecolor=OTHER, markersize=8, zorder=3,
            )  # fmt: skip
        axes.annotate(
            ratio.in_words(), (1.01, place), xycoords=("axes fraction", "data"),
            va="center", fontsize=9, color=colour,
        )  # fmt: skip
    for place in range(len(order), len(order) + len(alone)):
        axes.plot(left, place, "<", color=LESS, markersize=8)
        axes.annotate(
            "Flink did not come to its end", (1.01, place), xycoords=("axes fraction", "data"),
            va="center", fontsize=9, color=LESS,
        )  # fmt: skip
    axes.axvline(1, color=INK, linewidth=1.2)
    axes.set_xscale("log")
    axes.set_xlim(left / 1.3, max(3.0, max(r.median for r in ratios.values()) * 1.5))
    axes.set_yticks(range(len(order) + len(alone)), [_plain(each) for each in [*order, *alone]])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(
        f"multiples of {theirs}. Full: {ours}, with what the spread of both leaves open. "
        f"Hollow: {other}.",
        fontsize=9,
    )
    axes.set_title(f"{title}: left of the line hawork needs less", fontsize=12, loc="left")
    _tidy(axes)
    return figure_


def draw_growth(text: str, name: str) -> Any:
    """A small chart for each measurement of a table of growth, both axes logarithmic."""
    head, *body = rows(text, f"scale: {name}")
    counts = [int(cell.replace(",", "")) for cell in head[2:-1]]
    charts: dict[str, list[list[str]]] = {}
    for row in body:
        charts.setdefault(row[0], []).append(row)
    lines = list(dict.fromkeys(row[1] for row in body))
    columns = 4 if len(charts) == 4 else min(len(charts), 3)
    down = -(-len(charts) // columns)
    figure_, _ = _figure(3.3 * columns, 3.1 * down, empty=True)
    for place, (what, measured) in enumerate(charts.items(), start=1):
        axes = figure_.add_subplot(down, columns, place)
        for row in measured:
            style = lines.index(row[1])
            found = [
                (count, each)
                for count, cell in zip(counts, row[2:-1], strict=True)
                if (each := figure(cell)) is not None
            ]
            axes.errorbar(
                [count for count, _ in found],
                [each.median for _, each in found],
                yerr=[
                    [each.median - each.least for _, each in found],
                    [each.largest - each.median for _, each in found],
                ],
                color=_LINES[style], marker=_MARKS[style], markersize=5, linewidth=1.5,
                label=": ".join(filter(None, (row[1], row[-1]))),
            )  # fmt: skip
        _guide(axes, counts)
        axes.set_title(what, fontsize=9.5, loc="left")
        axes.set_xlabel(name, fontsize=9)
        axes.legend(fontsize=7.5, frameon=False)
        _tidy(axes)
    return figure_


def _guide(axes: Any, counts: Sequence[int]) -> None:
    """A dotted line of what grows in proportion, from the lower left corner."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = (
        10.0 ** round_(math.log10(end))
        for end, round_ in zip(axes.get_ylim(), (math.floor, math.ceil), strict=True)
    )
    axes.plot(counts, [low * count / counts[0] for count in counts], ":", color="#999999")
    axes.set_ylim(low, high)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.yaxis.set_minor_formatter(lambda *_: "")


def _figure(width: float, height: float, *, empty: bool = False) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(picture)
    return picture, None if empty else picture.add_subplot()


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _lower_end(ratios: Sequence[Ratio]) -> float:
    """The power of ten below all of them."""
    return float(10.0 ** math.floor(math.log10(min(ratio.least for ratio in ratios))))


def _plain(what: str) -> str:
    return re.sub(r" \[[^]]+\]$", "", what)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    supervised, alone, flink = "hawork, supervisor", "hawork, no supervisor", "Flink 1.20.5"
    for ha, title in (("zookeeper", "ZooKeeper"), ("kubernetes", "Kubernetes")):
        figures = comparison(text, f"side by side: {ha}")
        picture = draw_ratios(title, figures, supervised, alone, flink)
        _save(picture, f"side-by-side-{ha}")
    for name in re.findall(r"<!-- scale: ([^>]+) -->", text):
        _save(draw_growth(text, name), f"scale-{name.replace(' ', '-')}")


def _save(picture: Any, name: str) -> None:
    path = DOCS / "images" / f"{name}.png"
    picture.savefig(path, format="png", dpi=100)
    print(path)


if __name__ == "__main__":
    main()
