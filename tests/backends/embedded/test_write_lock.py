"""SQLite's write lock: who has it, what others are told, and who goes first."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hawork.backends.embedded import shared_memory
from hawork.backends.embedded.database import Database
from hawork.backends.registry import write_lock_holder
from hawork.core.errors import PossibleInconsistentStateError, StoreUnavailableError
from hawork.core.types import DISPATCHER
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.testing import eventually
from tests.backends.embedded.processes import contender_process
from tests.contract.embedded_harness import LONG, EmbeddedHarness
from tests.contract.harness import Leader, Retrieval

IMPATIENT = {"high-availability.embedded.busy-timeout": "100 ms"}


@pytest.mark.parametrize("embedded", [IMPATIENT], indirect=True)
def test_a_process_stopped_in_a_transaction_is_named(embedded: EmbeddedHarness) -> None:
    with contender_process(embedded.config) as other:
        session_id = other.wait_for("grant")
        backend = embedded.backend()
        eventually(lambda: nobody_holds_the_lock(embedded))
        other.tell("hold")
        assert other.wait_for("done") == "hold"
        assert write_lock_holder(embedded.config) == other.pid
        with pytest.raises(StoreUnavailableError, match=f"held by process {other.pid}: try"):
            backend.pointers(JOB_GRAPHS).create("a", b"", session_id)
        other.stop()
        with pytest.raises(StoreUnavailableError, match=f"{other.pid}, which is stopped"):
            backend.pointers(JOB_GRAPHS).create("a", b"", session_id)
        assert not backend.pointers(JOB_GRAPHS).entries(), "reading goes on"
        other.resume()
        other.tell("go on")
        assert other.wait_for("done") == "hold"
        eventually(lambda: nobody_holds_the_lock(embedded))


def nobody_holds_the_lock(embedded: EmbeddedHarness) -> bool:
    """At some moment: the other process, which leads, also takes the lock to renew."""
    return write_lock_holder(embedded.config) is None


def test_without_a_store_nobody_holds_the_lock(embedded: EmbeddedHarness) -> None:
    embedded.directory.mkdir()
    assert write_lock_holder(embedded.config) is None


@pytest.mark.parametrize("embedded", [LONG], indirect=True)
def test_a_lease_is_renewed_while_pointers_are_written_without_a_pause(
    embedded: EmbeddedHarness,
) -> None:
    leader = Leader.of(embedded, JOB_GRAPHS)
    enough = threading.Event()

    def hammer(number: int) -> None:
        count = 0
        while not enough.is_set():
            leader.pointers.create(f"{number}-{count}", b"x" * 100, leader.session_id)
            count += 1

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        before = embedded.renewals()
        eventually(lambda: embedded.renewals() >= before + 10)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert leader.contender.driver.has_leadership(leader.session_id)
    assert not leader.contender.listener.of("revoke")


def is_locked(directory: Path) -> bool:
    """Whether another process finds the write lock taken."""
    program = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
        "try:\n"
        "    connection.execute('BEGIN IMMEDIATE')\n"
        "except sqlite3.OperationalError:\n"
        "    print('locked')\n"
        "connection.close()\n"
    )
    path = str(directory / "ha.db")
    result = subprocess.run([sys.executable, "-c", program, path], capture_output=True, check=True)
    return result.stdout == b"locked\n"


def test_looking_at_locks_does_not_lose_those_of_this_process(database: Database) -> None:
    """Closing a descriptor of the file would: that is how POSIX locks work."""
    with database.writing():
        assert shared_memory.write_lock_holder(database.directory) is None, "it is our own"
        assert is_locked(database.directory)
    assert not is_locked(database.directory)
    database.close()


def test_no_descriptor_is_left_open(embedded: EmbeddedHarness) -> None:
    backend = embedded.backend()
    Retrieval.of(embedded, DISPATCHER).observer.wait_for(None)
    assert write_lock_holder(embedded.config) is None
    assert shared_memory._uses[embedded.directory].descriptors
    backend.close()
    embedded.close()
    assert embedded.directory not in shared_memory._uses
    assert write_lock_holder(embedded.config) is None
    assert embedded.directory not in shared_memory._uses


# --- what SQLite's errors mean -----------------------------------------------------------


@pytest.fixture
def database(embedded: EmbeddedHarness) -> Database:
    backend = embedded.backend()
    backend.pointers(JOB_GRAPHS).entries()
    return Database(embedded.directory, "default", 1.0)


def test_a_full_disk(database: Database) -> None:
    with database.reading() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with (
        pytest.raises(StoreUnavailableError, match="is full: free some space"),
        database.writing() as connection,
    ):
        connection.execute("INSERT INTO pointer VALUES ('n', 'a', 1, ?)", (b"x" * 100_000,))
    with database.writing() as connection:
        connection.execute("INSERT INTO pointer VALUES ('n', 'b', 1, x'00')")
    database.close()


def test_an_exception_rolls_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.execute("INSERT INTO pointer VALUES ('n', 'a', 1, x'00')")
        raise ZeroDivisionError
    with database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM pointer").fetchone() == (0,)
    database.close()


class FailingCommit:
    """A connection whose disk fails when a commit is forced to it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        if statement == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._connection.execute(statement, *values)

    def close(self) -> None:
        self._connection.close()


def test_a_commit_that_fails_half_way_is_in_doubt(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = database._connection
    assert connection is not None
    monkeypatch.setattr(database, "_connection", FailingCommit(connection))
    with (
        pytest.raises(PossibleInconsistentStateError, match="unknown whether"),
        database.writing() as connection,
    ):
        connection.execute("INSERT INTO pointer VALUES ('n', 'a', 1, x'00')")
    database.close()
