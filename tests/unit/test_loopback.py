"""Ports for servers that somebody will start a little later."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hawork.core.errors import LabError
from hawork.servers import machine as loopback
from hawork.servers.machine import HOST, free_ports


def test_nobody_who_asks_for_any_port_gets_one_of_ours() -> None:
    given = loopback._first_that_is_given_away()
    ports = free_ports(200)
    assert len(set(ports)) == 200
    assert max(ports) < given
    with socket.socket() as any_port:
        any_port.bind((HOST, 0))
        assert any_port.getsockname()[1] >= given


def test_a_port_that_is_used_is_not_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    monkeypatch.setattr(loopback, "_FIRST", port)
    monkeypatch.setattr(loopback, "_RANGE", tmp_path / "range")
    (tmp_path / "range").write_text(f"{port + 1} 60999\n")
    with socket.socket() as server:
        server.bind((HOST, port))
        with pytest.raises(LabError, match=r"fewer than 1 ports are free on 127\.0\.0\.1"):
            free_ports(1)
    assert free_ports(1) == [port]
