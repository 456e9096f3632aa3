"""Departure delays of all flights from New York City in 2013, per carrier and origin.

This is the whole code of the job that ``hawork demo`` runs, and a pattern for your own: a
function that builds a pipeline from a config. Nothing is executed when it is imported.
"""

from __future__ import annotations

from typing import Any

from hawork.job import CsvSource, FileSink, Pipeline


def delays(config: dict[str, Any]) -> Pipeline:
    """Count the flights that departed, and add up their minutes of delay."""
    return (
        Pipeline("departure-delays")
        .source(CsvSource(config["flights"], records_per_second=config.get("rate")))
        .filter(lambda flight: flight["dep_delay"] != "NA")
        .key_by(lambda flight: (flight["carrier"], flight["origin"]))
        .aggregate(count=1, minutes=lambda flight: float(flight["dep_delay"]))
        .sink(FileSink(config["output"]))
    )
