"""What Flink's REST tells of a job, and questions that wait for no leader."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from hawork.client.cluster_client import error_text
from hawork.client.job_details import JobDetails
from hawork.client.tls import SYSTEM_TRUST, RestTrust
from hawork.core.addresses import rest_address
from hawork.core.configuration import Configuration
from hawork.core.errors import CorruptStateError, RestError
from hawork.core.jobs import JobStatus
from hawork.core.types import JobID
from hawork.ha.job_result_files import JobResultFiles
from hawork.ha.job_result_json import decode_job_result
from hawork.ha.layout import job_result_url
from hawork.ha.storage import open_storage

_SECONDS = 3.0
"""How long a JobManager may take to answer; a paused one never does."""
ELECTING = frozenset({503})
"""The status of a JobManager whose own election still goes on."""
NO_ANSWER = frozenset({0})
"""That of none: there is no leader, or it is silent."""
_ELECTION_SECONDS = 15.0
_AGAIN_SECONDS = 0.1  # nothing tells when the election is over

T = TypeVar("T")
Get = Callable[[str], Mapping[str, Any]]
"""The answer to ``GET`` of a path of ``/v1``; ``RestError`` when there is none."""


def ask(
    address: str,
    path: str,
    timeout: float = _SECONDS,
    method: str = "GET",
    trust: RestTrust = SYSTEM_TRUST,
) -> dict[str, Any]:
    """``GET`` a path of ``/v1``, or another ``method``, once.

    ``RestError`` with Flink's words; status 0 for no answer, 495 for a certificate that is not
    trusted.
    """
    connection = trust.connection(address, timeout)
    try:
        connection.request(method, f"{rest_address(address).path}/v1{path}")
        response = connection.getresponse()
        answer = json.loads(response.read() or b"{}")
        if not isinstance(answer, dict):
            raise ValueError("no JSON object")
    except ssl.SSLError as error:
        raise trust.refused(address, error) from None
    except (OSError, http.client.HTTPException) as error:
        raise RestError(f"{address} gave no answer: {error}") from None
    except ValueError:
        raise RestError(f"{address} answered {path} with no JSON: is it a JobManager?") from None
    finally:
        connection.close()
    if response.status >= 300:
        raise RestError(error_text(answer, response.reason), response.status)
    return answer


def patiently(
    look: Callable[[], T],
    seconds: float = _ELECTION_SECONDS,
    statuses: Collection[int] = ELECTING,
) -> T:
    """Look again, for ``seconds``, while the leader says that its own election still goes on.

    ``statuses`` are those of a ``RestError`` that is waited out.

    Flink publishes the address of the REST endpoint before its dispatcher is there, and its own
    clients ask again, too. Source: ``RestClusterClient``.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            return look()
        except RestError as error:
            if error.status not in statuses or time.monotonic() > end:
                raise
        time.sleep(_AGAIN_SECONDS)


def job_details(get: Get, job_id: str) -> JobDetails:
    """One job, as the JobManager that ``get`` asks tells it; ``RestError`` when it knows none."""
    job = get(f"/jobs/{JobID(job_id)}")
    details = JobDetails.from_flink(job)
    if not details.foreign:
        return details
    details = with_records(details, job)
    if details.status is JobStatus.INITIALIZING:
        return details  # asked for its checkpoints, Flink logs an error
    with contextlib.suppress(RestError):  # while the job is initializing it has none
        details = with_checkpoints(details, get(f"/jobs/{details.job_id}/checkpoints"))
    return details


def with_records(details: JobDetails, job: Mapping[str, Any]) -> JobDetails:
    """``details`` and the records that the job's sources have sent on in this attempt.

    ``job`` is Flink's ``GET /v1/jobs/<id>``. A restart counts from zero again.
    """
    return replace(details, records=records_of(job))


def records_of(job: Mapping[str, Any]) -> int:
    """The records that a job's sources have sent on, from Flink's ``GET /v1/jobs/<id>``."""
    nodes = (job.get("plan") or {}).get("nodes", ())
    sources = {str(node.get("id")) for node in nodes if not node.get("inputs")}
    return sum(
        int(vertex.get("metrics", {}).get("write-records", 0))
        for vertex in job.get("vertices", ())
        if vertex.get("id") in sources
    )


def with_checkpoints(details: JobDetails, checkpoints: Mapping[str, Any]) -> JobDetails:
    """``details`` and what Flink's ``GET /v1/jobs/<id>/checkpoints`` says, by this leader."""
    counts, latest = checkpoints.get("counts", {}), checkpoints.get("latest", {})
    completed, restored = latest.get("completed"), latest.get("restored")
    return replace(
        details,
        checkpoints=int(counts.get("completed", 0)),
        latest_checkpoint_id=completed["id"] if completed else None,
        restored_checkpoint_id=restored["id"] if restored else None,
    )


def stored_result(config: Configuration, job_id: JobID) -> JobDetails | None:
    """How a job ended, from Flink's own file in the JobResultStore; ``None``: no such file.

    A leader forgets the jobs that ended before its time; the files remember.
    """
    files = JobResultFiles(open_storage(job_result_url(config)))
    payload = files.read_clean(job_id) or files.read_dirty(job_id)
    if payload is None:
        return None
    try:
        return JobDetails.of_result(decode_job_result(f"the result of job {job_id}", payload))
    except CorruptStateError:
        return None  # it is being written: Flink writes in place


_NOT_FOUND = 404
_RATE_SECONDS = 3.0
"""What a rate is taken over: Flink gathers the numbers of records by and by."""


def in_full(get: Get, jobs: Iterable[JobDetails]) -> list[JobDetails]:
    """``jobs`` of an overview, with all that can be told of them; those that went are left out.

    ``RestError`` when there is no answer.
    """
    found = []
    for job in jobs:
        if not job.foreign:
            found.append(job)
            continue
        try:
            found.append(job_details(get, job.job_id))
        except RestError as error:
            if error.status != _NOT_FOUND:
                raise
    return found


class FullDetails:
    """Looks at the jobs of one cluster again and again, at the ``most`` newest of them.

    A job of Flink that has ended is asked for once, and stays: its leader may forget it. Its
    records per second come from one look to the next, as Flink tells none.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._ended: dict[JobID, JobDetails] = {}
        self._counts: dict[JobID, list[tuple[float, int]]] = {}

    def of(self, get: Get, overview: Iterable[JobDetails]) -> list[JobDetails]:
        """The jobs in the order in which they began; ``get`` asks the leader now."""
        newest = _in_order(overview)[-self._most :]
        asked = in_full(get, (job for job in newest if job.job_id not in self._ended))
        found = {**self._ended, **{job.job_id: self._with_rate(job) for job in asked}}
        shown = _in_order(found.values())[-self._most :]
        self._ended = {
            job.job_id: job for job in shown if job.foreign and job.status.globally_terminal
        }
        known = {job.job_id for job in shown}
        self._counts = {job_id: each for job_id, each in self._counts.items() if job_id in known}
        return shown

    def _with_rate(self, job: JobDetails) -> JobDetails:
        if not job.foreign or job.status.globally_terminal:
            return job
        now = self._clock()
        counts = self._counts.setdefault(job.job_id, [])
        if counts and job.records < counts[-1][1]:
            counts.clear()  # a new attempt counts from zero
        counts.append((now, job.records))
        # The newest that is old enough is the first, so that a rate has its whole time.
        while len(counts) > 2 and now - counts[1][0] >= _RATE_SECONDS:
            del counts[0]
        since, records = counts[0]
        passed = now - since
        return replace(
            job, records_per_second=(job.records - records) / passed if passed > 0 else 0.0
        )


def _in_order(jobs: Iterable[JobDetails]) -> list[JobDetails]:
    return sorted(jobs, key=lambda job: job.start_time)
