"""Another kazoo, with other private names: said when the backend is loaded."""

from __future__ import annotations

from typing import Any

import pytest
from kazoo.protocol.connection import ConnectionHandler

from hawork.backends.zookeeper import kazoo_check
from hawork.core.errors import ConfigurationError


def test_the_installed_one_is_known() -> None:
    kazoo_check.check_methods()


def test_a_method_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ConnectionHandler, "_connect_attempt")
    with pytest.raises(ConfigurationError, match=r"has no ConnectionHandler\._connect_attempt"):
        kazoo_check.check_methods()


def test_a_method_that_takes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: Any, address: str) -> None: ...

    monkeypatch.setattr(ConnectionHandler, "_connect", connect)
    with pytest.raises(ConfigurationError, match=r"Handler\._connect .*pip install kazoo"):
        kazoo_check.check_methods()


def test_an_attribute_that_is_gone() -> None:
    class Connection:
        sasl_options = handler = client = None

    class Client:
        _conn_retry = _pending = _queue = _session_timeout = _session_id = None
        _connection = Connection()

    with pytest.raises(ConfigurationError, match=r"Connection\._socket"):
        kazoo_check.check_client(Client())
