"""The job of an incident: numbers, ten keys, one sum for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hawork.job import FileSink, Pipeline, SequenceSource


def sums(config: Mapping[str, Any]) -> Pipeline:
    """Count and sum the numbers by their last digit."""
    return (
        Pipeline("sums")
        .source(SequenceSource(end=config["end"], records_per_second=config["rate"]))
        .map(lambda number: {"digit": number % 10, "number": number})
        .key_by("digit")
        .aggregate(count=1, total=lambda row: row["number"])
        .sink(FileSink(config["output"]))
    )
