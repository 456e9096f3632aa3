"""Who may call REST: a client that has the cluster's token, and Flink's own clients when let in."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass

import tornado.httputil

from hawork.client.proof import CHALLENGE, ChallengeAnswer, places_of
from hawork.core import options
from hawork.core.configuration import Configuration

READ = "read"
CANCEL = "cancel"

_RIGHTS = {"none": (), READ: (READ,), CANCEL: (READ, CANCEL)}


@dataclass(frozen=True, slots=True)
class RestAccess:
    """The token, and what may be done without it by programs on the same machine.

    ``without_token`` is the value of ``hawork.rest.without-token``. A browser is not such
    a program: a foreign page could make it send requests, so what carries an ``Origin``,
    or is meant for a host name that is not ours, needs the token.
    """

    token: str
    without_token: str = "none"
    host: str = "127.0.0.1"
    address: str = ""
    """As it is published."""

    @classmethod
    def of(cls, config: Configuration, token: str, address: str = "") -> RestAccess:
        return cls(
            token,
            config.get_option(options.REST_WITHOUT_TOKEN),
            config.get_option(options.REST_ADDRESS),
            address,
        )

    def answer(self, request: tornado.httputil.HTTPServerRequest) -> ChallengeAnswer | None:
        """What proves to a client that this process knows the token; ``None`` without challenge."""
        local = request.connection.stream.socket.getsockname()  # type: ignore[union-attr]
        try:
            nonce = request.headers.get(CHALLENGE, "")
            return ChallengeAnswer(self.token, nonce, places_of(self.address, local))
        except ValueError:
            return None

    def has_token(self, request: tornado.httputil.HTTPServerRequest) -> bool:
        """Whether the request carries the token; compared in constant time."""
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode())

    def allows(self, request: tornado.httputil.HTTPServerRequest, right: str | None) -> bool:
        """Whether the request may be served; ``right`` is what it needs without a token."""
        if self.has_token(request):
            return True
        return (
            right in _RIGHTS[self.without_token]
            and "Authorization" not in request.headers
            and "Origin" not in request.headers
            and _is_loopback(request.remote_ip or "")
            and self._is_ours(tornado.httputil.split_host_and_port(request.host)[0])
        )

    def _is_ours(self, host: str) -> bool:
        return host in ("localhost", self.host) or _is_loopback(host)


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback
