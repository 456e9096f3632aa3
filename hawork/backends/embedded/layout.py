"""What the embedded backend keeps, drawn; and how its file is made.

::

    <directory>/ha.db              SQLite, write-ahead log (ha.db-wal, ha.db-shm beside it)
    <directory>/contenders/        one <contender id>.lock each, locked while it lives

    meta                cluster_id | format | owner_uid | last_version        one row
    lease               contender | session_id | renewals | pid | start_time
                        | lease_duration | renew_deadline | retry_period      no or one row
    leader_information  component_id | session_id | address                   one per component
    pointer             namespace | name | version | value                    one per entry

``namespace`` is written as ``jobgraphs`` or ``checkpoints/<job id>``. Up to ``last_version``
versions are taken by the processes that write, so that none is used twice. ``start_time`` tells the
process from a later one of the same pid. Seconds are floating-point numbers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from hawork.backends.embedded.directory import lacking
from hawork.core.errors import ConfigurationError, CorruptStateError
from hawork.core.flushing import flush_directory

DATABASE = "ha.db"
CONTENDERS = "contenders"
FORMAT = 1

_SMALL = 4 << 20
"""Bytes up to which a file is checked whole when it is opened; takes a few milliseconds."""

_SCHEMA = """
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1), cluster_id TEXT NOT NULL, format INTEGER NOT NULL,
    owner_uid INTEGER NOT NULL, last_version INTEGER NOT NULL);
CREATE TABLE lease (
    one INTEGER PRIMARY KEY CHECK (one = 1), contender TEXT NOT NULL, session_id TEXT NOT NULL,
    renewals INTEGER NOT NULL, pid INTEGER NOT NULL, start_time TEXT NOT NULL,
    lease_duration REAL NOT NULL, renew_deadline REAL NOT NULL, retry_period REAL NOT NULL);
CREATE TABLE leader_information (
    component_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, address TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pointer (
    namespace TEXT, name TEXT, version INTEGER NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (namespace, name)) WITHOUT ROWID;
"""


def create_database(path: Path, cluster_id: str) -> None:
    """Make an empty database at ``path`` unless there is one.

    It is made under another name and linked when it is complete, so a process never meets half
    a database, and of several processes that start together exactly one makes it. A log of a file
    that was there before, which SQLite would take for that of the new one, is given another name.
    """
    if path.exists():
        return
    unfinished = path.with_name(f".{DATABASE}-{secrets.token_hex(6)}")
    try:
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(f"BEGIN; {_SCHEMA}")
            connection.execute(
                "INSERT INTO meta VALUES (1, ?, ?, ?, 0)", (cluster_id, FORMAT, os.geteuid())
            )
            connection.execute("COMMIT")
            # Last, so that nothing is in the log: what is moved from there when it is closed fails
            # without a word on a full disk.
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise sqlite3.OperationalError(f"there is no write-ahead log, but {mode}")
        _force_to_disk(unfinished)
        with _alone_in(path.parent):
            if path.exists():
                return
            _set_log_aside(path)
            try:
                os.link(unfinished, path)
            except FileExistsError:
                return
            except OSError as error:
                raise lacking(error, path.parent, "hard links") from None
        flush_directory(path.parent)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{unfinished}{suffix}").unlink(missing_ok=True)


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """While no other process makes a database there: it could be about to write its log."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise lacking(error, directory, "file locks") from None
        yield
    finally:
        os.close(descriptor)


def _set_log_aside(path: Path) -> None:
    """A process that was killed leaves its log, with what is not in the file yet: it is kept."""
    Path(f"{path}-shm").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        log = Path(f"{path}-wal")
        log.rename(f"{log}.of-a-removed-file-{secrets.token_hex(6)}")


def check_database(
    connection: sqlite3.Connection, path: Path, cluster_id: str, *, thorough: bool
) -> None:
    """Refuse a file that is damaged, another owner's, another cluster's or of a later hawork."""
    if thorough and path.stat().st_size <= _SMALL:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise CorruptStateError(damaged(path, verdict))
    row = connection.execute("SELECT cluster_id, format, owner_uid FROM meta").fetchone()
    if row is None:
        raise CorruptStateError(damaged(path, "its table meta is empty"))
    found_id, found_format, owner = row
    if found_format > FORMAT:
        raise ConfigurationError(
            f"{path} has format {found_format}, made by a later hawork than this one, which "
            f"knows {FORMAT}: use that hawork, or another directory"
        )
    if found_id != cluster_id:
        raise ConfigurationError(
            f"{path} belongs to the cluster {found_id!r}, not to {cluster_id!r}: set "
            "high-availability.cluster-id to the former, or "
            "high-availability.embedded.directory to another directory"
        )
    if owner != os.geteuid():
        raise ConfigurationError(
            f"{path} was made by the user with id {owner}, this process runs as "
            f"{os.geteuid()}: run it as that user, or choose another directory"
        )


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def damaged(path: Path, reason: object) -> str:
    in_one_line = " ".join(str(reason).split())
    return (
        f"the HA store {path} is damaged ({in_one_line}): stop all JobManagers, then remove it and "
        f"what SQLite keeps beside it ({path.name}-wal and {path.name}-shm), and put a copy there, "
        "or submit the jobs again"
    )
