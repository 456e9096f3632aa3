"""What REST tells of a Flink cluster, as events: jobs, checkpoints and TaskManagers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from hawork.client.flink_rest import ask, records_of
from hawork.client.tls import RestTrust
from hawork.core.errors import RestError
from hawork.core.events import EventKind
from hawork.core.jobs import JobStatus
from hawork.lab.flink.endpoints import Endpoints, gives_no_answer
from hawork.lab.flink.events import WrittenEvents
from hawork.lab.flink.first_record import FirstRecordWatch
from hawork.lab.flink.foreign import ForeignProcesses
from hawork.lab.flink.progress import ProgressWatch

ANSWER_SECONDS = 3.0
"""A leader that takes no request for longer is silent."""
_BEFORE = 60.0
_MOST_ASKED = 50
"""Jobs that are asked for in full with each look: a cluster has others to serve."""
_ENDED = {status.value for status in JobStatus if status.globally_terminal}
_MOST_SEEN = 200
"""Checkpoints of a job that are remembered: a leader shows its ``web.checkpoints.history``."""


class RestWatch:
    """Jobs, checkpoints and TaskManagers: what is new since the last look.

    A job may run for a month: what it is, it is from now on, and of its checkpoints those after
    ``since`` are told (seconds since 1970; default: a minute ago). Each answer and each silence is
    told to ``endpoints``. ``overview`` and ``taskmanagers`` are what a leader answered last, for
    when none does.
    """

    def __init__(
        self,
        events: WrittenEvents,
        endpoints: Endpoints,
        foreign: ForeignProcesses | None,
        trust: RestTrust,
        since: float | None = None,
    ) -> None:
        self._began = time.time()
        self._since = self._began - _BEFORE if since is None else since
        self._trust = trust
        self._events = events
        self._endpoints = endpoints
        self._foreign = foreign
        self._progress = ProgressWatch(events)
        self._first_records = FirstRecordWatch(events)
        self._teller: tuple[str, str | None] | None = None
        self._silent: tuple[str, str | None] | None = None
        self._status: dict[str, tuple[str | None, str]] = {}
        self._seen: dict[str, dict[tuple[int, int], None]] = {}
        self._registered: dict[str, int] = {}
        self._ended: set[tuple[str, str]] = set()
        self.overview: dict[str, Any] = {"jobs": []}
        self.taskmanagers: list[dict[str, Any]] = []

    def look(self, address: str, process: str, session_id: str | None) -> None:
        """Ask for everything once. ``RestError`` with the first request that is not answered.

        A leader that is silent costs one request, whatever the number of its jobs.
        """
        if self._teller != (process, session_id):
            self._teller = (process, session_id)
            self._registered.clear()
            self._progress.forget()
        try:
            self._look(address, process, session_id)
        except RestError as error:
            if gives_no_answer(error):
                self._endpoints.silent(process, address, session_id, error)
                # What it told holds no more, and is told anew when it answers again.
                self._silent = (process, session_id)
                self._progress.forget()
                self._status.clear()
                self._registered.clear()
            raise

    def _look(self, address: str, process: str, session_id: str | None) -> None:
        def get(path: str) -> dict[str, Any]:
            try:
                answer = ask(address, path, ANSWER_SECONDS, trust=self._trust)
            except RestError as error:
                if not gives_no_answer(error):
                    self._endpoints.answered(process, address, session_id)
                raise
            self._endpoints.answered(process, address, session_id)
            return answer

        self.overview = get("/jobs/overview")
        jobs = self.overview.get("jobs", ())
        for job in jobs:
            self._job(job, process, session_id)
        asked = self._to_ask(jobs)
        for job in asked:
            try:
                checkpoints = get(f"/jobs/{job['jid']}/checkpoints")
                self._checkpoints(job["jid"], checkpoints, process, session_id)
                if job["state"] == "RUNNING" and self._progress.due(job["jid"]):
                    records = records_of(get(f"/jobs/{job['jid']}"))
                    self._progress.look(job["jid"], records, checkpoints, process, session_id)
            except RestError as error:
                if gives_no_answer(error):
                    raise
        self._silent = None
        self.taskmanagers = get("/taskmanagers").get("taskmanagers", [])
        found = {str(each["id"]): int(each["slotsNumber"]) for each in self.taskmanagers}
        self._note_taskmanagers(found, process, session_id)
        states = {str(job["jid"]): str(job["state"]) for job in asked}
        self._first_records.look(states, get, process, session_id)

    def _to_ask(self, jobs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The newest ones that may have news: what has ended is asked for once more.

        One that is initializing is not: asked for its checkpoints, Flink logs an error.
        """
        news = [
            job for job in jobs
            if job["state"] != "INITIALIZING" and (job["jid"], job["state"]) not in self._ended
        ]  # fmt: skip
        asked = sorted(news, key=lambda job: int(job["start-time"]))[-_MOST_ASKED:]
        self._ended = {
            (job["jid"], job["state"]) for job in jobs
            if job["state"] in _ENDED and (job in asked or job not in news)
        }  # fmt: skip
        return asked

    def _job(self, job: Mapping[str, Any], process: str, session_id: str | None) -> None:
        job_id, status = str(job["jid"]), str(job["state"])
        if job_id not in self._seen:
            self._seen[job_id] = {}
            began = max(job["start-time"] / 1000, self._began)
            self._events.write(
                EventKind.JOB_ACKNOWLEDGED, process, wall=began, session_id=session_id,
                job_id=job_id, name=job["name"],
            )  # fmt: skip
        changed = max(job["last-modification"] / 1000, job["start-time"] / 1000, self._began)
        if self._status.get(job_id) != (session_id, status):
            self._status[job_id] = (session_id, status)
            # After a silence of the same leader: it is so now, and since when is not known.
            again = self._silent == (process, session_id)
            self._events.write(
                EventKind.JOB_STATUS, process, wall=None if again else changed,
                session_id=session_id, job_id=job_id, status=status,
            )  # fmt: skip

    def _checkpoints(
        self, job_id: str, answer: Mapping[str, Any], process: str, session_id: str | None
    ) -> None:
        restored = (answer.get("latest") or {}).get("restored")
        if restored and self._is_new(job_id, -restored["id"], restored["restore_timestamp"]):
            self._events.write(
                EventKind.JOB_RESTORED, process, wall=restored["restore_timestamp"] / 1000,
                session_id=session_id, job_id=job_id, checkpoint_id=restored["id"],
                savepoint=bool(restored.get("is_savepoint")),
            )  # fmt: skip
        for each in reversed(answer.get("history", ())):
            ended = each.get("status") == "COMPLETED"
            if ended and self._is_new(job_id, each["id"], each["trigger_timestamp"]):
                self._events.write(
                    EventKind.CHECKPOINT_COMPLETED, process,
                    wall=each["latest_ack_timestamp"] / 1000, session_id=session_id,
                    job_id=job_id, checkpoint_id=each["id"], bytes=each["checkpointed_size"],
                    milliseconds=each["end_to_end_duration"],
                )  # fmt: skip

    def _is_new(self, job_id: str, number: int, moment: int) -> bool:
        seen = self._seen.setdefault(job_id, {})
        new = (number, moment) not in seen and moment / 1000 >= self._since
        seen[number, moment] = None
        while len(seen) > _MOST_SEEN:
            del seen[next(iter(seen))]
        return new

    def _note_taskmanagers(
        self, found: Mapping[str, int], process: str, session_id: str | None
    ) -> None:
        for name in found.keys() - self._registered.keys():
            self._events.write(EventKind.TASKMANAGER_REGISTERED, process, session_id=session_id,
                               taskmanager=name, slots=found[name])  # fmt: skip
        for name in self._registered.keys() - found.keys():
            self._events.write(EventKind.TASKMANAGER_LOST, process, session_id=session_id,
                               taskmanager=name, reason="the leader does not list it")  # fmt: skip
        self._registered = dict(found)
        if self._foreign is not None:
            self._foreign.note_taskmanagers(found, process, session_id)
