"""How often an idle process speaks to ZooKeeper, and what is left when an answer is late."""

from __future__ import annotations

from typing import Any

import pytest

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.election_driver import BELIEF, PROOF_INTERVAL
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core.options import checked

FLINKS_PING = 1 / 3
"""Of the session timeout: half of the read timeout, which is two thirds (``ClientCnxn``)."""


def test_a_proof_is_the_leaders_ping_and_no_more_frequent_than_flinks() -> None:
    assert FLINKS_PING < PROOF_INTERVAL < zk.PING_INTERVAL < zk.PATIENCE


def test_a_late_answer_ends_a_belief_no_sooner_than_a_connection_of_flinks() -> None:
    """What is left for the answer to the proof that is sent when the last one is as old."""
    assert BELIEF - PROOF_INTERVAL > zk.PATIENCE - FLINKS_PING
    # A server that heard the last proof keeps the session for longer than that.
    assert BELIEF < 1.0


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(zk, "SYSTEM_CLOCK", time)
    return time


@pytest.fixture
def connection(time: Time) -> Any:
    options = {
        "high-availability.type": "zookeeper",
        "high-availability.zookeeper.quorum": "127.0.0.1:1",
        "high-availability.zookeeper.client.session-timeout": "30 s",
        "high-availability.storageDir": "file:///nowhere",
    }
    return zk.ZooKeeperClient(ZooKeeperSettings.of(checked(options)))._connection


def test_a_ping_is_due_when_nothing_was_sent(
    connection: Any, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_send_request", "_send_ping"):
        monkeypatch.setattr(zk.ConnectionHandler, name, lambda *_: None)
    quiet = connection.handler.quiet_time
    assert quiet() == pytest.approx(30 * zk.PING_INTERVAL)
    time.now += 11.0
    assert quiet() == pytest.approx(30 * zk.PING_INTERVAL - 11.0)
    connection._send_request(0.0, 0.0)  # a proof, or anything else
    assert quiet() == pytest.approx(30 * zk.PING_INTERVAL)
    time.now += 12.5
    assert quiet() == 0.0
    connection._send_ping(0.0)
    assert quiet() == pytest.approx(30 * zk.PING_INTERVAL)
    connection.ping_outstanding.set()
    assert quiet() == pytest.approx(30 * (zk.PATIENCE - zk.PING_INTERVAL))
    time.now += 5.0
    assert quiet() == pytest.approx(30 * (zk.PATIENCE - zk.PING_INTERVAL) - 5.0)
