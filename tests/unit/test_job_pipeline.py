"""Building pipelines: the shape of a job, and what is refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hawork.core.errors import ConfigurationError
from hawork.job import CsvSource, FileSink, LinesSource, Pipeline, SequenceSource
from hawork.job.keys import field_names

SOURCE = SequenceSource(end=3)
SINK = FileSink("/nowhere")


def keyed() -> Pipeline:
    return Pipeline("p").source(SOURCE).key_by(lambda number: number)


def test_each_call_returns_a_longer_pipeline_and_changes_none() -> None:
    begun = Pipeline("p").source(SOURCE)
    one, other = begun.map(str), begun.filter(bool)
    assert begun.operators == ()
    assert len(one.operators) == len(other.operators) == 1
    assert one.operators != other.operators


def test_a_pipeline_of_every_operator_is_complete() -> None:
    pipeline = (
        Pipeline("p")
        .source(SOURCE)
        .map(lambda number: {"n": number})
        .filter(bool)
        .flat_map(lambda record: [record])
        .key_by("n")
        .aggregate(count=1, n_sum=lambda record: record["n"])
        .map(lambda row: row)
        .sink(SINK)
    )
    assert pipeline.complete() is pipeline


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: Pipeline(" "), "is not a name"),
    (lambda: Pipeline("p").map(str), "has no source"),
    (lambda: Pipeline("p").sink(SINK), "has no source"),
    (lambda: Pipeline("p").complete(), "has no source"),
    (lambda: Pipeline("p").source(SOURCE).complete(), "has no sink"),
    (lambda: Pipeline("p").source(SOURCE).source(SOURCE), "second source"),
    (lambda: Pipeline("p").source([1, 2]), "as its source"),  # type: ignore[arg-type]
    (lambda: Pipeline("p").source(SOURCE).sink(SINK).sink(SINK), "second sink"),
    (lambda: Pipeline("p").source(SOURCE).sink("out"), "as its sink"),  # type: ignore[arg-type]
    (lambda: Pipeline("p").source(SOURCE).sink(SINK).map(str), "behind its sink"),
    (lambda: Pipeline("p").source(SOURCE).map(3), "write a function"),  # type: ignore[arg-type]
    (lambda: Pipeline("p").source(SOURCE).key_by(), "key_by without key"),
    (lambda: Pipeline("p").source(SOURCE).key_by("a", 3), "key_by without key"),  # type: ignore[arg-type]
    (lambda: keyed().key_by("a"), "second key_by"),
    (lambda: Pipeline("p").source(SOURCE).aggregate(count=1), "without key_by"),
    (lambda: keyed().map(str).aggregate(count=1), "without key_by"),
    (lambda: Pipeline("p").source(SOURCE).process(lambda record, state: None), "without key_by"),
    (lambda: keyed().aggregate(), "aggregates nothing"),
    (lambda: keyed().aggregate(count="1"), "a number or a function"),  # type: ignore[arg-type]
    (lambda: keyed().aggregate(count=True), "a number or a function"),
    (lambda: keyed().aggregate(emit="never", count=1), "one of final, checkpoint"),
    (
        lambda: Pipeline("p").source(SequenceSource()).key_by("n").aggregate(count=1),
        "emit='checkpoint'",
    ),
    (lambda: SequenceSource(5, 4), "before its start"),
    (lambda: SequenceSource(records_per_second=0), "records_per_second of SequenceSource is 0"),
    (lambda: CsvSource("/x.csv", records_per_second=-1), "records_per_second of CsvSource is -1"),
    (lambda: LinesSource("/x", format="xml"), "format 'xml'"),
    (lambda: FileSink("/x", format="parquet"), "format 'parquet'"),
]


@pytest.mark.parametrize(("build", "reason"), WRONG)
def test_a_wrong_pipeline_is_refused(build: Callable[[], Any], reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build()
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda row: (row["carrier"], row["origin"]), ("carrier", "origin")),
        (lambda row: row["carrier"], ("carrier",)),
        (lambda row: (row["carrier"], row["delay"] > 0), ()),
        (lambda row: row["carrier"].lower(), ()),
        (lambda row: (row["a"], row["a"]), ()),
        (lambda row: (row[0], row[1]), ()),
        (lambda number: number % 2, ()),
        (lambda row: {"a": row["a"]}, ()),
    ],
)
def test_fields_of_a_key_are_recognised(
    function: Callable[[Any], Any], names: tuple[str, ...]
) -> None:
    assert field_names(function) == names
