"""How often the disk is waited for, and that nothing counts before it is on the disk.

======================  ==============================================  =========================
write                   waits for                                       because
======================  ==============================================  =========================
marker of a submission  nothing                                         flushed with what it marks
artifact                its bytes                                       its name: with the graph
job graph               its bytes; the directories of both, each once   the pointer comes next
completed checkpoint    its bytes; its directory                        the pointer comes next
pointer (embedded)      one transaction of SQLite                       now the job is safe
subsumed checkpoints    nothing: in the transaction of the new one      both or neither
removed files           nothing: an orphan goes with its job            nothing points to them
======================  ==============================================  =========================
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from stores_setup import JOB, OTHER_JOB, World, checkpoint, graph

from hawork.core.errors import StoreUnavailableError
from hawork.core.types import JobID
from hawork.ha import unflushed
from hawork.ha.local_storage import LocalStateStorage
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.ha.unflushed import UnflushedDirectories

FOLDER = f"jobs/{JOB}"


class Disk:
    """What was forced to the disk, in order: a file as ``file``, a directory by its path."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.flushed: list[str] = []
        self.files: list[str] = []
        """The names of the files as they were forced to the disk."""
        self.broken = ""
        """The end of the name of what cannot be flushed."""
        self._fsync = os.fsync

    def fsync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        name = os.path.relpath(path, self.root)
        if self.broken and name.endswith(self.broken):
            raise OSError(5, "Input/output error")
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self.flushed.append("file" if is_file else name)
        if is_file:
            self.files.append(name)
        self._fsync(descriptor)

    def taken(self) -> list[str]:
        taken, self.flushed = self.flushed, []
        return taken


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path)
    monkeypatch.setattr(os, "fsync", disk.fsync)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path)
    return disk


@pytest.fixture
def on_disk(world: World, tmp_path: Path) -> World:
    world.files = LocalStateStorage(tmp_path)  # type: ignore[assignment]
    return world


def submit(world: World, job_id: JobID = JOB) -> None:
    stores = world.lead()
    stores.job_graphs.announce(job_id)
    stores.blobs.put(job_id, b"artifact")
    stores.job_graphs.put(graph(job_id))


# --- how often ---------------------------------------------------------------------------


def test_a_submission_waits_for_its_bytes_and_for_each_directory_once(
    on_disk: World, disk: Disk
) -> None:
    (disk.root / "jobs").mkdir()
    stores = on_disk.lead()
    stores.job_graphs.announce(JOB)
    assert disk.taken() == []
    stores.blobs.put(JOB, b"artifact")
    assert disk.taken() == ["file"]
    stores.job_graphs.put(graph())
    waited = disk.taken()
    assert waited[0] == "file"
    assert sorted(waited[1:]) == [".", "jobs", FOLDER, f"{FOLDER}/blob"]


def test_a_checkpoint_waits_for_its_bytes_and_its_directory(on_disk: World, disk: Disk) -> None:
    submit(on_disk)
    checkpoints = on_disk.lead().completed_checkpoints(JOB, retained=1)
    for number in (1, 2):
        disk.taken()
        checkpoints.add(checkpoint(number))
        assert disk.taken() == ["file", FOLDER]


def test_a_file_that_only_its_pointer_tells_of_has_its_name_before_it_is_flushed(
    on_disk: World, disk: Disk
) -> None:
    """So that one commit of the file system's journal holds both."""
    submit(on_disk)
    on_disk.lead().completed_checkpoints(JOB, retained=1).add(checkpoint(1))
    artifact, job_graph, completed = disk.files
    assert artifact.endswith(".tmp")
    assert job_graph.startswith(f"{FOLDER}/submittedJobGraph")
    assert completed.startswith(f"{FOLDER}/completedCheckpoint")


@pytest.mark.parametrize("fresh", [False, True])
def test_a_file_that_cannot_be_flushed_is_gone(disk: Disk, fresh: bool) -> None:
    disk.broken = ""
    storage = LocalStateStorage(disk.root)
    storage.write("kept", b"before")
    disk.broken = "new" if fresh else ".tmp"
    with pytest.raises(StoreUnavailableError, match="Input/output"):
        storage.write("new", b"half", fresh=fresh)
    assert storage.list("", unfinished=True) == ["kept"]


# --- and that it is enough ---------------------------------------------------------------


def test_all_that_a_pointer_counts_on_is_on_the_disk_before_it(on_disk: World, disk: Disk) -> None:
    before: list[list[str]] = []
    on_disk.steps.hooks["submit.graph_written"] = lambda: before.append(list(disk.flushed))
    submit(on_disk)
    (flushed,) = before
    assert {".", "jobs", FOLDER, f"{FOLDER}/blob"} <= set(flushed)
    assert flushed.count("file") == 2


def test_a_directory_that_cannot_be_flushed_keeps_the_job_out(on_disk: World, disk: Disk) -> None:
    stores = on_disk.lead()
    stores.job_graphs.announce(JOB)
    stores.blobs.put(JOB, b"artifact")
    disk.broken = f"{FOLDER}/blob"
    with pytest.raises(StoreUnavailableError, match="Input/output"):
        stores.job_graphs.put(graph())
    assert on_disk.pointers(JOB_GRAPHS) == {}
    submit(on_disk, OTHER_JOB)  # has nothing to do with that directory
    assert list(on_disk.pointers(JOB_GRAPHS)) == [OTHER_JOB]
    with pytest.raises(StoreUnavailableError, match="Input/output"):
        on_disk.files.write(f"{FOLDER}/submittedJobGraph123456789abc", b"x")
    disk.broken = ""
    disk.taken()
    submit(on_disk)
    assert f"{FOLDER}/blob" in disk.flushed


def test_what_changes_while_the_disk_is_busy_is_flushed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = UnflushedDirectories()
    flushed: list[Path] = []

    def flush(directory: Path) -> None:
        flushed.append(directory)
        if flushed == [tmp_path / "a" / "b", tmp_path / "a"]:
            directories.add(tmp_path / "a")  # another thread makes an entry meanwhile

    monkeypatch.setattr(unflushed, "flush_directory", flush)
    directories.add(tmp_path / "a")
    for _ in range(3):
        directories.flush(tmp_path / "a" / "b")
    assert flushed.count(tmp_path / "a") == 2


def test_a_folder_that_another_process_made_and_did_not_flush(disk: Disk) -> None:
    """It was killed in the middle of a submission, and this one goes on in its folder."""
    LocalStateStorage(disk.root).write("jobs/a/mark", b"", flush=False)
    assert disk.taken() == []
    storage = LocalStateStorage(disk.root)
    storage.write("jobs/a/graph", b"1")
    assert sorted(disk.taken()) == [".", "file", "jobs", "jobs/a"]
    storage.write("jobs/a/again", b"1")
    assert sorted(disk.taken()) == ["file", "jobs/a"]


def test_a_storage_dir_that_another_process_made_and_did_not_flush(disk: Disk) -> None:
    """It was killed as it started, and with its name all would go that is in it."""
    root = disk.root / "ha" / "default"
    root.mkdir(parents=True)
    storage = LocalStateStorage(root)
    storage.write("graph", b"1")
    assert sorted(disk.taken()) == [".", "file", "ha", "ha/default"]
    storage.write("graph", b"2")
    assert disk.taken() == ["file", "ha/default"]


def test_a_folder_that_two_threads_find_at_a_time(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One had noted it, and not yet those above it, when the other wrote into it."""
    (disk.root / "jobs" / "a").mkdir(parents=True)
    storage = LocalStateStorage(disk.root)
    add, noted, flushed = UnflushedDirectories.add, list[Path](), list[list[str]]()

    def slow(self: UnflushedDirectories, directory: Path) -> None:
        noted.append(directory)
        if len(noted) == 2:
            monkeypatch.setattr(UnflushedDirectories, "add", add)
            storage.write("jobs/a/other", b"1")
            flushed.append(disk.taken())
        add(self, directory)

    monkeypatch.setattr(UnflushedDirectories, "add", slow)
    storage.write("jobs/a/graph", b"1")
    assert sorted(flushed[0]) == [".", "file", "jobs", "jobs/a"]


def test_what_this_user_may_not_write_is_not_flushed(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be opened, perhaps, and another user made what is in it."""
    root = disk.root / "home" / "us" / "ha"
    root.mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != disk.root / "home")
    LocalStateStorage(root).write("graph", b"1")
    assert sorted(disk.taken()) == ["file", "home/us", "home/us/ha"]


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_is_made_just_after_another_thread_has_flushed_its_directory(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It had noted that it makes it, and the other one took that for done."""
    storage = LocalStateStorage(disk.root)
    storage.write("jobs/a/x", b"1")
    method, late = ("mkdir", "b") if what == "folder" else ("rename", "blob")
    real = getattr(Path, method)

    def slow(self: Path, *args: Any, **more: Any) -> Any:
        if (self.name if what == "folder" else self.parent.name) == late:
            monkeypatch.setattr(Path, method, real)
            storage.write("jobs/c/x" if what == "folder" else "jobs/a/y", b"1")
            disk.taken()
        return real(self, *args, **more)

    monkeypatch.setattr(Path, method, slow)
    if what == "folder":
        storage.write("jobs/b/x", b"1")
        assert "jobs" in disk.taken()
    else:
        storage.write("jobs/a/blob/z", b"1", flush=False)
        storage.write("jobs/a/graph", b"1")
        assert "jobs/a/blob" in disk.taken()
    storage.write("jobs/a/again", b"1")
    assert disk.taken() == ["file", "jobs/a"]


def test_a_directory_that_is_gone_has_nothing_to_flush(tmp_path: Path) -> None:
    directories = UnflushedDirectories()
    directories.add(tmp_path / "a")
    directories.flush(tmp_path)


def test_many_directories_are_not_remembered_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(unflushed, "flush_directory", flushed.append)
    directories = UnflushedDirectories()
    for number in range(1001):
        directories.add(tmp_path / f"{number}")
    assert len(flushed) == 1001
