"""A job of real Flink: the lab's ``Job``, with what only Flink has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawork.client.cluster_client import ClusterClient
from hawork.client.flink_rest import job_details, stored_result
from hawork.client.job_details import JobDetails
from hawork.client.waiting import Waiting
from hawork.core.calls import checked_calls
from hawork.core.configuration import Configuration
from hawork.core.errors import JobNotFoundError, LabError, RestError
from hawork.core.types import JobID
from hawork.inspect.files import files_below
from hawork.lab.job import JOB_POLL, Job
from hawork.story.comparison import of_job

if TYPE_CHECKING:
    import pandas


@checked_calls
class FlinkJob(Job):
    """A submitted SQL script or jar. Made by ``FlinkCluster.submit``.

    ``details.records`` are those that the sources sent on in the *present* attempt: Flink
    counts from zero after a restart. ``details.checkpoints`` are those of the present leader.
    """

    def __init__(
        self,
        client: Callable[[], ClusterClient],
        job_id: JobID,
        name: str,
        config: Mapping[str, Any],
        submission: Future[JobID],
        cluster: Configuration,
        columns: list[str],
        expected_records: int | None = None,
    ) -> None:
        super().__init__(client, job_id, name, config, submission, expected_records)
        self._cluster = cluster
        self._columns = columns

    @property
    def details(self) -> JobDetails:
        """The job as the leader sees it now, or how it ended, if a leader before knew that.

        >>> job.details.checkpoints                                         # doctest: +SKIP
        """
        client = self._client()
        try:
            self._last = job_details(client.get, self.job_id)
        except RestError as error:
            if error.status != 404:
                raise
            ended = stored_result(self._cluster, self.job_id)
            if ended is None:
                raise JobNotFoundError(f"the leader does not know job {self.job_id}") from None
            self._last = replace(ended, name=self.name)
        return self._last

    def stop(self, *, drain: bool = False, timeout: float = 60.0) -> Waiting[JobDetails]:
        """End a job that would run for ever: a savepoint, then FINISHED; wait for it.

        With ``drain`` all windows are closed first, as if time were over.

        >>> (await job.stop()).status                                       # doctest: +SKIP
        """
        body = {"targetDirectory": None, "drain": drain}
        self._client().request(
            "POST", f"/v1/jobs/{self.job_id}/stop", json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        return self.finished(timeout, progress=False)

    def output(self) -> pandas.DataFrame:
        """What the job has committed so far to the CSV files in ``config["output"]``.

        >>> job.output()["count"].sum()                                     # doctest: +SKIP
        """
        import pandas

        directory = self.config.get("output")
        if directory is None:
            raise LabError(
                f"job {self.name} has no 'output' in its config: read what its sink writes yourself"
            )
        parts = [
            pandas.read_csv(file, header=None, names=self._columns or None)
            for file in files_below(Path(directory))
            if not file.name.startswith((".", "_")) and file.stat().st_size
        ]
        found = (
            pandas.concat(parts, ignore_index=True)
            if parts
            else pandas.DataFrame(columns=self._columns)
        )
        return of_job(found, self.job_id)

    def output_until(
        self, enough: Callable[[pandas.DataFrame], bool], timeout: float | None = 120.0
    ) -> Waiting[pandas.DataFrame]:
        """Wait until what the job has committed is ``enough``; it is what is awaited.

        >>> await job.output_until(lambda rows: len(rows) > 0)             # doctest: +SKIP
        """

        def look() -> pandas.DataFrame | None:
            rows = self.output()
            return rows if enough(rows) else None

        return Waiting(f"the output of job {self.name}", look, timeout=timeout, poll=JOB_POLL)
