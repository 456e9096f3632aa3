"""Small jobs for the tests of the lab; packed as an artifact."""

from __future__ import annotations

from typing import Any

from hawork.job import FileSink, Pipeline, SequenceSource


def count(config: dict[str, Any]) -> Pipeline:
    emit = "final" if "end" in config else "checkpoint"
    return (
        Pipeline("count")
        .source(SequenceSource(0, config.get("end"), records_per_second=config.get("rate")))
        .key_by(lambda number: number % 3)
        .aggregate(count=1, total=lambda number: number, emit=emit)
        .sink(FileSink(config["output"]))
    )


def broken(config: dict[str, Any]) -> Pipeline:
    return Pipeline("broken").source(SequenceSource(end=5)).map(_fail).sink(
        FileSink(config["output"])
    )  # fmt: skip


def _fail(number: int) -> int:
    raise RuntimeError(f"cannot stand {number}")
