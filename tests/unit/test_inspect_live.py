"""A configuration alone means the living cluster; with a dump beside it no server is asked."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hawork.backends.zookeeper.client import _Refusals
from hawork.ha.configuration_file import configuration_text
from hawork.inspect.live import live_storage
from hawork.inspect.settings import parse_settings
from hawork.inspect.sources import Sources, read_sources


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Of a cluster whose ZooKeeper is away and whose storageDir is there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    (tmp_path / "ha" / "prod").mkdir(parents=True)
    (tmp_path / "ha" / "prod" / "submittedJobGraph0").write_bytes(b"x")
    path = tmp_path / "config.yaml"
    path.write_text(configuration_text({
        "high-availability.type": "zookeeper",
        "high-availability.zookeeper.quorum": f"127.0.0.1:{port}",
        "high-availability.zookeeper.client.connection-timeout": "1 s",
        "high-availability.cluster-id": "/prod",
        "high-availability.storageDir": f"file://{tmp_path}/ha",
        "execution.checkpointing.dir": f"file://{tmp_path}/ha/checkpoints",
        "execution.checkpointing.savepoint-dir": f"file://{tmp_path}/gone",
    }))  # fmt: skip
    return path


def test_a_store_that_is_away_costs_itself_only(config: Path) -> None:
    cluster = read_sources(Sources(config=config))
    missed = {each.what: each.why for each in cluster.not_looked_at}
    assert "no ZooKeeper server of 127.0.0.1" in missed["HA store"]
    assert f"{config.parent}/gone does not exist" in missed["storage"]
    assert not cluster.store_looked and not cluster.live
    assert cluster.files is not None
    name = cluster.files.name_of(f"file:{config.parent}/ha/prod/submittedJobGraph0")
    assert name is not None and cluster.files.read(name) == b"x"


def test_no_server_is_asked_when_a_storage_is_given(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("hawork.inspect.sources.read_live_store")
    sources = Sources(config=config, storage=config.parent / "ha")
    assert not sources.live
    cluster = read_sources(sources)
    assert "none was given" in {each.what: each.why for each in cluster.not_looked_at}["HA store"]


def test_servers_that_refuse_connections_are_not_waited_for_as_slow_ones_are(config: Path) -> None:
    """With a connection timeout of two days: the test would not end by waiting for that."""
    text = config.read_text()
    assert text.count("1 s") == 1
    config.write_text(text.replace("1 s", "2 d"))
    missed = {each.what: each.why for each in read_sources(Sources(config=config)).not_looked_at}
    assert "takes a connection (" in missed["HA store"]


def test_a_name_without_address_is_told_as_soon(config: Path) -> None:
    text = config.read_text().replace("1 s", "2 d").replace("127.0.0.1", "zk.invalid")
    config.write_text(text)
    missed = {each.what: each.why for each in read_sources(Sources(config=config)).not_looked_at}
    assert "takes a connection (no address is known for zk.invalid)" in missed["HA store"]


def test_a_server_that_comes_up_or_is_slow_has_the_whole_connection_timeout() -> None:
    """Seconds of refusal count from the first of the server that refused last, in a row."""
    refusals = _Refusals()
    assert refusals.lasted() == 0.0  # nothing was tried yet
    one, two = ("10.0.0.1", 2181), ("10.0.0.2", 2181)
    refusals.expect([one, two])
    refusals.note(one, refused=True)
    assert refusals.lasted() == 0.0  # the other one was not tried
    refusals.note(two, refused=False)  # it is slow
    assert refusals.lasted() == 0.0
    refusals.note(two, refused=True)
    assert refusals.lasted() > 0.0
    refusals.expect([two, one])  # the names are looked up before each round
    assert refusals.lasted() > 0.0
    refusals.note(one, refused=False)
    assert refusals.lasted() == 0.0
    refusals.expect([two])
    assert refusals.lasted() > 0.0


@pytest.mark.parametrize("key", ["dstl.dfs.base-path", "state.changelog.dstl.dfs.base-path"])
def test_the_folder_of_a_changelog_is_looked_at(tmp_path: Path, key: str) -> None:
    """Each checkpoint names files of it; they had been below no URL that is mapped."""
    (tmp_path / "changes" / "job" / "dstl").mkdir(parents=True)
    (tmp_path / "changes" / "job" / "dstl" / "a").write_bytes(b"x")
    settings = parse_settings(f"{key}: file://{tmp_path}/changes", "config.yaml")
    storage, mapping, problems = live_storage(settings)
    assert list(mapping) == [f"file:{tmp_path}/changes"]
    assert [each.name.rpartition("changes/")[2] for each in storage.listing()] == ["job/dstl/a"]
    assert problems == []
