"""The flights as a job that a lesson can begin, hurry and end, on either engine."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from hawork.client.job_details import JobDetails
from hawork.core.calls import checked
from hawork.core.errors import JobNotFoundError, LabError
from hawork.lab import flights
from hawork.lab.cluster import LabCluster
from hawork.lab.flink.cluster import FlinkCluster
from hawork.lab.flink.job import FlinkJob
from hawork.lab.job import Job
from hawork.lessons.labs import cancel_earlier

if TYPE_CHECKING:
    import pandas

__all__ = ["FlightsStream", "flights_stream"]

_AT_FIRST = 100_000
"""Flights that a job of Flink finds; the others arrive when it is to hurry."""


class FlightsStream:
    """A job over all flights: slow enough to be read beside, until it is told to hurry.

    A job of hawork reads its rate from a file whenever an attempt starts; the source of Flink's is
    a directory, into which the flights come.
    """

    def __init__(self, lab: LabCluster | FlinkCluster, entry_point: str, rate: int) -> None:
        # Run again, a cell gives its slots to the new job; each job has an output of its own.
        cancel_earlier(lab)
        number = len(lab.jobs)
        output = lab.directory / f"delays-{number}"
        self._arrivals: flights.Arrivals | None = None
        self._rate = lab.directory / f"rate-{number}"
        self.job: Job
        if isinstance(lab, FlinkCluster):
            self._arrivals = flights.Arrivals(lab.directory / f"arrivals-{number}")
            self._arrivals.bring(_AT_FIRST)
            config: dict[str, Any] = {"flights": self._arrivals.directory, "output": output}
            self.job = lab.submit(str(flights.FLINK_JOB), config)
        else:
            self._rate.write_text(str(rate))
            config = {"flights": flights.flights_csv(), "rate": self._rate, "output": output}
            self.job = lab.submit(
                entry_point, config, parallelism=2, expected_records=flights.DEPARTED
            )

    async def running(self) -> Job:
        """The job, once it has read some flights; ``LabError`` when it has ended already.

        >>> job = await stream.running()                                   # doctest: +SKIP
        """
        with contextlib.suppress(JobNotFoundError):  # a new leader of Flink may not have it yet
            status = (await asyncio.to_thread(lambda: self.job.details)).status
            if status.globally_terminal:
                raise LabError(
                    f"the job has ended meanwhile ({status}), and what comes now needs one that "
                    "runs: run the cell with flights_stream again, and then this one"
                )
        if isinstance(self.job, FlinkJob):
            await self.job.output_until(lambda rows: len(rows) > 0, timeout=120.0)
        else:
            await self.job.running(1_000)
        return self.job

    def hurry(self) -> None:
        """Let the next attempt read fast; in Flink let all other flights arrive.

        >>> stream.hurry()                                                 # doctest: +SKIP
        """
        if self._arrivals is None:
            self._rate.write_text("40000")
        else:
            self._arrivals.bring_all()

    async def finished(self) -> JobDetails:
        """What became of the job, once it has counted every flight.

        >>> (await stream.finished()).status                               # doctest: +SKIP
        """
        self.hurry()
        if isinstance(self.job, FlinkJob):
            await self.job.output_until(_counts_every_flight, timeout=120.0)
            return await self.job.stop()  # it would wait for flights for ever
        return await self.job.finished()


def _counts_every_flight(rows: pandas.DataFrame) -> bool:
    return bool(rows["count"].sum() >= flights.DEPARTED)


@checked
def flights_stream(
    lab: LabCluster | FlinkCluster, entry_point: str, rate: int = 600
) -> FlightsStream:
    """Submit the flights: ``entry_point`` to hawork, the same job as SQL to Flink.

    ``rate`` is in flights per second, of hawork's job until it hurries: nine minutes for all.

    >>> stream = flights_stream(lab, "flights.py:delays")                  # doctest: +SKIP
    """
    return FlightsStream(lab, entry_point, rate)
