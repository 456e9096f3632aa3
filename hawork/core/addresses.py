"""Addresses of REST endpoints, as leaders publish them and as people type them."""

from __future__ import annotations

import urllib.parse
from typing import NamedTuple

from hawork.core.errors import RestError

_PORTS = {"http": 80, "https": 443}


class RestAddress(NamedTuple):
    """Where a REST endpoint listens, and below which path of a gateway."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def url(self) -> str:
        """Without what a browser adds: a slash at the end, a page of the web interface."""
        return f"{self.scheme}://{in_brackets(self.host)}:{self.port}{self.path}"


def rest_address(address: str) -> RestAddress:
    """The parts of ``http://host:port/path``; ``RestError`` when it is none.

    >>> rest_address("https://gateway/team/orders/#/overview")
    RestAddress(scheme='https', host='gateway', port=443, path='/team/orders')
    """
    try:
        url = urllib.parse.urlsplit(address)
        port = _PORTS[url.scheme] if url.port is None else url.port
        if not url.hostname or not port:
            raise ValueError("no host, or the port 0, at which nothing listens")
    except (KeyError, ValueError):  # a port that is not a number, or none that can be
        raise RestError(
            f"{address} is not an address of a REST endpoint: write http://host:port, or https://"
        ) from None
    # The zone of a link-local IPv6 address stands behind %25 in a URL (RFC 6874), or behind %.
    host = url.hostname.replace("%25", "%") if ":" in url.hostname else url.hostname
    return RestAddress(url.scheme, host, port, url.path.rstrip("/"))


def in_brackets(host: str) -> str:
    """A host as it stands in an address: an IPv6 one in brackets.

    >>> in_brackets("::1")
    '[::1]'
    """
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def host_and_port(address: str) -> str:
    """``127.0.0.1:8081``, of a REST address or of an RPC one.

    >>> host_and_port("http://127.0.0.1:8081")
    '127.0.0.1:8081'
    """
    try:
        return urllib.parse.urlsplit(address).netloc.rpartition("@")[2] or address
    except ValueError:  # brackets that do not close
        return address
