"""The JobManager's REST server: tokens, limits, errors as JSON, and who may answer.

Paths and answers follow Flink's v1 REST API where Flink has them (``rest_handlers.py``).
Every request needs the cluster's token, sent as ``Authorization: Bearer <token>``, unless
``rest_access.py`` lets it in. A standby sends clients on to the leader with status 307, or
answers 503 while there is no leader.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import tornado.httpserver
import tornado.httputil
import tornado.platform.asyncio  # else Tornado imports it when it serves, and needs a descriptor
import tornado.web

from hawork.client.tls import server_context
from hawork.core import options
from hawork.core.addresses import in_brackets, why_not_a_host
from hawork.core.configuration import Configuration, Option
from hawork.core.errors import (
    ArtifactError,
    ConfigurationError,
    DuplicateJobSubmissionError,
    HaworkError,
    JobNotFoundError,
    LeadershipLostError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.units import JAVA_BLANKS
from hawork.runtime.dispatcher import Dispatcher
from hawork.runtime.rest_access import RestAccess

NO_LEADER = "Service temporarily unavailable due to an ongoing leader election. Please refresh."

_STATUS_OF = (
    (JobNotFoundError, 404),
    (DuplicateJobSubmissionError, 409),
    (ArtifactError, 400),
    (ConfigurationError, 400),
    (LeadershipLostError, 503),
    (StoreUnavailableError, 507),
    (PossibleInconsistentStateError, 503),
)


class RestEndpoint:
    """Listens from its construction; ``serve`` begins to answer."""

    def __init__(self, config: Configuration) -> None:
        self._tls = server_context(config)
        host = _host(config, options.REST_ADDRESS)
        self._socket = _listen(
            _host(config, options.REST_BIND_ADDRESS), config.get_option(options.REST_BIND_PORT)
        )
        bound, self.port, *_ = self._socket.getsockname()
        if (
            not config.contains(options.REST_ADDRESS)
            and not ipaddress.ip_address(bound).is_unspecified
        ):
            host = bound
        self.address = f"http{'s' if self._tls else ''}://{in_brackets(host)}:{self.port}"
        self._limit = config.get_option(options.REST_MAX_CONTENT_LENGTH)
        self._server: tornado.httpserver.HTTPServer | None = None

    def serve(
        self,
        access: RestAccess,
        dispatcher: Callable[[], Dispatcher | None],
        proved_leader: Callable[[], Awaitable[str | None]],
        routes: list[Any],
    ) -> None:
        logging.getLogger("tornado.access").setLevel(logging.ERROR)
        application = tornado.web.Application(
            routes,
            default_handler_class=UnknownPath,
            access=access,
            dispatcher=dispatcher,
            proved_leader=proved_leader,
            limit=self._limit,
            websocket_max_message_size=self._limit,
        )
        server = tornado.httpserver.HTTPServer(
            application,
            ssl_options=self._tls,
            max_buffer_size=self._limit + (1 << 20),
            max_body_size=1 << 40,
        )
        server.add_socket(self._socket)
        self._server = server

    async def close(self) -> None:
        if self._server is None:
            self._socket.close()
        else:
            self._server.stop()  # closes the sockets, which have to be open
            await self._server.close_all_connections()


def _host(config: Configuration, option: Option[str]) -> str:
    """A host, without the brackets that an IPv6 address may have; ``ConfigurationError``."""
    written = config.get_option(option).strip(JAVA_BLANKS)
    host = written[1:-1] if written.startswith("[") and written.endswith("]") else written
    if reason := why_not_a_host(host):
        raise ConfigurationError(
            f"option {option.key} is {written!r}: {reason}; write a host name or an address, "
            "without scheme and port"
        )
    return host


def _listen(host: str, ports: tuple[int, ...]) -> socket.socket:
    """A socket at the first port that is free, as Flink takes it from a range.

    ``::`` listens for IPv4, too, as it does in Java.
    """
    reason = ""
    for port in ports:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            family, *_, place = sorted(found)[0]  # a name of both kinds means IPv4
            address = str(place[0])
            listening = socket.create_server(
                (address, port), family=family, backlog=128,
                dualstack_ipv6=address == "::" or address.startswith("::ffff:"),
            )  # fmt: skip
        except OSError as error:
            # Python adds the address to the words of some errors.
            reason = (error.strerror or str(error)).partition(" (while attempting")[0]
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                break
        else:
            listening.setblocking(False)
            return listening
    shown = f"{ports[0]}" if len(ports) == 1 else f"{ports[0]} or any other of {len(ports)} ports"
    raise ConfigurationError(
        f"REST cannot listen on {in_brackets(host)}:{shown} ({reason}): choose another "
        f"{options.REST_PORT.key} (0 picks a free one), {options.REST_BIND_PORT.key} or "
        f"{options.REST_BIND_ADDRESS.key}"
    )


@tornado.web.stream_request_body
class Handler(tornado.web.RequestHandler):
    """Checks token and size before a body is read, and answers errors as Flink does."""

    asks_leader = True
    """Whether a standby sends the request on."""
    rights: Mapping[str, str] = {}
    """What a request of each method needs, where it can be let in without a token."""

    def initialize(self) -> None:
        self.body = bytearray()

    async def prepare(self) -> None:
        access: RestAccess = self.settings["access"]
        if not access.allows(self.request, self.rights.get(self.request.method or "")):
            self.refuse(
                401, "the request has no valid token: send 'Authorization: Bearer <token>' with "
                "the content of the cluster's token file ('hawork leader --flink-headers' says "
                f"how for Flink's own client), or set {options.REST_WITHOUT_TOKEN.key}"
            )  # fmt: skip
            return
        length = self.request.headers.get("Content-Length", "0")
        if length.isdigit() and int(length) > self.settings["limit"]:
            self._refuse_size(int(length))
        elif self.asks_leader and self.settings["dispatcher"]() is None:
            await self._send_on()

    async def _send_on(self) -> None:
        """Name the leader, once it has proved that it is one of this cluster.

        Clients that follow a redirection may take the token along.
        """
        address: str | None = await self.settings["proved_leader"]()
        if address is None:
            self.answer({"errors": [NO_LEADER]}, 503)
            return
        self.set_header("Location", f"{address}{self.request.uri}")
        self.answer({"errors": [f"the leader is at {address}"]}, 307)

    def data_received(self, chunk: bytes) -> None:
        self.body += chunk
        if len(self.body) > self.settings["limit"] and not self._finished:
            self._refuse_size(len(self.body))

    def _refuse_size(self, size: int) -> None:
        self.refuse(
            413, f"the request has {size} bytes, more than the {self.settings['limit']} of "
            f"{options.REST_MAX_CONTENT_LENGTH.key}: send less or raise it"
        )  # fmt: skip

    def refuse(self, status: int, message: str) -> None:
        """Answer with an error and hang up: the rest of the request is not wanted."""
        self.set_header("Connection", "close")
        self.answer({"errors": [message]}, status)

    def answer(self, data: Any, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(json.dumps(data))

    def leading(self) -> Dispatcher | None:
        """The dispatcher, if this process leads; otherwise the request is answered here."""
        dispatcher: Dispatcher | None = self.settings["dispatcher"]()
        if dispatcher is not None:
            return dispatcher
        self.answer({"errors": [NO_LEADER]}, 503)  # it led a moment ago
        return None

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        message = f"{self.request.method} {self.request.path}: {self._reason}"
        if isinstance(error, HaworkError):
            message = str(error)
            status_code = next(
                (status for kind, status in _STATUS_OF if isinstance(error, kind)), 400
            )
        self.answer({"errors": [message]}, status_code)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, (HaworkError, tornado.web.HTTPError)):
            super().log_exception(typ, value, tb)


class UnknownPath(Handler):
    """Every path that is not served."""

    asks_leader = False

    async def prepare(self) -> None:
        await super().prepare()
        if not self._finished:
            self.refuse(404, f"there is nothing at {self.request.path}: try /v1/jobs/overview")
