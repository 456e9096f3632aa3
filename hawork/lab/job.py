"""A job of the lab, from its submission to its output."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawork.client.cluster_client import ClusterClient
from hawork.client.job_details import JobDetails
from hawork.client.waiting import Waiting
from hawork.core.calls import checked_calls
from hawork.core.errors import HaworkError, LabError
from hawork.core.jobs import JobStatus
from hawork.core.types import JobID
from hawork.lab.progress import ProgressView, describe, open_progress
from hawork.story.comparison import of_job

if TYPE_CHECKING:
    import pandas

JOB_POLL = 0.1
"""Seconds between looks at a job: each one is a REST call to the leader."""


@checked_calls
class Job:
    """A submitted job. Made by ``LabCluster.submit``.

    >>> job = lab.submit("flights.py:delays", config={...}, parallelism=2)  # doctest: +SKIP
    >>> await job.finished()                            # in a notebook     # doctest: +SKIP
    >>> job.wait()                                      # anywhere else     # doctest: +SKIP
    >>> job.output()                                                        # doctest: +SKIP
    """

    def __init__(
        self,
        client: Callable[[], ClusterClient],
        job_id: JobID,
        name: str,
        config: Mapping[str, Any],
        submission: Future[JobID],
        expected_records: int | None = None,
    ) -> None:
        self.job_id = job_id
        self.name = name
        self.config = dict(config)
        self.expected_records = expected_records
        self._client = client
        self._submission = submission
        self._last: JobDetails | None = None

    @property
    def details(self) -> JobDetails:
        """The job as the leader sees it now; waits for a leader if there is none.

        >>> job.details.restored_checkpoint_id                              # doctest: +SKIP
        9
        """
        self._last = self._client().job(self.job_id)
        return self._last

    @property
    def status(self) -> JobStatus:
        """RUNNING, FINISHED, ...; see ``details`` for more.

        >>> print(job.status)                                               # doctest: +SKIP
        RUNNING
        """
        return self.details.status

    def acknowledged(self, timeout: float = 60.0) -> Waiting[JobID]:
        """Wait until the cluster has accepted the job: from then on it is never lost.

        Raises ``JobSubmissionError`` when it was refused. ``submit`` waits for this itself
        unless it is told not to.

        >>> await job.acknowledged()                                        # doctest: +SKIP
        """

        return Waiting(f"the acknowledgement of job {self.name}", self._accepted, timeout=timeout)

    @property
    def accepted(self) -> bool | None:
        """Whether the cluster has accepted the job; ``None`` while there is no answer.

        >>> job.accepted                                                    # doctest: +SKIP
        True
        """
        if not self._submission.done():
            return None
        return self._submission.exception() is None

    def finished(
        self, timeout: float | None = None, *, progress: bool = True
    ) -> Waiting[JobDetails]:
        """Wait until the job has ended, over any failover, and show its progress.

        What is awaited is the job's last ``JobDetails``: FINISHED, FAILED or CANCELED.

        >>> (await job.finished()).status                                   # doctest: +SKIP
        """
        view = open_progress(self.expected_records) if progress else None
        return self._until(lambda details: details.status.globally_terminal, "end", timeout, view)

    def running(self, records: int = 1, timeout: float | None = 60.0) -> Waiting[JobDetails]:
        """Wait until the job has processed that many records, and still runs.

        Used to do something *in the middle* of a job. ``LabError`` when the job has ended:
        whatever comes next would not hit a running job.

        >>> await job.running(100_000)                                      # doctest: +SKIP
        >>> lab.kill("leader")                                              # doctest: +SKIP
        """

        def there(details: JobDetails) -> bool:
            if details.status.globally_terminal:
                raise LabError(self._too_late(details, records))
            return details.records >= records

        return self._until(there, f"{records:,} records", timeout, None)

    def wait(self, timeout: float | None = None, *, progress: bool = True) -> JobDetails:
        """Block until the job has ended; see ``finished``. ``LabError`` after ``timeout`` s.

        >>> job.wait().status                                               # doctest: +SKIP
        """
        return self.finished(timeout, progress=progress).wait()

    def cancel(self) -> None:
        """Ask the leader to cancel the job; ``finished`` tells when it is done.

        >>> job.cancel()                                                    # doctest: +SKIP
        """
        self._client().cancel(self.job_id)

    def checkpoints(self) -> pandas.DataFrame:
        """The newest checkpoints of the job, newest first.

        >>> job.checkpoints().head(3)                                       # doctest: +SKIP
        """
        import pandas

        return pandas.DataFrame(self._client().checkpoints(self.job_id))

    def output(self) -> pandas.DataFrame:
        """What the job has committed so far, in columns of numbers where they are numbers.

        >>> job.output().sort_values("minutes").tail()                      # doctest: +SKIP
        """
        import pandas

        from hawork.job import read_output

        directory = self.config.get("output")
        if directory is None:
            raise LabError(
                f"job {self.name} has no 'output' in its config: read the directory that its "
                "sink writes to with hawork.job.read_output(directory)"
            )
        frame = pandas.DataFrame(read_output(Path(directory)))
        for column in frame.columns:
            try:
                frame[column] = pandas.to_numeric(frame[column])
            except (ValueError, TypeError):
                continue
        return of_job(frame, self.job_id)

    def _too_late(self, details: JobDetails, records: int) -> str:
        """What became of a job that should run, and what to do about it."""
        again = "submit it again"
        if details.status is JobStatus.FINISHED:
            again += " and go on at once, or let it read more, or more slowly"
        why = f" ({details.failure})" if details.failure else ""
        return (
            f"job {self.name} is {details.status} already{why}, and cannot be caught at "
            f"{records:,} records: {again}"
        )

    def __repr__(self) -> str:
        known = describe(self._last) if self._last is not None else "submitted"
        return f"Job({self.name}, {self.job_id[:8]}…: {known})"

    def _repr_html_(self) -> str:
        try:
            known = describe(self.details)
        except HaworkError as error:  # there is no leader, or the lab is closed
            known = str(error) if self._last is None else f"{describe(self._last)}; {error}"
        return f"<b>{html.escape(self.name)}</b> <code>{self.job_id}</code><br>{html.escape(known)}"

    def _accepted(self) -> JobID | None:
        """The job's id once it is accepted; ``LabError`` when its lab is closed before that."""
        if self._submission.done():
            return self._submission.result()
        self._client()
        return None

    def _until(
        self,
        there: Callable[[JobDetails], bool],
        what: str,
        timeout: float | None,
        view: ProgressView | None,
    ) -> Waiting[JobDetails]:
        def look() -> JobDetails | None:
            if self._accepted() is None:
                return None
            details = self.details
            return details if there(details) else None

        def show() -> None:
            if view is not None and self._last is not None:
                view.update(self._last)

        def state() -> str:
            if self._last is None or self._last.status is not JobStatus.CREATED:
                return ""
            return (
                ": it is CREATED, and no TaskManager has a slot for it: cancel an older job of "
                "lab.jobs, or start a TaskManager"
            )

        return Waiting(
            f"the {what} of job {self.name}",
            look,
            timeout=timeout,
            state=state,
            poll=JOB_POLL,
            show=show,
            done=view.close if view is not None else lambda: None,
        )
