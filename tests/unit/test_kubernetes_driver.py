"""A contender on Kubernetes in a process that may start no thread more."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest

from hawork.backends.kubernetes.answers import ExpiredError
from hawork.backends.kubernetes.election_driver import KubernetesLeaderElectionDriver
from hawork.backends.kubernetes.watch import ClusterWatch
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import StoreUnavailableError
from hawork.core.events import NullEventSink
from hawork.ha.lease_state import LeaseTimeouts

SETTINGS: Any = SimpleNamespace(timeouts=LeaseTimeouts(15.0, 15.0, 0.1))


def contenders() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "kubernetes-election"]


def test_a_driver_that_cannot_be_started_stands_in_no_election() -> None:
    """It held the lock, renewed it, and led in no contender's name."""
    away = Mock(side_effect=StoreUnavailableError("the server is away"))
    claims: Any = SimpleNamespace(cluster=SimpleNamespace(read=away, write=away, deleted=None))
    watch: Any = SimpleNamespace(
        live=False, subscribe=Mock(side_effect=RuntimeError("can't start new thread"))
    )
    with pytest.raises(RuntimeError, match="can't start new thread"):
        KubernetesLeaderElectionDriver(
            claims, watch, SETTINGS, Mock(), SYSTEM_CLOCK, NullEventSink()
        )
    assert not contenders()


def test_a_watch_that_could_not_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken for one that runs: no leader was heard of any more."""
    client: Any = SimpleNamespace(list=Mock(side_effect=StoreUnavailableError("away")))
    cluster: Any = SimpleNamespace(name="m", known=None)
    watch = ClusterWatch(client, cluster, SETTINGS, NullEventSink())
    with monkeypatch.context() as patched:
        patched.setattr(
            threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread"))
        )
        with pytest.raises(RuntimeError, match="can't start new thread"):
            watch.subscribe(lambda *_: None)
    asked = threading.Event()
    client.list.side_effect = lambda *_: asked.set() or ([], "1")
    client.watch = Mock(side_effect=StoreUnavailableError("away"))
    cluster.server_has = Mock()
    watch.subscribe(lambda *_: None)
    assert asked.wait(20.0)
    watch.close()


@pytest.mark.parametrize("ends", [None, ExpiredError("too old")])
def test_watches_that_end_at_once_are_not_asked_for_without_a_pause(
    ends: Exception | None,
) -> None:
    """As a proxy may let them end: the server was asked as often as the processor could."""
    paused: list[float] = []

    class Closing(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            paused.append(timeout or 0.0)
            if len(paused) == 3:
                self.set()
            return super().wait(0.0)

    ended = MagicMock()  # of which nothing comes
    opened = Mock(side_effect=[ends or ended for _ in range(1000)])
    client: Any = SimpleNamespace(list=lambda *_: ([], "1"), watch=opened)
    cluster: Any = SimpleNamespace(name="m", known=None, server_has=Mock())
    watch = ClusterWatch(client, cluster, SETTINGS, NullEventSink())
    watch._closed = Closing()
    watch._run()
    assert opened.call_count == 3
    assert all(0.0 < each <= 0.1 for each in paused)
