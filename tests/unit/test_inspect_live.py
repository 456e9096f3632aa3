"""A configuration alone means the living cluster; with a dump beside it no server is asked."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hawork.ha.configuration_file import configuration_text
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
