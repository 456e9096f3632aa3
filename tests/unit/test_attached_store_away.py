"""Attaching to a cluster whose HA store is away: nothing waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_flink import JOB, FakeDiscovery, FakeJobManager

import hawork
from hawork.core.errors import (
    ConfigurationError,
    LabError,
    LeaderRetrievalError,
    NotAllowedError,
    RestError,
    StoreUnavailableError,
)
from hawork.core.events import EventSink
from hawork.core.types import REST_SERVER
from hawork.lab import FlinkCluster
from hawork.lab.flink import watch as flink_watch
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


DENIED = "the credentials of kubeconfig x may not list configmaps: add list to our Role"


def test_what_may_be_seen_is_shown_where_a_right_is_missing(
    manager: FakeJobManager, options: dict[str, str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """``attach`` had raised the sentence, and nothing else could be looked at."""
    discovery, allowed = FakeDiscovery(), threading.Event()

    def refuse(config: object, *, events: EventSink) -> FakeDiscovery:
        if not allowed.is_set():
            raise NotAllowedError(DENIED)
        return discovery.open(config, events=events)

    monkeypatch.setattr(hawork, "open_ha_services", refuse)
    monkeypatch.setattr(flink_watch, "_RIGHTS_SECONDS", 0.05)
    host, _, port = manager.address.removeprefix("http://").partition(":")
    (tmp_path / "storage").mkdir()
    named = options | {"rest.address": host, "rest.port": port}
    with FlinkCluster.attach(named) as view:
        assert DENIED in view.silence()
        with pytest.raises(LabError, match="add list to our Role"):
            view.leader()
        assert view.leader_information() is None
        assert view.rest_address() == manager.address
        assert [job.job_id for job in view.jobs()] == [JOB]
        eventually(lambda: [job.job_id for job in view.snapshot().jobs] == [JOB])
        assert view.storage_directory() == tmp_path / "storage"
        assert DENIED in view._repr_html_()
        allowed.set()
        eventually(lambda: discovery.own is not None and not view._watch.store_trouble)
        discovery.publish(manager)
        assert view.leader() == f"{host}:{port}" and not view._watch.denied
    allowed.clear()
    with FlinkCluster.attach(options) as view:
        assert view.rest_address() is None, "the configuration names no endpoint"
        with pytest.raises(RestError, match="add list to our Role"):
            view.jobs()


def test_why_leader_retrieval_cannot_read_is_told(
    manager: FakeJobManager, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A znode that is closed, or damaged, had been "the HA store names no leader now"."""
    discovery = FakeDiscovery()
    monkeypatch.setattr(hawork, "open_ha_services", discovery.open)
    with FlinkCluster.attach(options) as view:
        eventually(lambda: REST_SERVER in discovery._listeners)
        discovery.without_leader()
        assert view.silence().startswith("the HA store names no leader now")
        for error in (
            StoreUnavailableError("ZooKeeper gives us no rights on /flink"),
            LeaderRetrievalError("znode /flink holds no leader"),
        ):
            discovery._listeners[REST_SERVER].handle_error(error)
            assert str(error) in view.silence()
        discovery.publish(manager)
        assert view.leader() == manager.address.removeprefix("http://")
        discovery.without_leader()
        assert "holds no leader" not in view.silence()
