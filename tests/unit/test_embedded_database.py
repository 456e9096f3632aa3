"""How the embedded store's file comes into the world: whole, or not at all."""

from __future__ import annotations

import functools
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hawork.backends.embedded.database import Database
from hawork.backends.embedded.layout import create_database
from hawork.core.errors import PossibleInconsistentStateError
from hawork.inspect.embedded import read_embedded_store


def test_the_name_of_a_database_is_on_the_disk_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the process that made it was killed before it had flushed the directories."""
    directory = tmp_path / "ha" / "embedded"
    directory.mkdir(parents=True)
    create_database(directory / "ha.db", "c")
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path)
    fsync, flushed = os.fsync, list[Path]()

    def noted(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    Database(directory, "c", 1.0).close()
    assert flushed == [directory, directory.parent, tmp_path]


def test_a_database_is_whole_before_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that is nearly full the rest was lost with the log, and the file was damaged."""
    as_it_was = tmp_path / "copy.db"

    class Closing(sqlite3.Connection):
        def close(self) -> None:
            if not as_it_was.exists():
                (written,) = tmp_path.glob(".ha.db-????????????")
                shutil.copyfile(written, as_it_was)
            super().close()

    with monkeypatch.context() as patched:
        connect = functools.partial(sqlite3.connect, factory=Closing)
        patched.setattr("hawork.backends.embedded.layout.sqlite3.connect", connect)
        create_database(tmp_path / "ha.db", "c")
    for path in (as_it_was, tmp_path / "ha.db"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT cluster_id FROM meta").fetchone() == ("c",)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert not list(tmp_path.glob(".ha.db*"))


def test_the_log_of_a_file_that_was_removed_is_not_that_of_the_next_one(tmp_path: Path) -> None:
    """Killed processes leave it: the new store had the old lease, and what else was in the log."""
    path, log = tmp_path / "ha.db", tmp_path / "ha.db-wal"
    create_database(path, "c")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO lease VALUES (1, 'a', 'b', 0, 1, '1', 1.0, 1.0, 0.1)")
        connection.commit()
        left = log.read_bytes()
    path.unlink()
    log.write_bytes(left)
    create_database(path, "c")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM lease").fetchall() == []
    (kept,) = tmp_path.glob("ha.db-wal.of-a-removed-file-*")
    assert kept.read_bytes() == left
    create_database(path, "c")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_write_into_a_file_that_is_there_no_more_is_in_doubt(tmp_path: Path, how: str) -> None:
    """It was acknowledged, and gone with the file."""
    database = Database(tmp_path, "c", 1.0)
    with (
        pytest.raises(PossibleInconsistentStateError, match="removed or replaced"),
        database.writing() as connection,
    ):
        connection.execute("INSERT INTO pointer VALUES ('jobgraphs', 'job', 1, x'00')")
        if how == "removed":
            (tmp_path / "ha.db").unlink()
        else:
            create_database(tmp_path / "other", "c")
            (tmp_path / "other").rename(tmp_path / "ha.db")
    database.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE lease SET contender = CAST(x'ff' AS TEXT)",
        "UPDATE lease SET lease_duration = 'long'",
        "UPDATE lease SET lease_duration = 9e999",
        "INSERT INTO leader_information VALUES ('dispatcher', 'b', CAST(x'ff' AS TEXT))",
        "INSERT INTO pointer VALUES ('jobgraphs', CAST(x'ff' AS TEXT), 1, CAST(x'ff' AS TEXT))",
    ],
)
def test_a_row_of_any_kind_keeps_no_inspector_from_the_others(tmp_path: Path, change: str) -> None:
    """It was told to remove the store, or ended with an error of Python's."""
    create_database(tmp_path / "ha.db", "c")
    with closing(sqlite3.connect(tmp_path / "ha.db")) as connection:
        connection.execute("INSERT INTO lease VALUES (1, 'a', 'b', 0, 1, '1', 1.0, 1.0, 0.1)")
        connection.execute("INSERT INTO pointer VALUES ('jobgraphs', 'good', 1, x'00')")
        connection.execute(change)
        connection.commit()
    found = read_embedded_store(tmp_path / "ha.db")
    assert found.lease is not None
    assert ("jobgraphs", "good", b"\0") in [pointer[:3] for pointer in found.pointers]
