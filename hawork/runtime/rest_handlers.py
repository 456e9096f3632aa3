"""What REST answers: Flink's v1 paths, submission, and the TaskManagers' connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

import tornado.httputil
import tornado.web
import tornado.websocket

from hawork import __version__
from hawork.client.proof import CHALLENGE, PROOF, ChallengeAnswer
from hawork.core import options
from hawork.core.errors import ConfigurationError, HaworkError
from hawork.core.events import EventKind
from hawork.core.jobs import ApplicationStatus, JobStatus
from hawork.core.types import JobID
from hawork.runtime.dispatcher import Dispatcher
from hawork.runtime.messages import Register, ToJobManager, ToTaskManager
from hawork.runtime.rest_access import CANCEL, READ, RestAccess
from hawork.runtime.rest_endpoint import Handler
from hawork.runtime.submission import graph_of_request
from hawork.runtime.web_socket import send_json

FLINK_VERSION = "1.20.5"
"""The version whose REST API is spoken."""


_PROOF_SIZE = 1024
"""Bytes of a message of a client that has not proved itself."""
_PROOF_SECONDS = 10.0


class Challenged(Handler):
    """Proves that this process belongs to the cluster; no secret is needed to ask."""

    async def prepare(self) -> None:
        access: RestAccess = self.settings["access"]
        answer = access.answer(self.request)
        if answer is None:
            self.refuse(400, f"header {CHALLENGE} holds no nonce: use hawork's client")
            return
        self.set_header(PROOF, answer.header)

    def get(self) -> None:
        self.answer({})


class Reading(Handler):
    """What Flink's clients may look at without a token, once they are let in."""

    rights = {"GET": READ}


class Overview(Reading):
    def get(self) -> None:
        dispatcher = self.leading()
        if dispatcher is None:
            return
        resources = dispatcher.term.resource_manager
        states = [job.status for job in dispatcher.jobs()]
        self.answer(
            {
                "taskmanagers": len(resources.taskmanagers),
                "slots-total": resources.slots_total,
                "slots-available": resources.slots_free,
                "jobs-running": sum(not state.globally_terminal for state in states),
                "jobs-finished": states.count(JobStatus.FINISHED),
                "jobs-cancelled": states.count(JobStatus.CANCELED),
                "jobs-failed": states.count(JobStatus.FAILED),
                "flink-version": FLINK_VERSION,
                "flink-commit": "hawork",
                "hawork-version": __version__,
                "leader-session-id": str(dispatcher.term.session_id),
            }
        )


class Config(Reading):
    asks_leader = False

    def get(self) -> None:
        self.answer(
            {
                "refresh-interval": 3000,
                "timezone-name": "Coordinated Universal Time",
                "timezone-offset": 0,
                "flink-version": FLINK_VERSION,
                "flink-revision": f"hawork {__version__}",
                "features": {
                    "web-submit": True,
                    "web-cancel": True,
                    "web-rescale": False,
                    "web-history": False,
                },
            }
        )


class Jobs(Reading):
    """``GET`` lists the jobs; ``POST`` submits one (multipart: ``request`` and ``artifact``)."""

    def get(self) -> None:
        dispatcher = self.leading()
        if dispatcher is not None:
            jobs = [{"id": job.job_id, "status": job.status.value} for job in dispatcher.jobs()]
            self.answer({"jobs": jobs})

    async def post(self) -> None:
        dispatcher = self.leading()
        if dispatcher is None:
            return
        parts = self._parts()
        try:
            request = json.loads(parts["request"])
        except (ValueError, RecursionError):
            raise ConfigurationError("part 'request' is not JSON: send a JSON object") from None
        limit = dispatcher.term.config.get_option(options.ARTIFACT_MAX_SIZE)
        graph = await dispatcher.term.run_io(
            lambda: graph_of_request(request, parts["artifact"], dispatcher.term.config, limit)
        )
        job_id = await dispatcher.submit(graph, parts["artifact"])
        self.answer({"jobUrl": f"/jobs/{job_id}", "id": job_id}, 202)

    def _parts(self) -> dict[str, bytes]:
        arguments: dict[str, list[bytes]] = {}
        files: dict[str, list[tornado.httputil.HTTPFile]] = {}
        content_type = self.request.headers.get("Content-Type", "")
        if not content_type.startswith("multipart/form-data"):
            raise ConfigurationError(
                f"a submission is multipart/form-data, not {content_type!r}: "
                "use 'hawork submit' or hawork's client"
            )
        with contextlib.suppress(tornado.httputil.HTTPInputError):  # then parts are missing
            tornado.httputil.parse_body_arguments(content_type, bytes(self.body), arguments, files)
        parts = {name: values[0]["body"] for name, values in files.items()}
        parts.update({name: values[0] for name, values in arguments.items()})
        if b"jobGraphFileName" in parts.get("request", b""):
            raise ConfigurationError(
                "a job graph of Flink's is Java and cannot run here: submit a Python artifact with "
                "'hawork submit'"
            )
        for name in ("request", "artifact"):
            if name not in parts:
                raise ConfigurationError(f"part {name!r} of the submission is missing: send it")
        return parts


class JobsOverview(Reading):
    def get(self) -> None:
        dispatcher = self.leading()
        if dispatcher is not None:
            self.answer({"jobs": [job.to_flink_overview() for job in dispatcher.jobs()]})


class Job(Handler):
    rights = {"GET": READ, "PATCH": CANCEL}

    async def get(self, job_id: str) -> None:
        dispatcher = self.leading()
        if dispatcher is not None:
            self.answer((await dispatcher.details(JobID(job_id))).to_flink_details())

    async def patch(self, job_id: str) -> None:
        dispatcher = self.leading()
        if dispatcher is None:
            return
        mode = self.get_query_argument("mode", "cancel")
        if mode != "cancel":
            raise ConfigurationError(f"mode {mode!r} is unknown: write mode=cancel")
        await dispatcher.cancel(JobID(job_id))
        self.answer({}, 202)


class JobState(Reading):
    async def get(self, job_id: str) -> None:
        dispatcher = self.leading()
        if dispatcher is not None:
            self.answer({"status": (await dispatcher.details(JobID(job_id))).status.value})


class JobExecutionResult(Reading):
    """What ``flink run`` waits for; ``failure-cause`` is left out, it is a Java object."""

    async def get(self, job_id: str) -> None:
        dispatcher = self.leading()
        if dispatcher is None:
            return
        details = await dispatcher.details(JobID(job_id))
        if not details.status.globally_terminal:
            self.answer({"status": {"id": "IN_PROGRESS"}})
            return
        result: dict[str, Any] = {
            "id": job_id,
            "application-status": ApplicationStatus.of(details.status).value,
            "accumulator-results": {},
            "net-runtime": details.duration,
        }
        self.answer({"status": {"id": "COMPLETED"}, "job-execution-result": result})


class Savepoints(Handler):
    """``flink savepoint`` and ``flink stop``: a checkpoint of hawork's is not a savepoint."""

    rights = {"POST": READ}  # it only says so

    def post(self, job_id: str) -> None:
        raise ConfigurationError(
            "hawork has no savepoints: cancel the job, or let it run and stop its JobManager, "
            "which keeps the job and its checkpoints"
        )


class JobCheckpoints(Reading):
    async def get(self, job_id: str) -> None:
        dispatcher = self.leading()
        if dispatcher is None:
            return
        statistics = await dispatcher.checkpoints(JobID(job_id))
        self.answer(
            {
                "counts": {
                    "restored": int(statistics.restored is not None),
                    "total": statistics.triggered,
                    "in_progress": statistics.in_progress,
                    "completed": statistics.completed,
                    "failed": statistics.failed,
                },
                "latest": {
                    "completed": statistics.latest,
                    "savepoint": None,
                    "failed": statistics.latest_failure,
                    "restored": statistics.restored,
                },
                "history": statistics.history,
            }
        )


class TaskManagers(Reading):
    def get(self) -> None:
        dispatcher = self.leading()
        if dispatcher is None:
            return
        resources = dispatcher.term.resource_manager
        self.answer(
            {
                "taskmanagers": [
                    {
                        "id": info.taskmanager_id,
                        "path": "",
                        "dataPort": 0,
                        "jmxPort": -1,
                        "timeSinceLastHeartbeat": int(
                            (time.time() - resources.silence(info.taskmanager_id)) * 1000
                        ),
                        "slotsNumber": info.slots,
                        "freeSlots": info.free,
                        "pid": info.pid,
                    }
                    for info in resources.taskmanagers
                ]
            }
        )


class TaskManagerSocket(tornado.websocket.WebSocketHandler):
    """The leader's end of a TaskManager's connection.

    Every message carries the leader session id; one of another session is ignored, so a
    TaskManager that was cut off cannot disturb a new term.
    """

    _taskmanager_id: str | None = None
    _dispatcher: Dispatcher | None = None
    _challenge: ChallengeAnswer | None = None
    _stranger: asyncio.TimerHandle | None = None
    """Hangs up on a client that has not proved itself."""

    def prepare(self) -> None:
        access: RestAccess = self.settings["access"]
        self._challenge = access.answer(self.request)
        if self._challenge is None:
            self.set_status(401)
            self.finish()
        else:
            self.set_header(PROOF, self._challenge.header)

    @property
    def max_message_size(self) -> int:
        return _PROOF_SIZE  # until the client has proved itself

    def check_origin(self, origin: str) -> bool:
        return False  # no browser has any business here

    def open(self) -> None:
        self.set_nodelay(True)
        self._stranger = asyncio.get_running_loop().call_later(_PROOF_SECONDS, self.close)
        self._dispatcher = self.settings["dispatcher"]()
        if self._dispatcher is None:
            super().close(1013, "not the leader")

    def _check_proof(self, text: str | bytes) -> None:
        """The first message is the client's proof, and opens the connection for all others."""
        if self._stranger is not None:
            self._stranger.cancel()
        proof = text if isinstance(text, str) else ""
        if self._challenge is None or not self._challenge.accepts(proof):
            super().close(1008, "the cluster's token is not known to you")
            return
        self._challenge = None
        if self.ws_connection is not None:
            self.ws_connection.params.max_message_size = self.settings["limit"]  # type: ignore[attr-defined]

    def on_message(self, text: str | bytes) -> None:
        if self._challenge is not None:
            self._check_proof(text)
            return
        dispatcher = self._dispatcher
        if dispatcher is None or dispatcher is not self.settings["dispatcher"]():
            super().close(1013, "not the leader any more")
            return
        try:
            message = json.loads(text)
            if message["session_id"] != str(dispatcher.term.session_id):
                return
            self._handle(dispatcher, message)
        except (
            ValueError, KeyError, TypeError, IndexError, RecursionError, HaworkError
        ) as error:  # fmt: skip
            dispatcher.term.events.emit(
                EventKind.ERROR,
                message=f"TaskManager {self._taskmanager_id} sent a message that cannot be used: "
                f"{type(error).__name__}: {error}",
            )

    def _handle(self, dispatcher: Dispatcher, message: ToJobManager) -> None:
        resources = dispatcher.term.resource_manager
        if message["type"] == "register":
            self._register(dispatcher, message)
        elif message["type"] == "heartbeat" and self._taskmanager_id is not None:
            resources.heartbeat(self._taskmanager_id)
            self.send({"type": "heartbeat", "session_id": str(dispatcher.term.session_id)})
        elif message["type"] == "task_event":
            dispatcher.task_event(message)

    def _register(self, dispatcher: Dispatcher, message: Register) -> None:
        name, pid = str(message["taskmanager_id"]), message["pid"]
        try:
            dispatcher.term.resource_manager.register(
                name, message["slots"], pid, self, message["instance"]
            )
        except ConfigurationError as error:
            session_id = str(dispatcher.term.session_id)
            self.send({"type": "refused", "session_id": session_id, "reason": str(error)})
            super().close(1008, "refused")
            return
        self._taskmanager_id = name

    def on_close(self) -> None:
        if self._stranger is not None:
            self._stranger.cancel()
        if self._dispatcher is not None and self._taskmanager_id is not None:
            self._dispatcher.term.resource_manager.lose(
                self._taskmanager_id, "its connection closed", self
            )

    def send(self, message: ToTaskManager) -> None:
        send_json(self, message)  # on_close reports a loss


def routes() -> list[Any]:
    """All paths; the ``/v1`` in front of them may be left out, as in Flink."""
    job = r"([0-9a-fA-F]{32})"
    return [
        (rf"(?:/v1)?{path}", handler)
        for path, handler in (
            (r"/challenge", Challenged),
            (r"/overview", Overview),
            (r"/config", Config),
            (r"/jobs", Jobs),
            (r"/jobs/overview", JobsOverview),
            (rf"/jobs/{job}", Job),
            (rf"/jobs/{job}/status", JobState),
            (rf"/jobs/{job}/execution-result", JobExecutionResult),
            (rf"/jobs/{job}/checkpoints", JobCheckpoints),
            (rf"/jobs/{job}/(?:savepoints|stop)", Savepoints),
            (r"/taskmanagers", TaskManagers),
            (r"/taskmanagers/connection", TaskManagerSocket),
        )
    ]
