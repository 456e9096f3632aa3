"""The tables of ``docs/benchmarks.md`` that are written by the benchmarks, and drawn from there."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "benchmarks.md"
_END = "<!-- end -->"
_CELL = re.compile(r"([\d.e+-]+) \(([\d.e+-]+) \.\. ([\d.e+-]+)\)")


class Figure(NamedTuple):
    """What a cell says."""

    median: float
    least: float
    largest: float


def cell(values: Sequence[float] | None) -> str:
    """``median (least .. largest)``."""
    if not values:
        return ""
    return f"{_short(statistics.median(values))} ({_short(min(values))} .. {_short(max(values))})"


def figure(text: str) -> Figure | None:
    """The inverse of ``cell``; ``None`` for a cell that holds no figure."""
    found = _CELL.fullmatch(text.strip())
    return Figure(*map(float, found.groups())) if found else None


def marked(text: str, name: str) -> tuple[str, str, str]:
    """What is before, in, and behind the part of a page that has this name."""
    begin = f"<!-- {name} -->"
    before, mark, rest = text.partition(begin)
    inside, closed, after = rest.partition(_END)
    assert mark, f"{PAGE} has no {begin}"
    assert closed, f"{PAGE} has no {_END} after {begin}"
    return before + begin, inside, _END + after


def rows(text: str, name: str) -> list[list[str]]:
    """The cells of the table of this name, its head first."""
    lines = [line for line in marked(text, name)[1].splitlines() if line.startswith("|")]
    cells = [[each.strip() for each in line.strip("|").split("|")] for line in lines]
    return [cells[0], *cells[2:]]


def keep(name: str, table: str) -> None:
    """Write a table into the page when ``HAWORK_BENCH_WRITE`` is set."""
    if not os.environ.get("HAWORK_BENCH_WRITE"):
        return
    before, _, after = marked(PAGE.read_text(encoding="utf-8"), name)
    PAGE.write_text(f"{before}\n\n{table}\n\n{after}", encoding="utf-8")


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 30 else f"{value:.3g}"
