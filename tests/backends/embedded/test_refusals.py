"""Directories and files that the embedded backend refuses, each in one clear sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hawork.backends import registry
from hawork.backends.embedded.directory import file_system_of, is_network_file_system
from hawork.backends.embedded.layout import DATABASE
from hawork.backends.registry import open_backend, release_leadership, write_lock_holder
from hawork.client.cluster_client import ClusterClient
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.errors import (
    ConfigurationError,
    CorruptStateError,
    LeaderRetrievalError,
    StoreUnavailableError,
)
from hawork.core.events import NullEventSink
from hawork.ha.backend import Backend
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.testing import eventually
from tests.contract.embedded_harness import EmbeddedHarness, embedded_config

DIRECTORY = "high-availability.embedded.directory"
STORAGE = "high-availability.storageDir"


def opened(config: Configuration) -> Backend:
    return open_backend(config, SYSTEM_CLOCK, NullEventSink())


def test_the_directory_is_below_storage_dir(tmp_path: Path) -> None:
    values = {"high-availability.type": "EMBEDDED", STORAGE: f"file://{tmp_path}"}
    opened(Configuration({**values, "high-availability.cluster-id": "/lab/one"})).close()
    assert (tmp_path / "lab/one/ha/ha.db").is_file()
    assert (tmp_path / "lab/one/ha").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, [DIRECTORY, STORAGE]),
        ({STORAGE: "s3://bucket/ha"}, [DIRECTORY, "s3://bucket/ha"]),
        ({DIRECTORY: "ha"}, [DIRECTORY, "'ha'", "absolute"]),
    ],
)
def test_a_directory_is_needed(values: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        opened(Configuration({"high-availability.type": "embedded", **values}))
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("written", ["NONE", "etcd", "org.example.Factory"])
def test_unknown_types(written: str) -> None:
    config = Configuration({"high-availability.type": written})
    for use in (lambda: opened(config), lambda: release_leadership(config, {}),
                lambda: write_lock_holder(config)):  # fmt: skip
        with pytest.raises(ConfigurationError, match=rf"{written}'?: write one of embedded"):
            use()


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'xyz'", name="xyz")

    entry = registry._Entry("hawork.backends.embedded", extra="more", needs="parcel")
    monkeypatch.setattr(registry, "_BACKENDS", {"embedded": entry})
    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ConfigurationError, match=r"package parcel: .*pip install 'hawork\[more\]'"):
        opened(Configuration({"high-availability.type": "embedded"}))


class Partition(NamedTuple):
    mountpoint: str
    fstype: str


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch) -> list[Partition]:
    partitions = [Partition("/", "ext4")]
    monkeypatch.setattr("psutil.disk_partitions", lambda all: partitions)
    return partitions


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph",
                                  "fuse.ceph-fuse", "fuse.juicefs", "gfs2", "lustre", "glusterfs",
                                  "afs"])  # fmt: skip
def test_network_file_systems(kind: str, tmp_path: Path, mounts: list[Partition]) -> None:
    mounts.append(Partition(str(tmp_path), kind))
    with pytest.raises(ConfigurationError) as caught:
        opened(embedded_config(tmp_path))
    assert kind in str(caught.value) and DIRECTORY in str(caught.value)
    assert not (tmp_path / "ha").exists()


def test_the_nearest_mount_counts(tmp_path: Path, mounts: list[Partition]) -> None:
    mounts += [Partition(str(tmp_path.parent), "nfs4"), Partition(str(tmp_path), "tmpfs"),
               Partition(f"{tmp_path}-other", "nfs")]  # fmt: skip
    assert file_system_of(tmp_path / "deep/below") == "tmpfs"
    mounts.append(Partition(str(tmp_path), "cifs"))  # mounted over it
    assert file_system_of(tmp_path) == "cifs"


def test_local_file_systems() -> None:
    for kind in ("ext4", "xfs", "btrfs", "apfs", "tmpfs", "overlay", ""):
        assert not is_network_file_system(kind)


def test_a_directory_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = embedded_config(tmp_path)
    opened(config).close()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    # Of a user who is not root it is the way there that another one could change.
    fix = "run it as that user, or choose a (place|directory) of your own"
    with pytest.raises(ConfigurationError, match=f"user with id {os.getuid()}, .*{fix}"):
        opened(config)


def test_a_client_tells_what_keeps_it_from_seeing_a_leader(tmp_path: Path) -> None:
    config = embedded_config(tmp_path)
    with ClusterClient(config) as client:
        with pytest.raises(LeaderRetrievalError, match=r"within 0\.1 s: see that a JobManager"):
            client.leader(0.1)
        next(tmp_path.rglob(DATABASE)).unlink()
        eventually(client._retrieval.hindrance)
        with pytest.raises(LeaderRetrievalError, match=r"within 0 s: the HA store .* was removed"):
            client.leader(0.0)


def test_a_file_of_another_user(embedded: EmbeddedHarness) -> None:
    embedded.backend()
    embedded.execute("UPDATE meta SET owner_uid = 4711")
    with pytest.raises(ConfigurationError, match="4711"):
        opened(embedded.config)


def test_a_file_of_another_cluster(embedded: EmbeddedHarness) -> None:
    embedded.backend()
    config = embedded.config.with_values({"high-availability.cluster-id": "/other"})
    with pytest.raises(ConfigurationError, match=r"'default', not to 'other'.*cluster-id"):
        opened(config)


def test_a_file_of_a_later_version(embedded: EmbeddedHarness) -> None:
    embedded.backend()
    embedded.execute("UPDATE meta SET format = 99")
    with pytest.raises(ConfigurationError, match="format 99"):
        opened(embedded.config)


def damage_everything(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)


def damage_the_pages(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [damage_everything, damage_the_pages, empty])
def test_a_damaged_file(tmp_path: Path, damage: Any) -> None:
    config = embedded_config(tmp_path)
    opened(config).close()
    damage(tmp_path / "ha/ha.db")
    with pytest.raises(CorruptStateError, match=r"ha\.db is damaged .*put a copy there"):
        opened(config)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "ha").write_text("not a directory")
    with pytest.raises(StoreUnavailableError, match=str(tmp_path / "ha")):
        opened(embedded_config(tmp_path))


def test_a_closed_backend(embedded: EmbeddedHarness) -> None:
    backend = embedded.backend()
    backend.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        backend.pointers(JOB_GRAPHS).entries()


@pytest.mark.parametrize("ticket", [{}, {"type": "zookeeper"},
                                    {"type": "embedded", "contender": "../../x"}])  # fmt: skip
def test_a_ticket_of_something_else(embedded: EmbeddedHarness, ticket: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="ticket"):
        release_leadership(embedded.config, ticket)


def test_a_ticket_of_nobody(embedded: EmbeddedHarness) -> None:
    ticket = {"type": "embedded", "contender": "0" * 32}
    assert release_leadership(embedded.config, ticket) is False
    embedded.backend()
    assert release_leadership(embedded.config, ticket) is False
