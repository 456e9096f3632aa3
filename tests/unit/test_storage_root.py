"""A storageDir that is not mounted, while another process makes it anew or none has seen it yet."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stores_setup import JOB, World, graph

from hawork.core.errors import StoreUnavailableError
from hawork.core.jobs import SubtaskState
from hawork.core.options import checked
from hawork.core.types import JobID
from hawork.ha import unflushed
from hawork.ha.local_storage import LocalStateStorage
from hawork.ha.services import HighAvailabilityServices
from hawork.runtime.task_state import TaskStateFiles


class Mount:
    """A mount point, as far as a process can see."""

    def __init__(self, point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.point, self.away = point, point.with_name("away")
        self.mounted = True
        self.automatic = False
        point.mkdir()
        monkeypatch.setattr(os.path, "ismount", self.is_mount)
        monkeypatch.setattr(os.path, "exists", self.exists)

    def is_mount(self, path: Path | str) -> bool:
        return str(path) == "/" or (self.mounted and Path(path) == self.point)

    def exists(self, path: Path | str) -> bool:
        if self.automatic and not self.mounted:
            self.mount()
        return os.access(path, os.F_OK)

    def unmount(self) -> None:
        self.mounted = False
        self.point.rename(self.away)
        self.point.mkdir()

    def mount(self) -> None:
        shutil.rmtree(self.point)
        self.away.rename(self.point)
        self.mounted = True


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mount:
    return Mount(tmp_path / "mnt", monkeypatch)


@pytest.fixture
def storage(mount: Mount) -> LocalStateStorage:
    """On it, with one file in it."""
    storage = LocalStateStorage(mount.point / "default")
    storage.write("jobs/a/graph", b"1234")
    return storage


def test_a_storage_dir_that_another_process_has_made_anew_below_its_mount_point(
    mount: Mount, storage: LocalStateStorage
) -> None:
    """A JobManager that was started then, or a task that wrote its state."""
    mount.unmount()
    LocalStateStorage(mount.point / "default").write("jobs/a/state", b"1")
    accesses: list[Callable[[], object]] = [
        lambda: storage.write("result", b"1"),
        lambda: storage.write("jobs/a/checkpoint", b"1", fresh=True),
        lambda: storage.read("jobs/a/graph"),
        lambda: storage.list(""),
        lambda: storage.list("jobs/a"),
        lambda: storage.delete("jobs/a/state"),
        lambda: storage.rename("jobs/a/graph", "jobs/a/b"),
    ]
    for access in accesses:
        with pytest.raises(StoreUnavailableError, match="mnt is not mounted any more: mount it"):
            access()
    assert storage_names(mount.point) == ["default", "jobs", "a", "state"]
    mount.mount()
    assert storage.list("jobs/a") == ["graph"]
    storage.write("jobs/a/checkpoint", b"1")


def storage_names(directory: Path) -> list[str]:
    return [path.name for path in sorted(directory.rglob("*"))]


def test_a_write_as_the_storage_dir_is_unmounted_is_not_taken_for_done(
    mount: Mount, storage: LocalStateStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(directory: Path) -> None:
        mount.mounted = False

    monkeypatch.setattr(unflushed, "flush_directory", slow)
    with pytest.raises(StoreUnavailableError, match="not mounted any more"):
        storage.write("jobs/a/checkpoint", b"1")


def test_a_storage_dir_that_an_automounter_mounts_again(
    mount: Mount, storage: LocalStateStorage
) -> None:
    """It is mounted by the way to what is in it, and not by looking at the mount point."""
    mount.unmount()
    mount.automatic = True
    assert storage.list("jobs/a") == ["graph"]


def test_a_storage_dir_that_is_not_mounted_when_a_job_manager_starts(tmp_path: Path) -> None:
    """It was made below its mount point, and hid what the next leader acknowledged."""
    values = {"high-availability.storageDir": str(tmp_path / "mnt" / "ha")}
    world = World()
    world.lead().job_graphs.put(graph())

    def started() -> HighAvailabilityServices:
        return HighAvailabilityServices(checked(values), world.cluster.backend())

    with started() as ha, pytest.raises(StoreUnavailableError, match="not there, and jobs are"):
        ha.check_storage()
    assert not (tmp_path / "mnt").exists()
    (tmp_path / "mnt" / "ha" / "default").mkdir(parents=True)
    with started() as ha:
        ha.check_storage()
    shutil.rmtree(tmp_path / "mnt")
    world.lead().job_graphs.remove(JOB)
    with started() as ha:
        ha.check_storage()


def test_a_task_takes_no_job_for_over_whose_files_are_away(tmp_path: Path) -> None:
    """It would write to the output directory of another job that runs."""
    files = TaskStateFiles(str(tmp_path / "mnt" / "ha"), JobID.random(), 10)
    with pytest.raises(StoreUnavailableError, match="mount"):
        files.is_stored(JobID.random())
    state = SubtaskState(0, "a1", 7, 7)
    with pytest.raises(StoreUnavailableError, match="mount"):
        files.store(1, state, b'"more than ten bytes"')
    assert not list(tmp_path.iterdir())
