"""Sources give the same records again from every position."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hawork.core.errors import JobExecutionError
from hawork.job import CsvSource, LinesSource, SequenceSource, Source
from hawork.job.rate_limiter import RateLimiter
from hawork.testing import ManualClock

PACKINGS = ["", ".gz", ".zip"]


def pack(path: Path, data: bytes, packing: str) -> Path:
    """Write a file, plain or compressed as its name says."""
    path = path.with_name(path.name + packing)
    if packing == ".gz":
        path.write_bytes(gzip.compress(data))
    elif packing == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data.csv", data)
    else:
        path.write_bytes(data)
    return path


def read_all(source: Source, position: Any = None, limit: int = 7) -> list[Any]:
    records: list[Any] = []
    with contextlib.closing(source.open(position)) as reader:
        while (batch := reader.read(limit)) is not None:
            records += batch
    return records


def check_every_position(source: Source, expected: list[Any]) -> None:
    reader = source.open(None)
    for number in range(len(expected) + 1):
        position = json.loads(json.dumps(reader.position()))
        assert read_all(source, position) == expected[number:]
        reader.read(1)
    reader.close()


cells = st.text(st.sampled_from('aé",;\n\r 0€\U0001f600'), max_size=5)
tables = st.lists(st.tuples(cells, cells).filter(lambda row: any(row)), max_size=8)


@settings(max_examples=60, deadline=None)
@given(rows=tables, packing=st.sampled_from(PACKINGS), end=st.sampled_from(["\n", "\r\n"]))
def test_csv_goes_on_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    packing: str,
    end: str,
) -> None:
    directory = tmp_path_factory.mktemp("csv")
    with (directory / "plain.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerow(["one", "two"])
        writer.writerows(rows)
    data = (directory / "plain.csv").read_bytes()
    source = CsvSource(pack(directory / "in.csv", data, packing))
    check_every_position(source, [{"one": one, "two": two} for one, two in rows])


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_large_csv_goes_on_behind_a_chunk(tmp_path: Path, packing: str) -> None:
    rows = [f"{n},{'x' * (n % 50)}" for n in range(5000)]
    data = "\n".join(["n,text", *rows]).encode()
    source = CsvSource(pack(tmp_path / "in.csv", data, packing))
    reader = source.open(None)
    first = [reader.read(3000), reader.read(234)]
    rest = read_all(source, reader.position(), limit=1000)
    reader.close()
    records = [record for batch in (*first, rest) for record in batch or []]
    assert records == [{"n": str(n), "text": "x" * (n % 50)} for n in range(5000)]


def test_csv_with_a_byte_order_mark_blank_lines_and_semicolons(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b'\xef\xbb\xbf"a";b\r\n\r\n1;2\r\n\r\n\r\n3;4')
    check_every_position(
        CsvSource(path, delimiter=";"), [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "has no header"),
        (b"a,a\n1,2\n", "names a field twice"),
        (b"a,b\n1,2\n3\n", "record 1 of CSV file"),
        (b"a,b\n1,2\n3,4,5\n", "has 3 fields and the header has 2"),
        (b"a,b\n\xff,2\n", "cannot be read beyond record 0"),
        (b'a,b\n1,"2\n', "cannot be read beyond record 0"),
    ],
)
def test_a_damaged_csv_is_named(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(data)
    with pytest.raises(JobExecutionError, match="CSV file") as caught:
        read_all(CsvSource(path))
    assert reason in str(caught.value)


def test_input_that_is_missing_or_became_shorter_is_named(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    with pytest.raises(JobExecutionError, match="cannot be opened: No such file"):
        CsvSource(path).open(None)
    path.write_text("a\n1\n2\n3\n")
    reader = CsvSource(path).open(None)
    reader.read(3)
    position = reader.position()
    reader.close()
    path.write_text("a\n1\n")
    with pytest.raises(JobExecutionError, match="ends before byte 8"):
        CsvSource(path).open(position)


def test_a_zip_of_two_files_or_of_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "a\n")
        archive.writestr("b.csv", "b\n")
    with pytest.raises(JobExecutionError, match="holds 2 files"):
        CsvSource(path).open(None)
    path.write_bytes(b"no zip")
    with pytest.raises(JobExecutionError, match="is not a zip file"):
        CsvSource(path).open(None)


@pytest.mark.parametrize("packing", PACKINGS)
def test_lines_go_on_exactly(tmp_path: Path, packing: str) -> None:
    lines = ["first", "", "dritte Zeile: ä€", "last"]
    data = "\n".join(lines).encode()
    check_every_position(LinesSource(pack(tmp_path / "in.txt", data, packing)), lines)


def test_json_lines_are_values_and_a_bad_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"a": 1}\n[2]\n3\n')
    check_every_position(LinesSource(path), [{"a": 1}, [2], 3])
    path.write_text('{"a": 1}\n{\n')
    with pytest.raises(JobExecutionError, match="cannot be read beyond record 0"):
        read_all(LinesSource(path))


def test_numbers_go_on_exactly_and_for_ever() -> None:
    check_every_position(SequenceSource(3, 9), [3, 4, 5, 6, 7, 8])
    reader = SequenceSource().open(10**12)
    assert reader.read(2) == [10**12, 10**12 + 1]


def test_the_rate_is_kept_without_catching_up() -> None:
    clock = ManualClock()
    limiter = RateLimiter(1000.0, clock)
    assert limiter.permits() == 0, "nothing is saved up from before the start"
    clock.advance(0.05)
    assert limiter.permits() == 50
    limiter.spend(30)
    assert limiter.permits() == 20
    clock.advance(3600.0)
    assert limiter.permits() == 100, "a paused task does not catch up"


def test_a_slow_rate_waits_for_its_next_record() -> None:
    clock = ManualClock()
    limiter = RateLimiter(0.5, clock)
    assert limiter.permits() == 0
    assert limiter.delay() == pytest.approx(2.0)
    clock.advance(2.0)
    assert limiter.permits() == 1
    limiter.spend(1)
    clock.advance(1.5)
    assert limiter.permits() == 0
    assert limiter.delay() == pytest.approx(0.5)
