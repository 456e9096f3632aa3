"""Which proxy stands between us and the API server, as kubectl finds it.

``proxy-url`` of the kubeconfig is used for whatever server it stands beside. Without it the
environment counts: ``HTTPS_PROXY`` or ``HTTP_PROXY`` by the server's scheme, then ``ALL_PROXY``,
except for what ``NO_PROXY`` lists and for this machine itself, so that a lab starts behind a
company's proxy. Each name may be in lower case.

Source: Go's ``golang.org/x/net/http/httpproxy``, which kubectl uses; it knows no ``ALL_PROXY``.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from hawork.core.addresses import why_not_a_host

_SCHEMES = ("http", "https")
_PORTS = {"http": 80, "https": 443}


class UnusableProxyError(Exception):
    """The proxy that is named cannot be used; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """``url`` has no user in it; ``login`` is ``user:password`` if there was one."""

    url: str
    named_by: str
    login: str | None = None

    def __str__(self) -> str:
        return f"proxy {self.url} (of {self.named_by})"


def proxy_for(server: str, proxy_url: str | None, kubeconfig: str) -> Proxy | None:
    """The proxy for requests to ``server``, if any. ``UnusableProxyError``."""
    if proxy_url:
        return _proxy(proxy_url, f"proxy-url in {kubeconfig}")
    url = urlsplit(server)
    for name in (f"{url.scheme.upper()}_PROXY", "ALL_PROXY"):
        for variable in (name, name.lower()):
            if os.environ.get(variable):
                spared = _is_spared(url, os.environ.get("NO_PROXY") or os.environ.get("no_proxy"))
                return None if spared else _proxy(os.environ[variable], variable)
    return None


def _proxy(written: str, named_by: str) -> Proxy:
    text = written.strip()
    whole = text if "://" in text else f"http://{text}"
    try:
        url = urlsplit(whole)
        host, port = url.hostname or "", url.port
    except ValueError:  # brackets that do not close, a port that is none
        raise _not_a_proxy(named_by) from None
    if url.scheme and url.scheme.lower() not in _SCHEMES:
        raise UnusableProxyError(
            f"{named_by} names a proxy of the kind {url.scheme}, and only http and https are "
            "supported: name such a one, or except the API server with NO_PROXY"
        )
    known = host.replace("%25", "%") if ":" in host else host
    # Of "http:/host" the scheme would pass for the host.
    cut_short = whole is not text and url.path.strip("/")
    if not url.scheme or cut_short or port == 0 or why_not_a_host(known):
        raise _not_a_proxy(named_by)
    login = None
    if url.username is not None:
        login = f"{unquote(url.username)}:{unquote(url.password or '')}"
    address = f"[{host}]" if ":" in host else host
    scheme = url.scheme.lower()
    return Proxy(f"{scheme}://{address}:{port or _PORTS[scheme]}", named_by, login)


def _not_a_proxy(named_by: str) -> UnusableProxyError:
    # Without what stands there, which may hold a password.
    return UnusableProxyError(f"{named_by} is not a URL of a proxy: write http://host:port")


def _is_spared(server: SplitResult, no_proxy: str | None) -> bool:
    """Whether the environment's proxy is not for this server."""
    host = (server.hostname or "").rstrip(".")
    port = server.port or _PORTS[server.scheme]
    address = _address(host)
    if host == "localhost" or (address and (address.is_loopback or address.is_unspecified)):
        return True
    entries = (entry.lower() for entry in re.split(r"[,\s]+", no_proxy or "") if entry)
    return any(_covers(entry, host, address, port) for entry in entries)


def _covers(
    entry: str,
    host: str,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
    port: int,
) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    if (listed := _address(entry.strip("[]"))) is None:
        name, colon, ending = entry.rpartition(":")
        if colon and ending.isdigit():
            if int(ending) != port:
                return False
            entry = name
            listed = _address(entry.strip("[]"))
    if listed is not None:
        return listed == address
    # "name" is the host and what is below it, ".name" only what is below it.
    name = entry.removeprefix("*").rstrip(".")
    return host == name or host.endswith(name if name.startswith(".") else f".{name}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])  # without the zone of a link-local one
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
