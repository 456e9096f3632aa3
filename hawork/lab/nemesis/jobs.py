"""The jobs of a drill: their exact output follows from ``end`` alone."""

from __future__ import annotations

from typing import Any

from hawork.job import FileSink, Pipeline, SequenceSource

KEYS = 7


def numbers(config: dict[str, Any]) -> Pipeline:
    """Every number comes out once; committed with each checkpoint."""
    return (
        Pipeline("numbers")
        .source(SequenceSource(0, config["end"], records_per_second=config["rate"]))
        .map(lambda number: {"number": number})
        .sink(FileSink(config["output"]))
    )


def sums(config: dict[str, Any]) -> Pipeline:
    """How many numbers there are of each remainder, and their sum; committed at the end."""
    return (
        Pipeline("sums")
        .source(SequenceSource(0, config["end"], records_per_second=config["rate"]))
        .key_by(lambda number: number % KEYS)
        .aggregate(count=1, total=lambda number: number)
        .sink(FileSink(config["output"]))
    )
