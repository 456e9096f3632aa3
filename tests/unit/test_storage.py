"""storageDir: URLs, atomic writes, refusals, and the same contract on fsspec."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from hawork.core.errors import (
    ConfigurationError,
    CorruptStateError,
    HighAvailabilityError,
    NotExistError,
    StoreUnavailableError,
)  # fmt: skip
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


@pytest.mark.parametrize("path", ["jobs", "jobs/a", ""])
def test_only_single_files_are_deleted(storage: StateStorage, path: str) -> None:
    storage.write("jobs/a/x", b"1")
    storage.write("jobs/a/y", b"2")
    with pytest.raises((CorruptStateError, ConfigurationError)):
        storage.delete(path)
    assert list(storage.list("jobs/a")) == ["x", "y"]


def test_a_directory_is_no_file(storage: StateStorage) -> None:
    storage.write("jobs/a/x", b"1")
    with pytest.raises((CorruptStateError, NotExistError), match="jobs"):
        storage.read("jobs/a")


def test_no_more_is_read_than_is_asked_for(storage: StateStorage) -> None:
    storage.write("x", b"12345")
    assert [storage.read("x", most) for most in (0, 3, 5, 6, 1 << 40)] == [
        b"", b"123", b"12345", b"12345", b"12345",
    ]  # fmt: skip


def test_rename(storage: StateStorage) -> None:
    storage.write("a_DIRTY.json", b"1")
    storage.rename("a_DIRTY.json", "a.json")
    assert list(storage.list("")) == ["a.json"] and storage.read("a.json") == b"1"


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../../x", "a//b", "./x", "a\\b", "a\0b", "\ud800", "x" * 2000],
)
def test_paths_cannot_leave_the_storage(storage: StateStorage, path: str) -> None:
    for operation in (storage.read, storage.delete, storage.list):
        with pytest.raises(ConfigurationError, match="refused"):
            operation(path)
    with pytest.raises(ConfigurationError, match="refused"):
        storage.write(path, b"")
    with pytest.raises(ConfigurationError, match="refused"):
        storage.rename("x", path)


def test_a_probe_that_cannot_be_removed_keeps_no_process_from_beginning(tmp_path: Path) -> None:
    (tmp_path / ".probe-of-another-hand").mkdir()
    storage = LocalStateStorage(tmp_path)
    check_storage(storage, str(tmp_path))
    assert storage.list("", unfinished=True) == [".probe-of-another-hand"]


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


def pipe(path: Path) -> None:
    os.mkfifo(path)


def socket_file(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [Path.mkdir, pipe, socket_file, loop, device])
def test_what_is_no_regular_file_is_not_read_and_nothing_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    storage = LocalStateStorage(tmp_path)
    storage.write("jobs/a/good", b"good")
    monkeypatch.chdir(tmp_path)  # the name of a socket has to be short
    make(Path("jobs/a/bad"))
    with pytest.raises(CorruptStateError, match="jobs/a/bad"):
        storage.read("jobs/a/bad", 10)
    assert storage.read("jobs/a/good") == b"good"


@pytest.mark.parametrize(
    "number",
    [errno.EACCES, errno.EIO, errno.ENAMETOOLONG, errno.EBADMSG, getattr(errno, "EUCLEAN", 5)],
)
def test_one_file_that_cannot_be_opened_is_told_from_a_directory_that_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    storage = LocalStateStorage(tmp_path)
    storage.write("jobs/a/x", b"1")
    real = os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith("a/x"):
            raise OSError(number, os.strerror(number))
        return real(path, *arguments, **options)

    monkeypatch.setattr(local_storage.os, "open", refuse)
    with pytest.raises(CorruptStateError, match=f"user id {os.getuid()} can read"):
        storage.read("jobs/a/x")
    monkeypatch.setattr(local_storage.os, "listdir", lambda _: refuse("a/x"))
    with pytest.raises(StoreUnavailableError):
        storage.read("jobs/a/x")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE])
def test_what_the_process_has_run_out_of_is_not_the_file_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    storage = LocalStateStorage(tmp_path)
    storage.write("x", b"1")

    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(local_storage.os, "open", refuse)
    with pytest.raises(StoreUnavailableError, match=os.strerror(number)):
        storage.read("x")


def test_one_object_that_may_not_be_read_is_told_from_a_store_that_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another owner, or encrypted with a key that is not ours: no takeover came to an end."""
    from hawork.ha.fsspec_storage import FsspecStateStorage

    def refuse(*_: object, **__: object) -> bytes:
        raise PermissionError("Access Denied")

    storage = FsspecStateStorage(f"memory://{tmp_path}/root")
    storage.write("jobs/a/x", b"1")
    monkeypatch.setattr(storage._fs, "cat_file", refuse)
    with pytest.raises(CorruptStateError, match="Access Denied: give this process the right"):
        storage.read("jobs/a/x")
    monkeypatch.setattr(storage._fs, "ls", refuse)
    with pytest.raises(StoreUnavailableError, match="Access Denied"):
        storage.read("jobs/a/x")


def test_nothing_is_listed_or_deleted_through_a_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious").write_text("theirs")
    storage = LocalStateStorage(tmp_path / "root")
    storage.write("jobs/a/x", b"1")
    (tmp_path / "root/jobs/a/blob").symlink_to(other)
    assert list(storage.list("jobs/a/blob")) == []
    assert storage.delete("jobs/a/blob/precious") is False
    assert storage.delete("jobs/a/blob") is True  # the link itself
    assert (other / "precious").read_text() == "theirs"


def test_a_write_that_fails_leaves_no_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStateStorage(tmp_path)

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(local_storage.os, "write", fail)
    with pytest.raises(StoreUnavailableError):
        storage.write("jobs/a/blob/x", b"1")
    assert list(tmp_path.iterdir()) == []


def test_directories_that_hold_nothing_go_with_an_absent_file(tmp_path: Path) -> None:
    from hawork.ha.fsspec_storage import FsspecStateStorage

    for storage in (LocalStateStorage(tmp_path), FsspecStateStorage(f"file://{tmp_path}")):
        (tmp_path / "jobs/a/blob").mkdir(parents=True)
        (tmp_path / "jobs/b/blob").mkdir(parents=True)
        storage.write("jobs/b/x", b"1")
        for name in ("a", "b", "absent"):
            assert storage.delete(f"jobs/{name}/blob/absent") is False
        assert list(storage.list("jobs")) == ["b"] and list(storage.list("jobs/b")) == ["x"]


def test_a_rename_that_does_not_replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of SFTP and HDFS: a submission or a result that was half done is repeated."""
    from hawork.ha.fsspec_storage import FsspecStateStorage

    storage = FsspecStateStorage(f"file://{tmp_path}/root")
    real = storage._fs.mv

    def refusing(source: str, target: str, **options: Any) -> None:
        if storage._fs.exists(target):
            raise OSError("the target exists")
        real(source, target, **options)

    monkeypatch.setattr(storage._fs, "mv", refusing)
    storage.write("x", b"old")
    storage.write("x", b"new")
    storage.write("y", b"other")
    storage.rename("y", "x")
    assert storage.read("x") == b"other"
    assert list(storage.list("", unfinished=True)) == ["x"]
    with pytest.raises(HighAvailabilityError):
        storage.rename("absent", "x")
    assert storage.read("x") == b"other"


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


def test_check_storage_removes_what_a_process_left_that_died_in_it(storage: StateStorage) -> None:
    storage.write(".probe-000000000000", b"hawork")
    check_storage(storage, "file:/x")
    assert storage.list("", unfinished=True) == []


def test_check_storage_does_not_mind_another_process_that_removes_its_file() -> None:
    class Shared(InMemoryStorage):
        taken = 0

        def read(self, path: str, most: int | None = None) -> bytes:
            if self.taken < 2:
                self.taken += 1
                self.delete(path)
            return super().read(path, most)

    check_storage(Shared(), "file:/x")
    assert Shared.taken == 0


def test_a_place_that_is_not_there_is_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that was removed passed for a file that is not there, and ended an attempt."""
    from hawork.ha.fsspec_storage import FsspecStateStorage

    storage = FsspecStateStorage("memory://nowhere/ha")
    monkeypatch.setattr(
        storage._fs, "pipe_file", Mock(side_effect=FileNotFoundError("NoSuchBucket"))
    )
    with pytest.raises(StoreUnavailableError, match="could not be written: NoSuchBucket"):
        storage.write("jobs/x", b"it")
    with pytest.raises(NotExistError):
        storage.read("jobs/x")
