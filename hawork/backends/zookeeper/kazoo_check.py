"""Whether the kazoo that is installed has the private names on which our client stands.

What ``client.py`` puts right in kazoo it can only do there. Another version may call them
otherwise; that is said when the backend is loaded, and not by an ``AttributeError`` on some thread
while the process leads.
"""

from __future__ import annotations

import inspect
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kazoo.client import KazooClient
from kazoo.protocol.connection import ConnectionHandler

from hawork.core.errors import ConfigurationError

TESTED = "2.11.0"
_METHODS: dict[tuple[Any, str], tuple[str, ...]] = {
    (ConnectionHandler, "_expand_client_hosts"): (),
    (ConnectionHandler, "_connect_attempt"): ("host", "hostip", "port", "retry"),
    (ConnectionHandler, "_connect"): ("host", "hostip", "port"),
    (ConnectionHandler, "_send_request"): ("read_timeout", "connect_timeout"),
    (ConnectionHandler, "_send_ping"): ("connect_timeout",),
    (ConnectionHandler, "_read_response"): ("header", "buffer", "offset"),
    (ConnectionHandler, "_invoke"): ("timeout", "request", "xid"),
    (ConnectionHandler, "_authenticate_with_sasl"): ("host", "timeout"),
    (KazooClient, "_session_callback"): ("state",),
    (KazooClient, "_call"): ("request", "async_object"),
}
_OF_A_CLIENT = (
    "_conn_retry", "_pending", "_queue", "_session_timeout", "_session_id", "_connection",
)  # fmt: skip
_OF_A_CONNECTION = (
    "_socket", "_read_sock", "ping_outstanding", "sasl_options", "handler", "client",
)  # fmt: skip


def check_methods() -> None:
    """``ConfigurationError`` when a method is absent, or takes other arguments."""
    for (owner, name), arguments in _METHODS.items():
        method = getattr(owner, name, None)
        found = None if method is None else tuple(inspect.signature(method).parameters)[1:]
        if found != arguments:
            raise _unknown(f"{owner.__name__}.{name}")


def check_client(client: Any) -> None:
    """``ConfigurationError`` when a client that was made lacks an attribute."""
    for owner, names in ((client, _OF_A_CLIENT), (client._connection, _OF_A_CONNECTION)):
        for name in names:
            if not hasattr(owner, name):
                raise _unknown(f"{type(owner).__name__}.{name}")


def _unknown(name: str) -> ConfigurationError:
    try:
        installed = version("kazoo")
    except PackageNotFoundError:
        installed = "of an unknown version"
    return ConfigurationError(
        f"kazoo {installed} has no {name} as hawork knows it: install the version that was tested, "
        f"with pip install kazoo=={TESTED}"
    )
