"""Jobs that have ended, remembered for as long as their submission may still be repeated.

::

    <directory of the JobResultStore>/ended/<hours since 1970>/<job id>.json

A client that got no answer sends its submission again, perhaps after the job has run to its end
and ``job-result-store.delete-on-commit`` has removed its result. The file says how the job ended,
as Flink's JobResultStore would, and which submission it came from, so that the same one is
acknowledged again and never run again, and another one under that id is refused.

It is written before anything of the job is removed, so there is no moment at which the job is
neither stored nor remembered. Files lie in folders by the hour: what is too old is found by
listing, and an hour is the unit in which they are forgotten.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from typing import Any

from hawork.core.clock import Clock
from hawork.core.errors import (
    ConfigurationError,
    CorruptStateError,
    HighAvailabilityError,
    NotExistError,
)  # fmt: skip
from hawork.core.jobs import JobResult
from hawork.core.types import JobID
from hawork.ha.job_result_json import decode_job_result
from hawork.ha.state_storage import StateStorage

ENDED = "ended"
_HOUR = 3600.0
_FOLDER = re.compile(r"0|[1-9][0-9]{0,8}")
_SUFFIX = ".json"
_LARGEST = 16 << 20  # bytes of one file; what is longer is cut, and cannot be read


class EndedJobs:
    """The ended jobs of a cluster; written by its leader, who alone forgets them."""

    def __init__(self, storage: StateStorage, seconds: float, clock: Clock) -> None:
        self._storage = storage
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._hours: dict[JobID, int] | None = None

    def add(self, job_id: JobID, result: bytes, submission: str | None) -> None:
        """Remember how a job ended, and forget those that ended too long ago.

        ``result`` is a file of the JobResultStore. Repeating it changes nothing; where the
        ``submission`` is not known any more, what was said of it before stays.
        """
        if self._seconds <= 0:
            return
        with self._lock:
            hours = self._load()
            if job_id in hours:
                return
            hour = self._hour_now()
            data = {**_json_object(result), "submission": submission}
            self._storage.write(_path(hour, job_id), json.dumps(data).encode())
            new_hour = hour not in hours.values()
            hours[job_id] = hour
        if new_hour:
            self.sweep()

    def __contains__(self, job_id: JobID) -> bool:
        with self._lock:
            return job_id in self._load()

    def result(self, job_id: JobID) -> JobResult | None:
        """How the job ended; ``CorruptStateError`` when that cannot be read."""
        payload = self._read(job_id)
        if payload is None:
            return None
        return decode_job_result(f"what is remembered of job {job_id}", payload)

    def submission(self, job_id: JobID) -> str | None:
        """The digest of the job's submission, where it is known."""
        try:
            found = _json_object(self._read(job_id) or b"").get("submission")
        except CorruptStateError:
            return None
        return found if isinstance(found, str) else None

    def sweep(self) -> None:
        """Forget the jobs that ended too long ago, a whole hour at a time."""
        oldest = int((self._clock.time() - self._seconds) // _HOUR)
        with self._lock:
            hours = self._load()
            for job_id in [job_id for job_id, hour in hours.items() if hour < oldest]:
                # What cannot be removed, such as a directory of this name, keeps no other there.
                with contextlib.suppress(HighAvailabilityError):
                    self._storage.delete(_path(hours[job_id], job_id))
                del hours[job_id]

    def _read(self, job_id: JobID) -> bytes | None:
        with self._lock:
            hour = self._load().get(job_id)
        if hour is None:
            return None
        try:
            return self._storage.read(_path(hour, job_id), _LARGEST)
        except NotExistError:
            raise CorruptStateError(f"what was remembered of job {job_id} is gone") from None

    def _load(self) -> dict[JobID, int]:
        """Which job ended in which hour; other names than ours are left alone."""
        if self._hours is None:
            found: dict[JobID, int] = {}
            for folder in self._storage.list(ENDED):
                if not _FOLDER.fullmatch(folder):
                    continue
                for name in self._storage.list(f"{ENDED}/{folder}"):
                    try:
                        job_id = JobID(name.removesuffix(_SUFFIX))
                    except ConfigurationError:
                        continue
                    if name == f"{job_id}{_SUFFIX}":
                        found[job_id] = int(folder)
            self._hours = found
        return self._hours

    def _hour_now(self) -> int:
        return int(self._clock.time() // _HOUR)


def _json_object(payload: bytes) -> dict[str, Any]:
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _path(hour: int, job_id: JobID) -> str:
    return f"{ENDED}/{hour}/{job_id}{_SUFFIX}"
