"""The watcher waits for the kernel's word, hears of every commit, and does without it too."""

from __future__ import annotations

import errno
import queue
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from hawork.backends.embedded import shared_memory, store_watcher
from hawork.backends.embedded.database import Database
from hawork.backends.embedded.file_changes import FileChanges
from hawork.backends.embedded.layout import DATABASE
from hawork.backends.embedded.lease_table import LeaseRow, acquire_lease
from hawork.backends.embedded.store_watcher import Snapshot, StoreWatcher
from hawork.core.errors import HaworkError
from hawork.testing import eventually

CLUSTER = "/watched"
LEASE = LeaseRow("me", "00000000-0000-0000-0000-000000000001", 0, 1, "", 9.0, 9.0, 9.0)
PATIENCE = 60.0  # seconds; ends a hang


class Watched:
    """A watcher that counts its looks, and what it told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.told: queue.Queue[Snapshot | HaworkError] = queue.Queue()
        self.glances = self.looks = 0
        self.glances_at_looks: list[int] = []
        self.writer = Database(directory, CLUSTER, 5.0, durable=False)
        with self.writer.writing() as connection:
            acquire_lease(connection, None, LEASE)
        self.watcher = StoreWatcher(self._open)
        self.watcher.subscribe(self.told.put)
        self.next()

    def _open(self) -> Database:
        outer = self

        class Counting(Database):
            def data_version(self) -> tuple[int, int]:
                outer.looks += 1
                outer.glances_at_looks.append(outer.glances)
                return super().data_version()

            def header_reader(self):  # type: ignore[no-untyped-def]
                read = super().header_reader()

                def counted() -> bytes:
                    outer.glances += 1
                    return read()

                return counted

        return Counting(self.directory, CLUSTER, 5.0, durable=False)

    def write(self, address: str) -> None:
        with self.writer.writing() as connection:
            connection.execute(
                "INSERT INTO leader_information (component_id, session_id, address) "
                "VALUES ('rest', ?, ?) "
                "ON CONFLICT (component_id) DO UPDATE SET address = excluded.address",
                (LEASE.session_id, address),
            )

    def write_pointer(self) -> None:
        """What the lease and its holder's addresses have nothing to do with."""
        with self.writer.writing() as connection:
            connection.execute("INSERT INTO pointer VALUES ('x', '1', 1, x'00')")

    def next(self) -> Snapshot | HaworkError:
        return self.told.get(timeout=PATIENCE)

    def close(self) -> None:
        self.watcher.close()
        self.writer.close()


@contextmanager
def watched(directory: Path) -> Iterator[Watched]:
    found = Watched(directory)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "ha").mkdir(mode=0o700)
    return tmp_path / "ha"


def test_an_idle_watcher_glances_at_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did so fifty times a second: half a percent of a core for each idle standby."""
    monkeypatch.setattr(store_watcher, "_LONGEST_IDLE", 0.2)
    with watched(directory) as it:
        eventually(lambda: it.looks >= 2, timeout=PATIENCE)  # the last commit is over
        begun = it.looks
        eventually(lambda: it.looks >= begun + 3, timeout=PATIENCE)
        # The header is read before and after each look at ``data_version``, never in between.
        at = it.glances_at_looks[begun - 1 : begun + 3]
        assert [later - earlier for earlier, later in pairwise(at)] == [2, 2, 2]


@pytest.mark.parametrize("kernel", [True, False], ids=["told", "polling"])
def test_every_commit_is_told(
    directory: Path, kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernel:
        monkeypatch.setattr(store_watcher, "_watch", lambda _: None)
    else:
        # Only the kernel's word is left.
        monkeypatch.setattr(store_watcher, "_LONGEST_IDLE", 10 * PATIENCE)
    with watched(directory) as it:
        for number in range(50):
            it.write(f"http://127.0.0.1:{number}")
            told = it.next()
            assert isinstance(told, Snapshot)
            assert told.information["rest"].address == f"http://127.0.0.1:{number}"


def test_a_commit_that_changes_nothing_of_the_lease_wakes_no_subscriber(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each checkpoint of a job made each standby look at the lease."""
    monkeypatch.setattr(store_watcher, "_LONGEST_IDLE", 10 * PATIENCE)
    with watched(directory) as it:
        eventually(lambda: it.looks >= 2, timeout=PATIENCE)  # what was written before is over
        looks = it.looks
        it.write_pointer()
        eventually(lambda: it.looks > looks, timeout=PATIENCE)
        it.write("http://127.0.0.1:1")
        told = it.next()
        assert isinstance(told, Snapshot)
        assert told.information["rest"].address == "http://127.0.0.1:1"
        assert it.told.empty()


def test_a_lease_that_came_and_went_between_two_looks_is_told(directory: Path) -> None:
    """Its holder was told nothing, and believed in it until the next renewal."""
    with watched(directory) as it:
        with it.writer.writing() as connection:
            connection.execute("DELETE FROM lease")
        told = it.next()
        assert isinstance(told, Snapshot) and told.lease is None
        with it.writer.writing() as connection:
            acquire_lease(connection, None, LEASE)
            connection.execute("DELETE FROM lease")
        assert it.next() == told


def test_of_many_commits_in_a_row_few_are_looked_at_and_the_last_one_is(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher of a process that writes took the interpreter from it after every commit."""
    read: list[str] = []

    def reading(database: Database) -> Snapshot:
        with database.reading() as connection:
            row = connection.execute("SELECT address FROM leader_information").fetchone()
        read.append("" if row is None else row[0])
        return Snapshot(None, {})

    monkeypatch.setattr(store_watcher, "_read", reading)
    monkeypatch.setattr(store_watcher, "_LONGEST_IDLE", 10 * PATIENCE)
    with watched(directory) as it:
        it.writer.close()
        it.writer = Database(directory, CLUSTER, 5.0, durable=True)  # while it waits, others run
        for burst in range(20):
            before, begin = len(read), time.monotonic()
            for number in range(30):
                it.write(f"http://127.0.0.1:{burst}/{number}")
            reads, seconds = len(read) - before, time.monotonic() - begin
            assert reads <= seconds / store_watcher._REST + 2
            # The last one may be under way while the one before is looked at.
            eventually(lambda: read[-1].endswith(f"{burst}/29"), timeout=PATIENCE)  # noqa: B023


def test_a_store_that_cannot_be_looked_at_for_a_moment_ends_no_watcher(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread ended, and no change was seen from then on."""
    monkeypatch.setattr(store_watcher, "_LONGEST_IDLE", 0.05)
    refused = 0

    def refuse(_: Path) -> int:
        nonlocal refused
        refused += 1
        raise PermissionError(errno.EACCES, "Permission denied")

    with watched(directory) as it:
        with monkeypatch.context() as away:
            away.setattr(shared_memory, "_open", refuse)
            it.write("http://127.0.0.1:1")
            eventually(lambda: refused >= 3, timeout=PATIENCE)
        looks = it.looks
        eventually(lambda: it.looks > looks, timeout=PATIENCE)


SLOW_WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 2")
connection.execute("BEGIN IMMEDIATE")
connection.execute(
    "INSERT INTO leader_information VALUES "
    "('rest', '00000000-0000-0000-0000-000000000001', 'http://127.0.0.1:1')")
for number in range(200):  # more than the cache holds: the log grows before the commit
    connection.execute("INSERT INTO pointer VALUES ('x', ?, 1, zeroblob(4000))", (number,))
print("written", flush=True)
sys.stdin.read(1)
connection.execute("COMMIT")
"""


def test_a_commit_that_takes_long_is_told_at_its_end(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is written first, and the header last: an fsync may lie between them."""
    monkeypatch.setattr(store_watcher, "_LONGEST_IDLE", 10 * PATIENCE)
    with watched(directory) as it:
        command = [sys.executable, "-c", SLOW_WRITER, str(directory / DATABASE)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdin is not None and writer.stdout is not None
            assert writer.stdout.readline() == b"written\n"
            glances = it.glances
            eventually(lambda: it.glances > glances + 20, timeout=PATIENCE)
            assert it.told.empty()
            writer.stdin.write(b".")
            writer.stdin.close()
            told = it.next()
        assert isinstance(told, Snapshot)


def test_a_new_subscriber_is_told_at_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_watcher, "_LONGEST_IDLE", 10 * PATIENCE)
    with watched(directory) as it:
        second: queue.Queue[Snapshot | HaworkError] = queue.Queue()
        it.watcher.subscribe(second.put)
        assert isinstance(second.get(timeout=PATIENCE), Snapshot)


def test_a_store_that_is_replaced_is_read_anew(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_watcher, "_LONGEST_IDLE", 10 * PATIENCE)
    with watched(directory) as it:
        it.write("http://127.0.0.1:1")
        it.next()
        for each in directory.glob(f"{DATABASE}*"):
            each.unlink()
        Database(directory, CLUSTER, 5.0).close()
        eventually(lambda: it.told.qsize() > 0, timeout=PATIENCE)


def test_the_kernel_tells_when_the_directory_itself_goes(tmp_path: Path) -> None:
    directory = tmp_path / "ha"
    directory.mkdir()
    changes = FileChanges(directory)
    (directory / "file").write_text("x")
    assert changes.take()
    shutil.rmtree(directory)
    assert not changes.take()
    changes.close()


FORKING = """
import os, pathlib, sys
from hawork.backends.embedded.file_changes import FileChanges
directory = pathlib.Path(sys.argv[1])
changes = FileChanges(directory)
(directory / "file").write_text("x")
child = os.fork()
if child == 0:
    try:
        os.fstat(changes.descriptor)
    except OSError:
        os._exit(0)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child has it open"
assert os.read(changes.descriptor, 4096), "the parent hears of the file"
"""


def test_a_forked_child_takes_no_word_of_its_parents(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORKING, str(tmp_path)], check=True)
