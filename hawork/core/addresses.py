"""Addresses of REST endpoints, as leaders publish them and as people type them."""

from __future__ import annotations

import urllib.parse
from typing import NamedTuple

from hawork.core.errors import RestError

_PORTS = {"http": 80, "https": 443}


class RestAddress(NamedTuple):
    """Where a REST endpoint listens."""

    scheme: str
    host: str
    port: int


def rest_address(address: str) -> RestAddress:
    """The parts of ``http://host:port``; ``RestError`` when it is none.

    >>> rest_address("http://127.0.0.1:8081")
    RestAddress(scheme='http', host='127.0.0.1', port=8081)
    """
    try:
        url = urllib.parse.urlsplit(address)
        port = url.port or _PORTS[url.scheme]
        if not url.hostname:
            raise ValueError("no host")
    except (KeyError, ValueError):  # a port that is no number, or none that can be
        raise RestError(
            f"{address} is no address of a REST endpoint: write http://host:port"
        ) from None
    return RestAddress(url.scheme, url.hostname, port)


def host_and_port(address: str) -> str:
    """``127.0.0.1:8081``, of a REST address or of an RPC one.

    >>> host_and_port("http://127.0.0.1:8081")
    '127.0.0.1:8081'
    """
    try:
        return urllib.parse.urlsplit(address).netloc.rpartition("@")[2] or address
    except ValueError:  # brackets that do not close
        return address
