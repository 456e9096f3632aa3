"""Records per second of one subtask on real data, against the same work as a plain loop."""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hawork.core.types import JobID
from hawork.job import SubtaskContext
from hawork.job.subtask import Subtask
from hawork.lab.demo_jobs.flights_job import delays
from hawork.lab.flights import RECORDS, flights_csv
from tests.benchmarks.figures import Table

ROUNDS = 5


def test_flights_per_second(tmp_path: Path) -> None:
    """The job of the demo, without processes and checkpoints."""
    flights = flights_csv()
    loop, pipeline = [], []
    for number in range(ROUNDS):
        loop.append(RECORDS / seconds(lambda: run_loop(flights)))
        output = tmp_path / f"output-{number}"
        pipeline.append(RECORDS / seconds(partial(run_pipeline, flights, output)))
    table = Table(f"Delays of {RECORDS:,} flights, one subtask", "records/s", digits=0)
    table.add("csv.DictReader and a dict", loop)
    table.add("CsvSource, filter, key_by, aggregate, FileSink", pipeline)
    table.print()


def run_loop(flights: Path) -> None:
    totals: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    with flights.open(newline="") as file:
        for flight in csv.DictReader(file):
            if flight["dep_delay"] != "NA":
                total = totals[flight["carrier"], flight["origin"]]
                total[0] += 1
                total[1] += float(flight["dep_delay"])


def run_pipeline(flights: Path, output: Path) -> None:
    pipeline = delays({"flights": str(flights), "output": str(output)})
    subtask = Subtask(pipeline, SubtaskContext(JobID.random(), 0, 1, "benchmark"))
    while subtask.advance() is not None:
        continue
    subtask.snapshot(1)
    subtask.notify_complete(1)


def seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
