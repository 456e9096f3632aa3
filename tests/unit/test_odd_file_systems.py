"""File systems that lack something: flushes of directories, hard links, file locks."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from hawork import open_ha_services
from hawork.backends.embedded import crash_lock
from hawork.backends.embedded.crash_lock import CrashLock
from hawork.backends.embedded.layout import create_database
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.core.flushing import flush_directory
from hawork.core.types import JobID
from hawork.ha.ended_jobs import EndedJobs
from hawork.ha.local_storage import LocalStateStorage
from hawork.ha.storage import check_storage

AWAY = "is not there any more: mount"
Fail = Callable[..., None]


def failing(number: int) -> Fail:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def shared_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CIFS and VirtualBox: a file can be flushed, a directory cannot."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_storage_dir_whose_directories_cannot_be_flushed(
    shared_folder: None, tmp_path: Path
) -> None:
    """facebook/rocksdb 2929, syncthing/syncthing 4432, borgbackup/borg 1287."""
    storage = LocalStateStorage(tmp_path / "ha")
    storage.write("jobs/a/graph", b"1234")
    assert storage.read("jobs/a/graph") == b"1234"


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EACCES, errno.ENOENT])
def test_a_file_that_cannot_be_renamed_while_it_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """GoogleCloudPlatform/gcsfuse 2570; a store that has a file only once it is closed."""
    opened: set[str] = set()
    real_open, real_close, real_rename = os.open, os.close, Path.rename
    names: dict[int, str] = {}

    def noted(path: str | Path, flags: int, *rest: int, **more: int) -> int:
        descriptor = real_open(path, flags, *rest, **more)
        if flags & os.O_CREAT:
            names[descriptor] = str(path)
            opened.add(str(path))
        return descriptor

    def forgotten(descriptor: int) -> None:
        real_close(descriptor)
        opened.discard(names.pop(descriptor, ""))

    def rename(self: Path, target: Path) -> Path:
        if str(self) in opened:
            raise OSError(number, os.strerror(number))
        return real_rename(self, target)

    monkeypatch.setattr(os, "open", noted)
    monkeypatch.setattr(os, "close", forgotten)
    monkeypatch.setattr(Path, "rename", rename)
    storage = LocalStateStorage(tmp_path)
    storage.write("jobs/a/graph", b"1234", fresh=True)
    assert storage.read("jobs/a/graph") == b"1234"
    assert storage.list("jobs/a", unfinished=True) == ["graph"]


def test_a_storage_dir_that_is_unmounted_is_not_made_anew_below_its_mount_point(
    tmp_path: Path,
) -> None:
    """A job was acknowledged, and its files were hidden as soon as it was mounted again."""
    mount, away = tmp_path / "mnt", tmp_path / "away"
    storage = LocalStateStorage(mount / "ha" / "default")
    storage.write("jobs/a/graph", b"1234")
    mount.rename(away)
    mount.mkdir()
    for path in ("jobs/a/checkpoint", "b"):
        with pytest.raises(StoreUnavailableError, match=AWAY):
            storage.write(path, b"5678", fresh=True)
    assert not list(mount.iterdir())
    mount.rmdir()
    away.rename(mount)
    storage.write("jobs/a/checkpoint", b"5678")
    assert storage.read("jobs/a/graph") == b"1234"


def test_what_is_in_a_storage_dir_that_is_unmounted_is_not_taken_for_absent(
    tmp_path: Path,
) -> None:
    """A checkpoint counted as damaged, a mark as removed, and an ended job as one not known."""
    mount = tmp_path / "mnt"
    storage = LocalStateStorage(mount / "ha" / "default")
    storage.write("jobs/a/graph", b"1234")
    mount.rename(tmp_path / "away")
    mount.mkdir()
    accesses: list[Callable[[], object]] = [
        lambda: storage.read("jobs/a/graph"),
        lambda: storage.list("jobs"),
        lambda: storage.delete("jobs/a/graph"),
        lambda: storage.rename("jobs/a/graph", "jobs/a/b"),
    ]
    for access in accesses:
        with pytest.raises(StoreUnavailableError, match=AWAY):
            access()
    never_used = LocalStateStorage(mount / "ha" / "default")
    assert never_used.list("jobs") == []


def test_a_job_that_ended_is_known_when_its_storage_dir_is_mounted_again(tmp_path: Path) -> None:
    """What had ended was looked up while it was away, once for the whole leadership."""
    mount, away = tmp_path / "mnt", tmp_path / "away"
    job_id, root = JobID.random(), mount / "job-result-store" / "default"
    EndedJobs(LocalStateStorage(root), 3600.0, SYSTEM_CLOCK).add(job_id, b"{}", "its digest")
    storage = LocalStateStorage(root)
    check_storage(storage, str(root))
    ended = EndedJobs(storage, 3600.0, SYSTEM_CLOCK)
    mount.rename(away)
    with pytest.raises(StoreUnavailableError, match=AWAY):
        assert job_id in ended
    away.rename(mount)
    assert job_id in ended
    assert ended.submission(job_id) == "its digest"


def test_a_leader_on_a_file_system_whose_directories_cannot_be_flushed(
    shared_folder: None, tmp_path: Path
) -> None:
    values = {"high-availability.type": "embedded", "high-availability.storageDir": str(tmp_path)}
    with open_ha_services(values):
        assert list(tmp_path.rglob("ha.db"))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_flush_that_failed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "fsync", failing(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        flush_directory(tmp_path)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """It does not pass: a process that waited for its store would wait for ever."""
    monkeypatch.setattr(os, "link", failing(number))
    with pytest.raises(ConfigurationError, match=r"no hard links.*embedded\.directory"):
        create_database(tmp_path / "ha.db", "default")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_no_file_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(crash_lock.fcntl, "flock", failing(number))
    with pytest.raises(ConfigurationError, match=r"no file locks.*embedded\.directory"):
        CrashLock(tmp_path, "a")
    assert not list(tmp_path.iterdir())
