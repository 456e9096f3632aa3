"""When a peer counts as lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hawork.runtime.heartbeat import HeartbeatMonitor


def test_a_silent_peer_is_lost_once() -> None:
    monitor = HeartbeatMonitor(3.0)
    monitor.watch("tm-1", 0.0)
    assert [monitor.lost(now) for now in (1.0, 2.0, 3.0)] == [[], [], []]
    assert monitor.lost(3.5) == ["tm-1"]
    assert monitor.lost(4.0) == []


def test_a_peer_that_speaks_is_kept() -> None:
    monitor = HeartbeatMonitor(3.0)
    monitor.watch("tm-1", 0.0)
    for now in range(1, 20):
        monitor.heard("tm-1", float(now))
        assert monitor.lost(float(now)) == []
    assert monitor.silence("tm-1", 20.0) == 1.0


def test_a_forgotten_peer_is_neither_lost_nor_heard() -> None:
    monitor = HeartbeatMonitor(3.0)
    monitor.watch("tm-1", 0.0)
    monitor.forget("tm-1")
    monitor.heard("tm-1", 1.0)
    assert monitor.lost(10.0) == []


def test_our_own_stall_is_not_blamed_on_the_peers() -> None:
    monitor = HeartbeatMonitor(3.0)
    monitor.watch("tm-1", 0.0)
    assert monitor.lost(1.0) == []
    assert monitor.lost(100.0) == [], "this process did not look for 99 s"
    assert monitor.lost(101.0) == []
    assert monitor.lost(102.4) == []
    assert monitor.lost(103.8) == ["tm-1"], "and nothing was heard since"


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=60), st.floats(2.1, 5.0))
def test_a_peer_is_never_lost_before_the_timeout(pauses: list[float], timeout: float) -> None:
    monitor = HeartbeatMonitor(timeout)
    monitor.watch("tm-1", 0.0)
    now = 0.0
    for pause in pauses:
        now += pause
        lost = monitor.lost(now)
        assert bool(lost) == (now > timeout)
        if lost:
            return
