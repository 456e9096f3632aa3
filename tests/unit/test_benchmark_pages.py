"""The tables that the benchmarks write into the docs, and from which the pictures are drawn."""

from __future__ import annotations

import pytest

from tests.benchmarks.pages import PAGE, Figure, cell, figure
from tests.benchmarks.pictures import Ratio, comparison
from tests.benchmarks.scale import Growth, power


def test_a_cell_says_again_what_was_written_into_it() -> None:
    assert figure(cell([0.25, 1.0, 2.0])) == Figure(1.0, 0.25, 2.0)
    assert figure(cell([123_456.0])) == Figure(123_456.0, 123_456.0, 123_456.0)
    assert figure(cell([])) is None
    assert figure("not within 300 s") is None


@pytest.mark.parametrize("ha", ["zookeeper", "kubernetes"])
def test_what_is_drawn_is_in_the_page(ha: str) -> None:
    found = comparison(PAGE.read_text(encoding="utf-8"), f"side by side: {ha}")
    assert len(found) >= 10
    for what, programs in found.items():
        assert "hawork, supervisor" in programs, what
        assert set(programs) <= {"hawork, supervisor", "hawork, no supervisor", "Flink 1.20.5"}


def test_the_spread_of_a_ratio_is_what_the_samples_leave_open() -> None:
    ratio = Ratio.of(Figure(2.0, 1.0, 4.0), Figure(10.0, 8.0, 20.0))
    assert ratio == Ratio(0.2, 0.05, 0.5)
    assert ratio.in_words() == "5.0 times less"
    assert Ratio(13, 12, 14).in_words() == "13 times as much"
    assert Ratio(0.97, 0.9, 1.1).in_words() == Ratio(1, 1, 1).in_words() == "as much"
    assert Ratio(0, 0, 0).in_words() == "none at all"


def test_the_order_of_growth_is_that_between_the_two_largest_numbers() -> None:
    assert power({10: 1.0, 100: 5.0, 1000: 500.0}) == "n^2.00"
    assert power({10: 3.0, 1000: 3.0}) == "n^0.00"
    growth = Growth("jobs")
    growth.add("time [s]", "embedded", 10, [1.0, 2.0, 3.0])
    growth.add("time [s]", "embedded", 100, [20.0])
    assert growth.table().splitlines()[-1] == (
        "| time [s] | embedded | 2 (1 .. 3) | 20 (20 .. 20) | n^1.00 |"
    )
