"""What REST tells of a Flink cluster, as events: jobs, checkpoints and TaskManagers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from hawork.client.flink_rest import ask
from hawork.client.tls import RestTrust
from hawork.core.errors import RestError
from hawork.core.events import EventKind
from hawork.lab.flink.events import FlinkEvents
from hawork.lab.flink.foreign import ForeignProcesses


class RestWatch:
    """Jobs, checkpoints and TaskManagers: what is new since the last look."""

    def __init__(
        self, events: FlinkEvents, foreign: ForeignProcesses | None, trust: RestTrust
    ) -> None:
        self._trust = trust
        self._events = events
        self._foreign = foreign
        self._status: dict[str, tuple[str | None, str]] = {}
        self._seen: set[tuple[str, int, int]] = set()
        self._taskmanagers: dict[str, int] = {}

    def look(self, address: str, process: str, session_id: str | None) -> None:
        get = partial(ask, address, trust=self._trust)
        for job in get("/jobs/overview").get("jobs", ()):
            self._job(job, process, session_id)
            with contextlib.suppress(RestError):
                self._checkpoints(job["jid"], get(f"/jobs/{job['jid']}/checkpoints"),
                                  process, session_id)  # fmt: skip
        found = get("/taskmanagers").get("taskmanagers", ())
        self._note_taskmanagers({str(each["id"]): int(each["slotsNumber"]) for each in found},
                                process, session_id)  # fmt: skip

    def _job(self, job: Mapping[str, Any], process: str, session_id: str | None) -> None:
        job_id, status = str(job["jid"]), str(job["state"])
        if job_id not in self._status:
            self._events.write(
                EventKind.JOB_ACKNOWLEDGED, process, wall=job["start-time"] / 1000,
                session_id=session_id, job_id=job_id, name=job["name"],
            )  # fmt: skip
        changed = max(job["last-modification"], job["start-time"]) / 1000
        if self._status.get(job_id) != (session_id, status):
            self._status[job_id] = (session_id, status)
            self._events.write(
                EventKind.JOB_STATUS, process, wall=changed,
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
        key = (job_id, number, moment)
        new = key not in self._seen
        self._seen.add(key)
        return new

    def _note_taskmanagers(
        self, found: Mapping[str, int], process: str, session_id: str | None
    ) -> None:
        for name in found.keys() - self._taskmanagers.keys():
            self._events.write(EventKind.TASKMANAGER_REGISTERED, process, session_id=session_id,
                               taskmanager=name, slots=found[name])  # fmt: skip
        for name in self._taskmanagers.keys() - found.keys():
            self._events.write(EventKind.TASKMANAGER_LOST, process, session_id=session_id,
                               taskmanager=name, reason="the leader does not list it")  # fmt: skip
        self._taskmanagers = dict(found)
        if self._foreign is not None:
            self._foreign.note_taskmanagers(found, session_id)
