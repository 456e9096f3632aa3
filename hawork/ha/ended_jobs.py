"""Jobs that have ended, remembered for as long as their submission may still be repeated.

::

    <directory of the JobResultStore>/ended/<hours since 1970>/<job id>.json

A client that got no answer sends its submission again, perhaps after the job has run to its end
and ``job-result-store.delete-on-commit`` has removed its result. The file says how the job ended,
as Flink's JobResultStore would, and which submission it came from, so that the same one is
acknowledged again and never run again, and another one under that id is refused.

It is written before anything of the job is removed, so there is no moment at which the job is
neither stored nor remembered. Files lie in folders by the hour, and an hour is the unit in which
they are forgotten: by a leader that has known for long enough, by its own stopwatch, that the job
has ended. Its wall clock may jump, or be hours ahead of that of the leader before it, which died
with the answer that the client asks for again.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from typing import Any, NamedTuple

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
_MOST_WRONG = 7 * 24 * _HOUR
"""Seconds by which no wall clock is taken to be wrong: what is older by so much goes after an hour,
so that it goes also where no leader lives for long."""


class _Ended(NamedTuple):
    hour: int
    """Of its folder."""
    since: float
    """When this process came to know it, by its stopwatch."""


class EndedJobs:
    """The ended jobs of a cluster; written by its leader, who alone forgets them."""

    def __init__(self, storage: StateStorage, seconds: float, clock: Clock) -> None:
        self._storage = storage
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[JobID, _Ended] | None = None

    def add(self, job_id: JobID, result: bytes, submission: str | None) -> None:
        """Remember how a job ended, and forget those that ended too long ago.

        ``result`` is a file of the JobResultStore. Repeating it changes nothing; where the
        ``submission`` is not known any more, what was said of it before stays.
        """
        if self._seconds <= 0:
            return
        with self._lock:
            known = self._load()
            if job_id not in known and submission is None:
                # The job graph is gone: who removed it had written this before. That may have been
                # the next leader, since we looked, and it knows the submission.
                known = self._known = {**self._found(), **known}
            if job_id in known:
                return
            hour = self._hour_now()
            data = {**_json_object(result), "submission": submission}
            self._storage.write(_path(hour, job_id), json.dumps(data).encode())
            new_hour = all(each.hour != hour for each in known.values())
            known[job_id] = _Ended(hour, self._clock.monotonic())
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
        """Forget the jobs that ended too long ago."""
        now = self._clock.monotonic()
        long_ago = int((self._clock.time() - self._seconds - _MOST_WRONG) // _HOUR)
        with self._lock:
            known = self._load()
            for job_id, (hour, since) in list(known.items()):
                enough = min(self._seconds, _HOUR) if hour < long_ago else self._seconds
                if now - since < enough:
                    continue
                # What cannot be removed, such as a directory of this name, keeps no other there.
                with contextlib.suppress(HighAvailabilityError):
                    self._storage.delete(_path(hour, job_id))
                del known[job_id]

    def _read(self, job_id: JobID) -> bytes | None:
        with self._lock:
            ended = self._load().get(job_id)
        if ended is None:
            return None
        try:
            return self._storage.read(_path(ended.hour, job_id), _LARGEST)
        except NotExistError:
            raise CorruptStateError(f"what was remembered of job {job_id} is gone") from None

    def _load(self) -> dict[JobID, _Ended]:
        if self._known is None:
            self._known = self._found()
        return self._known

    def _found(self) -> dict[JobID, _Ended]:
        """Which job ended in which hour; other names than ours are left alone."""
        found: dict[JobID, _Ended] = {}
        now = self._clock.monotonic()
        for folder in self._storage.list(ENDED):
            if not _FOLDER.fullmatch(folder):
                continue
            for name in self._storage.list(f"{ENDED}/{folder}"):
                try:
                    job_id = JobID(name.removesuffix(_SUFFIX))
                except ConfigurationError:
                    continue
                if name == f"{job_id}{_SUFFIX}":
                    found[job_id] = _Ended(int(folder), now)
        return found

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
