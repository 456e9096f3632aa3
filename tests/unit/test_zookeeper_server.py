"""Finding and running real servers."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from hawork.cli import doctor
from hawork.core.errors import ConfigurationError, LabError
from hawork.lab import LabCluster
from hawork.servers.java import flink_jars
from hawork.servers.zookeeper import program as zookeeper_program
from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from hawork.servers.zookeeper.program import ZooKeeperProgram


def test_missing_java_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(LabError, match="apt-get install default-jre-headless"):
        ZooKeeperProgram.find()


def test_missing_zookeeper_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(zookeeper_program, "_DEBIAN_JAR", tmp_path / "none.jar")
    monkeypatch.setattr(zookeeper_program, "flink_jars", list)
    monkeypatch.delenv("ZOOKEEPER_HOME", raising=False)
    with pytest.raises(LabError, match="apt-get install zookeeper"):
        ZooKeeperProgram.find()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "zookeeper-3.9.1.jar").touch()
    monkeypatch.setenv("ZOOKEEPER_HOME", str(tmp_path))
    assert ZooKeeperProgram.find().class_path.endswith("zookeeper-3.9.1.jar")


def test_flinks_own_zookeeper_will_do(tmp_path: Path) -> None:
    assert flink_jars()
    with ZooKeeperServers(tmp_path, program=ZooKeeperProgram.of_flink()) as servers:
        assert servers.role("zk-1") == "standalone"


def test_a_server_can_be_killed_and_comes_back_on_its_port(tmp_path: Path) -> None:
    with ZooKeeperServers(tmp_path) as servers:
        process = psutil.Process(servers.pid("zk-1"))
        assert process.memory_info().rss < 120 << 20
        servers.kill("zk-1")
        assert servers.role("zk-1") is None
        with pytest.raises(LabError, match="no ZooKeeper server leads"):
            servers.leader()
        servers.restart("zk-1")
        assert servers.leader() == "zk-1"
        assert int(servers.metrics("zk-1")["znode_count"]) > 0
        process = psutil.Process(servers.pid("zk-1"))
    assert not process.is_running()


def test_what_is_no_ensemble_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="use 1, 3 or 5"):
        ZooKeeperServers(tmp_path, 2)
    servers = ZooKeeperServers(tmp_path)
    with pytest.raises(LabError, match="start it first"):
        servers.kill()
    with pytest.raises(LabError, match="there is no ZooKeeper server 'zk-9'"):
        servers.port("zk-9")


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    servers = ZooKeeperServers(tmp_path, settings={"tickTime": "nonsense"})
    with pytest.raises(LabError, match="zk-1 ended: "):
        servers.start()


@pytest.mark.parametrize("quorum", ["localhost:abc", "a b", ""])
def test_a_lab_refuses_a_quorum_that_is_none(tmp_path: Path, quorum: str) -> None:
    with pytest.raises(ConfigurationError, match=r"zookeeper\.quorum is"):
        LabCluster(
            1, 0, ha="zookeeper", directory=tmp_path / "lab",
            options={"high-availability.zookeeper.quorum": quorum},
        )  # fmt: skip


def test_the_doctor_finds_the_server_that_a_lab_would_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert doctor.zookeeper().ok
    assert doctor.zookeeper().found in ZooKeeperProgram.find().class_path
    monkeypatch.setattr(doctor, "server_jars", lambda: iter(()))
    assert not doctor.zookeeper().ok
    assert "apt-get install zookeeper" in doctor.zookeeper().fix
