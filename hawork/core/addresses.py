"""Addresses of REST endpoints, as leaders publish them and as people type them."""

from __future__ import annotations

import ipaddress
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


_NO_LETTERS_OF_HOSTS = set("/\\?#@<>{}|^`'\"$,;&!()=*[] ")


def why_not_a_host(host: str) -> str | None:
    """Why no host can be called so, as a part of a sentence; ``None`` for what may be one.

    What a resolver is asked for all the same ends in an ``UnicodeError``, or is waited for.

    >>> why_not_a_host("zk..example")
    'a part between its dots is empty or longer than 63 letters'
    """
    if any(c in _NO_LETTERS_OF_HOSTS or not c.isprintable() for c in host):
        return "it holds a character that no host name has"
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return "it is neither a name nor an IPv6 address, and a port stands elsewhere"
        return None
    try:
        host.encode("idna")
    except UnicodeError:
        return "a part between its dots is empty or longer than 63 letters"
    return None if host else "it is empty"


def rest_address(address: str) -> RestAddress:
    """The parts of ``http://host:port/path``; ``RestError`` when it is none.

    >>> rest_address("https://gateway/team/orders/#/overview")
    RestAddress(scheme='https', host='gateway', port=443, path='/team/orders')
    """
    try:
        url = urllib.parse.urlsplit(address)
        standard = _PORTS[url.scheme]
        port = standard if url.port is None else url.port
        host = url.hostname or ""
        # The zone of a link-local IPv6 address stands behind %25 in a URL (RFC 6874), or behind %.
        host = host.replace("%25", "%") if ":" in host else host
        reason = why_not_a_host(host) or (None if port else "nothing listens at port 0")
    except (KeyError, ValueError):  # a port that is not a number, or none that can be
        reason = "it has another scheme or none, or what follows the host is not a port"
    if reason:
        shown = address.rpartition("@")[2]  # what stands before it may be a password
        raise RestError(
            f"{shown} is not an address of a REST endpoint ({reason}): write http://host:port, or "
            "https://"
        )
    if url.username is not None:
        raise RestError(
            f"the address of {url.scheme}://{in_brackets(host)}:{port} holds a login, which hawork "
            "does not send: leave it out"
        )
    return RestAddress(url.scheme, host, port, urllib.parse.quote(url.path.rstrip("/"), "/%:;,@"))


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
