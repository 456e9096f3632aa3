"""storageDir: URLs, atomic writes, refusals, and the same contract on fsspec."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hawork.core.errors import ConfigurationError, NotExistError, StoreUnavailableError
from hawork.ha import local_storage
from hawork.ha.local_storage import LocalStateStorage
from hawork.ha.state_storage import StateStorage
from hawork.ha.storage import check_storage, join_url, local_path, open_storage
from hawork.testing import InMemoryStorage


@pytest.fixture(params=["local", "fsspec-file", "fsspec-memory", "fake"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> StateStorage:
    if request.param == "local":
        return LocalStateStorage(tmp_path / "root")
    if request.param == "fake":
        return InMemoryStorage()
    from hawork.ha.fsspec_storage import FsspecStateStorage

    if request.param == "fsspec-file":
        return FsspecStateStorage(f"file://{tmp_path}/root")
    return FsspecStateStorage(f"memory://{tmp_path}/root")


def test_write_read_list_delete(storage: StateStorage) -> None:
    storage.write("jobs/a/one", b"1")
    storage.write("jobs/a/two", b"2")
    storage.write("jobs/b/three", b"")
    assert storage.read("jobs/a/two") == b"2" and storage.read("jobs/b/three") == b""
    assert list(storage.list("jobs")) == ["a", "b"]
    assert list(storage.list("jobs/a")) == ["one", "two"]
    assert storage.delete("jobs/a/one") is True
    assert storage.delete("jobs/a/one") is False
    assert list(storage.list("jobs/a")) == ["two"]


def test_writing_replaces(storage: StateStorage) -> None:
    storage.write("x", b"long old content")
    storage.write("x", b"new")
    assert storage.read("x") == b"new"


def test_what_is_absent(storage: StateStorage) -> None:
    with pytest.raises(NotExistError):
        storage.read("absent")
    with pytest.raises(NotExistError):
        storage.rename("absent", "other")
    assert list(storage.list("absent")) == [] and list(storage.list("")) == []
    assert storage.delete("absent/deeper") is False


def test_a_directory_is_deleted_with_all_below(storage: StateStorage) -> None:
    storage.write("jobs/a/blob/x", b"1")
    storage.write("jobs/b/x", b"1")
    assert storage.delete("jobs/a") is True
    assert list(storage.list("jobs")) == ["b"]
    storage.delete("")
    assert list(storage.list("")) == []
    storage.write("again", b"1")
    assert storage.read("again") == b"1"


def test_rename(storage: StateStorage) -> None:
    storage.write("a_DIRTY.json", b"1")
    storage.rename("a_DIRTY.json", "a.json")
    assert list(storage.list("")) == ["a.json"] and storage.read("a.json") == b"1"


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a//b", "./x", "a\\b", "a\0b"]
)
def test_paths_cannot_leave_the_storage(storage: StateStorage, path: str) -> None:
    for operation in (storage.read, storage.delete, storage.list):
        with pytest.raises(ConfigurationError, match="refused"):
            operation(path)
    with pytest.raises(ConfigurationError, match="refused"):
        storage.write(path, b"")
    with pytest.raises(ConfigurationError, match="refused"):
        storage.rename("x", path)


def test_check_storage_leaves_nothing_behind(storage: StateStorage) -> None:
    check_storage(storage, "file:/x")
    assert list(storage.list("")) == []


def test_a_directory_that_does_not_exist_is_created(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    check_storage(open_storage(str(root)), str(root))
    assert root.is_dir() and list(root.iterdir()) == []


def test_a_crash_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStateStorage(tmp_path)
    storage.write("x", b"old")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(local_storage.os, "fsync", fail)
        with pytest.raises(StoreUnavailableError, match="x could not be written: Input/output"):
            storage.write("x", b"new")
    assert storage.read("x") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_names_path_and_free_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStateStorage(tmp_path)

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(local_storage.os, "write", fail)
        with pytest.raises(StoreUnavailableError) as caught:
            storage.write("x", b"new")
    message = str(caught.value)
    assert str(tmp_path / "x") in message and "bytes free): make room" in message
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_writable_says_who_must_be_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStateStorage(tmp_path)

    def fail(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(local_storage.os, "open", fail)
    with pytest.raises(StoreUnavailableError, match=f"writable for user id {os.getuid()}"):
        check_storage(storage, str(tmp_path))


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("I am a file")
    storage = LocalStateStorage(tmp_path / "root")
    with pytest.raises(StoreUnavailableError, match="root/x could not be written: Not a directory"):
        storage.write("x", b"")


def test_empty_directories_disappear_but_the_root_stays(tmp_path: Path) -> None:
    storage = LocalStateStorage(tmp_path)
    storage.write("jobs/a/blob/x", b"1")
    storage.delete("jobs/a/blob/x")
    assert list(tmp_path.iterdir()) == [] and tmp_path.is_dir()


def test_files_in_the_making_are_not_listed(tmp_path: Path) -> None:
    storage = LocalStateStorage(tmp_path)
    (tmp_path / ".x.0123.tmp").write_text("half")
    storage.write("x", b"1")
    assert storage.list("") == ["x"]
    assert storage.list("", unfinished=True) == [".x.0123.tmp", "x"]
    assert storage.delete(".x.0123.tmp")
    assert storage.list("", unfinished=True) == ["x"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/ha/dir", "/ha/dir"),
        ("file:/ha/dir", "/ha/dir"),
        ("file:///ha/dir/", "/ha/dir"),
        ("file://localhost/ha", "/ha"),
        ("FILE:/ha", "/ha"),
        ("file:/with%20percent", "/with%20percent"),
        ("/with:colon", "/with:colon"),
        ("s3://bucket/ha", None),
        ("hdfs:///flink/ha", None),
    ],
)
def test_local_paths(url: str, path: str | None) -> None:
    assert local_path(url) == (None if path is None else Path(path))


@pytest.mark.parametrize("url", ["relative/dir", "", "file:relative", "file://host/ha"])
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write"):
        local_path(url)


def test_an_unknown_scheme_says_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match="nonsense://x"):
        open_storage("nonsense://x")


def test_a_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    real = importlib.import_module

    def missing(name: str, package: str | None = None) -> object:
        if name.startswith("fsspec"):
            raise ImportError("No module named 'fsspec'")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match=r"install 'hawork\[storage\]'"):
        open_storage("s3://bucket/ha")


def test_join_url() -> None:
    assert join_url("s3://bucket/ha/", "a/b") == "s3://bucket/ha/a/b"
