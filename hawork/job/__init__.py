"""Writing jobs: a pipeline from a replayable source through functions to a transactional sink.

A job is a module with a function that builds a pipeline from a config, nothing executed at
import::

    from hawork.job import CsvSource, FileSink, Pipeline

    def delays(config):
        return (
            Pipeline("departure-delays")
            .source(CsvSource(config["flights"], records_per_second=config.get("rate")))
            .filter(lambda flight: flight["dep_delay"] != "NA")
            .key_by("carrier", "origin")
            .aggregate(count=1, minutes=lambda flight: float(flight["dep_delay"]))
            .sink(FileSink(config["output"]))
        )
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hawork.job.artifact import Artifact, check_artifact, pack_artifact, unpack_artifact
    from hawork.job.entry_point import load_entry_point, parse_entry_point
    from hawork.job.file_sink import FileSink, read_output
    from hawork.job.file_sources import CsvSource, LinesSource
    from hawork.job.pipeline import Pipeline
    from hawork.job.sinks import Sink, SinkWriter, SubtaskContext
    from hawork.job.sources import SequenceSource, Source, SourceReader

__all__ = [
    "Artifact",
    "CsvSource",
    "FileSink",
    "LinesSource",
    "Pipeline",
    "SequenceSource",
    "Sink",
    "SinkWriter",
    "Source",
    "SourceReader",
    "SubtaskContext",
    "check_artifact",
    "load_entry_point",
    "pack_artifact",
    "parse_entry_point",
    "read_output",
    "unpack_artifact",
]

# Imported when first used: a JobManager needs artifacts, and never a source or a sink.
_HOMES = {
    "artifact": "Artifact check_artifact pack_artifact unpack_artifact",
    "entry_point": "load_entry_point parse_entry_point",
    "file_sources": "CsvSource LinesSource",
    "pipeline": "Pipeline",
    "file_sink": "FileSink read_output",
    "sinks": "Sink SinkWriter SubtaskContext",
    "sources": "SequenceSource Source SourceReader",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'hawork.job' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hawork.job.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
