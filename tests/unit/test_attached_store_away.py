"""Attaching to a cluster whose HA store is away: nothing waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_flink import FakeDiscovery, FakeJobManager

import hawork
from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.core.events import EventSink
from hawork.lab import FlinkCluster
from hawork.testing import eventually


@pytest.fixture
def manager() -> Iterator[FakeJobManager]:
    made = FakeJobManager()
    yield made
    made.close()


@pytest.fixture
def options(tmp_path: Path) -> dict[str, str]:
    return {
        "high-availability.type": "embedded",
        "high-availability.storageDir": f"file://{tmp_path}/storage",
    }


def test_a_store_that_is_away_is_connected_to_once_it_answers(
    manager: FakeJobManager, options: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    discovery, answers = FakeDiscovery(), threading.Event()

    def open_late(config: object, *, events: EventSink) -> FakeDiscovery:
        if not answers.is_set():
            raise StoreUnavailableError("no ZooKeeper server answers")
        return discovery.open(config, events=events)

    monkeypatch.setattr(hawork, "open_ha_services", open_late)
    with FlinkCluster.attach(options) as view:
        eventually(lambda: "no ZooKeeper server answers" in view.silence())
        assert view.rest_address() is None
        answers.set()
        eventually(lambda: discovery.own is not None and not view._watch.store_trouble)
        discovery.publish(manager)
        assert view.leader_information() is not None


def test_neither_attaching_nor_closing_waits_for_a_store_that_hangs(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is opened after all is closed again."""
    discovery = FakeDiscovery()
    answers, closed = threading.Event(), threading.Event()

    def hang(config: object, *, events: EventSink) -> FakeDiscovery:
        answers.wait()
        return discovery.open(config, events=events)

    monkeypatch.setattr(hawork, "open_ha_services", hang)
    monkeypatch.setattr(discovery, "close", closed.set)
    with FlinkCluster.attach(options) as view:
        assert view.silence() == "the HA store has not been heard yet"
    answers.set()
    assert closed.wait(30)


def test_a_wrong_option_is_told_at_once(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConfigurationError("option x is wrong")

    monkeypatch.setattr(hawork, "open_ha_services", refuse)
    with pytest.raises(ConfigurationError, match="option x is wrong"):
        FlinkCluster.attach(options)
