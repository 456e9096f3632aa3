"""An address proves that it belongs to the cluster before it is shown a secret.

The store says where the leader is, and a stale or forged entry may lead to another program: a dead
leader's port is free for any process of the machine. So a client sends a nonce first, and the
JobManager answers with a nonce of its own and a MAC, keyed with the cluster's token, over both
and the place at which it was reached. Only then comes the token, on the same connection.

The MAC holds for that place alone: a program in between that passes the challenge on to a
JobManager gets an answer for the JobManager's address, and not for its own. A JobManager answers
for its socket's address, and for the one that its own configuration publishes: a proxy or a
forwarded port may stand there. A client takes either, so that address translation does not matter,
but on the loopback interface the address at which its own socket arrived and nothing else, because
every user can listen on every port there.

A TaskManager's connection goes both ways: it never shows the token, but answers with a MAC as well.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import json
import re
import secrets
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hawork.core.addresses import rest_address
from hawork.core.errors import RestError

CHALLENGE = "Hawork-Challenge"
"""The header of the client's nonce."""
PROOF = "Hawork-Proof"
"""The header of the server's nonce, and of one MAC per place of the server."""
PATH = "/v1/challenge"
MISDIRECTED = 421
"""HTTP's status for a request that has reached a server that it is not for."""

_SERVER, _CLIENT = "jobmanager", "client"
_NONCE = re.compile(r"[\w-]{22,128}", re.ASCII)
_LARGEST = 1 << 16
"""Bytes of an answer to a challenge that are read."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """The client's end of one connection to ``address``, such as ``http://127.0.0.1:8081``."""

    token: str
    address: str
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def headers(self) -> dict[str, str]:
        """What the request carries: nothing that is secret."""
        return {CHALLENGE: self.nonce}

    def check(self, answer: str | None, peer: tuple[Any, ...]) -> str:
        """The server's nonce, when ``answer`` proves that ``peer`` belongs to the cluster.

        ``peer`` is the address of the socket's other end. ``RestError`` of status 421 otherwise.
        """
        nonce, *proofs = (answer or "-").split()
        places = _places_met(self.address, peer)
        for place, _, given in (each.rpartition("=") for each in proofs):
            expected = _mac(self.token, _SERVER, place, self.nonce, nonce)
            if place in places and hmac.compare_digest(given.encode(), expected.encode()):
                return nonce
        what = "answered for another address" if proofs else "did not answer the challenge"
        raise RestError(
            f"{self.address} did not prove that it belongs to the cluster: it {what}; it was not "
            "shown the token. Another program may listen where a JobManager was, or this process "
            "reads another token file than the JobManagers",
            MISDIRECTED,
        )

    def proof(self, server_nonce: str) -> str:
        """What proves to that server that this client knows the token."""
        return _mac(self.token, _CLIENT, "", self.nonce, server_nonce)


@dataclass(frozen=True, slots=True)
class ChallengeAnswer:
    """The server's end: what it answers to a client's nonce, at its ``places``.

    ``ValueError`` when the nonce is none.
    """

    token: str
    client_nonce: str
    places: Iterable[str]
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def __post_init__(self) -> None:
        if not _NONCE.fullmatch(self.client_nonce):
            raise ValueError("it is not a nonce")

    @property
    def header(self) -> str:
        proofs = (
            f"{place}={_mac(self.token, _SERVER, place, self.client_nonce, self.nonce)}"
            for place in self.places
        )
        return " ".join([self.nonce, *proofs])

    def accepts(self, proof: str) -> bool:
        """Whether the client of this challenge knows the token; compared in constant time."""
        expected = _mac(self.token, _CLIENT, "", self.client_nonce, self.nonce)
        return hmac.compare_digest(proof.encode(), expected.encode())


def check_connection(connection: http.client.HTTPConnection, address: str, token: str) -> None:
    """Let the other end of an open connection prove that it belongs to the cluster.

    What follows on the connection goes to the same process: it is not opened again by itself.
    ``RestError`` of status 421 when it does not prove it, ``OSError`` when it does not answer.
    """
    connection.auto_open = 0
    peer = connection.sock.getpeername()
    challenge = Challenge(token, address)
    path = rest_address(address).path + PATH
    connection.request("GET", path, headers=challenge.headers)
    response = connection.getresponse()
    if len(response.read(_LARGEST)) == _LARGEST:
        raise http.client.HTTPException("the answer to the challenge is too long")
    challenge.check(response.getheader(PROOF), peer)


def places_of(address: str, socket_name: tuple[Any, ...]) -> tuple[str, ...]:
    """The places of a JobManager that publishes ``address`` and listens at a socket's name."""
    published = rest_address(address)
    place = _place(str(socket_name[0]), int(socket_name[1]))
    return tuple(dict.fromkeys((place, _place(published.host, published.port))))


def _places_met(address: str, peer: tuple[Any, ...]) -> tuple[str, ...]:
    """The places that a client believes, which asked for ``address`` and arrived at ``peer``."""
    if _is_loopback(str(peer[0])):
        return (_place(str(peer[0]), int(peer[1])),)
    return places_of(address, peer)


def _place(host: str, port: int) -> str:
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return f"{urllib.parse.quote(host.lower().rstrip('.'))}:{port}"  # goes into a header
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return f"{mapped or ip}:{port}" if ip.version == 4 or mapped else f"[{ip}]:{port}"


def _is_loopback(host: str) -> bool:
    ip = ipaddress.ip_address(host.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def _mac(token: str, role: str, place: str, client_nonce: str, server_nonce: str) -> str:
    message = json.dumps(["hawork", role, place, client_nonce, server_nonce])
    return hmac.new(token.encode(), message.encode(), hashlib.sha256).hexdigest()
