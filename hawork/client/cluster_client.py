"""The cluster as its clients see it: found by leader retrieval, spoken to over REST."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import hawork
from hawork.client.job_details import JobDetails
from hawork.client.proof import MISDIRECTED, check_connection
from hawork.client.submission import JobSubmission
from hawork.client.tls import RestTrust
from hawork.client.token import find_token, read_token
from hawork.core import options
from hawork.core.addresses import rest_address
from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.errors import (
    ConfigurationError,
    JobNotFoundError,
    JobSubmissionError,
    LeaderRetrievalError,
    RestError,
)
from hawork.core.events import EventSink
from hawork.core.types import REST_SERVER, JobID, LeaderInformation
from hawork.ha.layout import cluster_name
from hawork.ha.leader_retrieval_service import LeaderRetriever

_IDLE = 2
"""Connections that are kept open between requests."""
_POLL = 0.1  # seconds between looks at a job; REST has no way to be told


class ClusterClient:
    """Talks to whichever JobManager leads, and follows when another one takes over.

    A request is repeated on the new leader while leadership moves, for at most
    ``rest.await-leader-timeout`` seconds; ``RestError`` then says what was last seen.

    >>> with ClusterClient(config) as client:            # doctest: +SKIP
    ...     job_id = client.submit(JobSubmission(pack_artifact("job.py"), "job:build"))
    ...     print(client.wait(job_id).status)
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        token: str | None = None,
        events: EventSink | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._config = options.checked(config)
        self._token = token
        self._clock = clock
        self._patience = self._config.get_option(options.REST_AWAIT_LEADER)
        self._timeout = self._config.get_option(options.REST_CONNECTION_TIMEOUT)
        self._ha = hawork.open_ha_services(self._config, events=events)
        self._trust = RestTrust(self._config)
        self._closed = False
        self._idle: deque[tuple[LeaderInformation, str | None, http.client.HTTPConnection]]
        self._idle = deque()
        self._retriever = _HangingUpRetriever(f"cluster-id {cluster_name(self._config)}")
        self._retrieval = self._ha.leader_retrieval(REST_SERVER, self._retriever)

    def __enter__(self) -> ClusterClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
        self._retrieval.close()
        self._ha.close()
        while self._idle:
            _, _, connection = self._idle.pop()
            connection.close()

    def leader(self, timeout: float | None = None) -> LeaderInformation:
        """Who leads; waits up to ``timeout`` seconds (default: the configured patience).

        ``LeaderRetrievalError`` when there is no leader by then, or none that we are let see.
        """
        timeout = self._patience if timeout is None else timeout
        try:
            return self._retriever.wait_for_leader(timeout)
        except LeaderRetrievalError:
            hindrance = None if self._retriever.failed else self._retrieval.hindrance()
            if hindrance is None:
                raise
            raise LeaderRetrievalError(
                f"no leader was found within {round(timeout, 1):g} s: {hindrance}"
            ) from None

    def current_leader(self) -> LeaderInformation | None:
        """Who leads as far as is known right now; never waits."""
        return self._retriever.leader()

    # --- jobs ------------------------------------------------------------------------------

    def submit(self, submission: JobSubmission, *, again: bool = False) -> JobID:
        """Submit a job; once this returns the job is never lost.

        When leadership moves before the answer came, the same job is submitted again under
        the same id, which a leader that has it already acknowledges again. A caller that repeats
        it does the same with a submission that got no answer says so with ``again``.
        ``JobSubmissionError`` says why a job was refused.
        """
        boundary = secrets.token_hex(16)
        body = _multipart(boundary, json.dumps(submission.to_request()), submission.artifact)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        unclear: list[RestError] = []
        try:
            self.request("POST", "/v1/jobs", body, headers, unanswered=unclear.append)
        except RestError as error:
            if error.status == 409 and (again or unclear) and self._has_ended(submission.job_id):
                # The try that was not answered did store the job, and a later leader has run
                # it to its end before this one asked again.
                return submission.job_id
            if 400 <= error.status < 500:
                raise JobSubmissionError(str(error)) from None
            raise
        return submission.job_id

    def _has_ended(self, job_id: JobID) -> bool:
        return self.job(job_id).status.globally_terminal

    def jobs(self) -> list[JobDetails]:
        """The jobs the leader knows, running ones first."""
        return JobDetails.from_overview(self.get("/jobs/overview"))

    def job(self, job_id: str) -> JobDetails:
        """One job. ``JobNotFoundError`` when the cluster does not know it."""
        try:
            answer = self.request("GET", f"/v1/jobs/{JobID(job_id)}")
        except RestError as error:
            if error.status == 404:
                raise JobNotFoundError(str(error)) from None
            raise
        return JobDetails.from_flink(answer)

    def cancel(self, job_id: str) -> None:
        """Cancel a job; ``JobNotFoundError`` when the cluster does not know it."""
        try:
            self.request("PATCH", f"/v1/jobs/{JobID(job_id)}?mode=cancel")
        except RestError as error:
            if error.status == 404:
                raise JobNotFoundError(str(error)) from None
            raise

    def wait(
        self,
        job_id: str,
        timeout: float | None = None,
        on_progress: Callable[[JobDetails], None] | None = None,
    ) -> JobDetails:
        """Wait until the job has ended, over any failover; ``TimeoutError`` after ``timeout`` s.

        ``on_progress`` is called with every look at the job.
        """
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while True:
            details = self.job(job_id)
            if on_progress is not None:
                on_progress(details)
            if details.status.globally_terminal:
                return details
            if deadline is not None and self._clock.monotonic() > deadline:
                raise TimeoutError(f"job {job_id} is still {details.status} after {timeout:g} s")
            time.sleep(_POLL)

    def checkpoints(self, job_id: str) -> list[dict[str, Any]]:
        """The newest checkpoints of a running job, newest first, as Flink's REST shows them."""
        history: list[dict[str, Any]] = self.request(
            "GET", f"/v1/jobs/{JobID(job_id)}/checkpoints"
        )["history"]
        return history

    # --- cluster ---------------------------------------------------------------------------

    def overview(self) -> dict[str, Any]:
        return self.request("GET", "/v1/overview")

    def taskmanagers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.request("GET", "/v1/taskmanagers")["taskmanagers"]
        return found

    def get(self, path: str) -> dict[str, Any]:
        """What the leader answers to ``GET`` of a path of ``/v1``, as ``request`` does it."""
        return self.request("GET", f"/v1{path}")

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        unanswered: Callable[[RestError], object] = lambda _: None,
    ) -> dict[str, Any]:
        """One request to the leader, repeated while leadership moves.

        ``unanswered`` is told of every try that got no answer: it may have been served.
        """
        deadline = self._clock.monotonic() + self._patience
        while True:
            leader = self.leader(max(0.0, deadline - self._clock.monotonic()))
            try:
                return self._send(leader, method, path, body, headers or {})
            except RestError as error:
                if error.status == 0:
                    unanswered(error)
                moving = error.status in (0, 307, MISDIRECTED, 503)
                if not moving or self._clock.monotonic() >= deadline:
                    raise
            # The old leader may stay published for a moment: look again soon, and at once
            # when another one appears.
            with contextlib.suppress(LeaderRetrievalError):
                self._retriever.wait_for_leader(_POLL, different_from=leader.session_id)

    def _send(
        self,
        leader: LeaderInformation,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> dict[str, Any]:
        address = leader.address
        known = rest_address(address)
        if not known.secure and self._config.get_option(options.SSL_REST_ENABLED):
            raise RestError(
                f"{address} is published without TLS, and {options.SSL_REST_ENABLED.key} is true: "
                "nothing is sent there; set it for all JobManagers, or for none",
                MISDIRECTED,
            )
        # A real Flink proves nothing and wants no token; behind TLS its certificate was trusted.
        as_flink = known.secure and method != "POST"
        withheld: RestError | ConfigurationError | None = None
        try:
            if token := self._known_token():
                return self._exchange(leader, method, path, body, headers, token)
        except ConfigurationError as error:  # the token is there, and cannot be used
            if not as_flink:
                raise
            withheld = error
        except RestError as error:
            if error.status != MISDIRECTED or not as_flink:
                raise
            withheld = error
        try:
            return self._exchange(leader, method, path, body, headers, None)
        except RestError as error:
            raise (withheld if withheld and error.status == 401 else error) from None

    def _exchange(
        self,
        leader: LeaderInformation,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        token: str | None,
    ) -> dict[str, Any]:
        address = leader.address
        connection = self._idle_connection(leader, token) or self._trust.connection(
            address, self._timeout
        )
        kept = False
        try:
            with self._retriever.hang_up_when_deposed(leader, connection) as opened:
                if token and opened:
                    check_connection(connection, address, token)
                authorization = {"Authorization": f"Bearer {token}"} if token else {}
                where = rest_address(address).path + path
                connection.request(method, where, body, {**authorization, **headers})
                response = connection.getresponse()
                data = response.read()
            kept = not response.will_close
        except ssl.SSLError as error:
            raise self._trust.refused(address, error) from None
        except (OSError, http.client.HTTPException) as error:
            raise RestError(f"{method} {address}{path} got no answer: {error}") from None
        finally:
            if not kept or self._closed or len(self._idle) >= _IDLE:
                connection.close()
            else:
                self._idle.append((leader, token, connection))
        try:
            answer = json.loads(data or b"{}")
        except ValueError:
            answer = {"errors": [f"{method} {address}{path} was answered with no JSON"]}
        if response.status == 401 and not self._token and not rest_address(address).secure:
            read_token(self._config)  # which says where the token is expected
        if response.status >= 300:
            raise RestError(error_text(answer, response.reason), response.status)
        return answer if isinstance(answer, dict) else {"answer": answer}

    def _idle_connection(
        self, leader: LeaderInformation, token: str | None
    ) -> http.client.HTTPConnection | None:
        """An open connection to the same leader, which has proved itself before."""
        while self._idle:
            try:
                known, shown, connection = self._idle.pop()
            except IndexError:
                break  # another thread took the last one
            if (known, shown) == (leader, token) and _is_open(connection):
                return connection
            connection.close()
        return None

    def _known_token(self) -> str | None:
        """This cluster's token, if it has one; a real Flink cluster wants none."""
        if not self._token:
            self._token = find_token(self._config)
        return self._token


def _is_open(connection: http.client.HTTPConnection) -> bool:
    """Whether the other end has neither hung up nor said what it was not asked."""
    sock = connection.sock
    if sock is None or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLPRI)
    return not poll.poll(0)


def error_text(answer: Mapping[str, Any], reason: str) -> str:
    """What an error answer says, in one line.

    Flink adds the stack trace of the server; of it, the message of the exception is kept.
    """
    texts = []
    for error in map(str, answer.get("errors") or [reason]):
        lines = [line.strip() for line in error.strip().splitlines() if line.strip()]
        traced = any(line.startswith("at ") for line in lines)
        said = [line for line in lines if not line.startswith(("<Exception on server", "at "))]
        texts.append(said[0] if traced and said else " ".join(lines))
    return "; ".join(texts)


class _HangingUpRetriever(LeaderRetriever):
    """Hangs up on a leader when another one appears: the old one may never answer."""

    def __init__(self, cluster: str) -> None:
        super().__init__(cluster)
        self._talking: dict[http.client.HTTPConnection, LeaderInformation] = {}

    def notify_leader(self, information: LeaderInformation | None) -> None:
        super().notify_leader(information)
        for connection, leader in list(self._talking.items()):
            if information is not None and information != leader:
                self._hang_up(connection)

    @contextlib.contextmanager
    def hang_up_when_deposed(
        self, leader: LeaderInformation, connection: http.client.HTTPConnection
    ) -> Iterator[bool]:
        """Yields whether the connection was opened now, and was not open before."""
        opened = connection.sock is None
        if opened:
            connection.connect()
        self._talking[connection] = leader
        try:
            now = self.leader()
            if now is not None and now != leader:
                self._hang_up(connection)
            yield opened
        finally:
            del self._talking[connection]

    @staticmethod
    def _hang_up(connection: http.client.HTTPConnection) -> None:
        sock = connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _multipart(boundary: str, request: str, artifact: bytes) -> bytes:
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="request"\r\n'
        f"Content-Type: application/json\r\n\r\n{request}\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="artifact"; '
        f'filename="artifact.zip"\r\nContent-Type: application/zip\r\n\r\n'
    )
    return head.encode() + artifact + f"\r\n--{boundary}--\r\n".encode()
