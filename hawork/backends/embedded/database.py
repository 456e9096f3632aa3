"""One connection to the SQLite file: short transactions, and errors in hawork's words."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hawork.backends.embedded import shared_memory
from hawork.backends.embedded.layout import DATABASE, check_database, create_database, damaged
from hawork.backends.embedded.write_turns import WriteTurns
from hawork.core.errors import (
    ConfigurationError,
    CorruptStateError,
    HaworkError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.flushing import flush_directory, holders
from hawork.core.forks import when_forked

_CLOSE_SECONDS = 5.0
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FOREIGN = (sqlite3.Error, UnicodeEncodeError, OSError)
"""What SQLite and the operating system raise."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


class Database:
    """A connection that several threads may use, one at a time.

    ``durable`` connections have their commits on the disk when they return; the others
    hold the write lock for microseconds only, go before the durable ones that share their
    ``turns``, and may lose their last commits when the machine (not a process) dies.
    Nothing is ever half written.
    """

    def __init__(
        self,
        directory: Path,
        cluster_id: str,
        busy_timeout: float,
        *,
        durable: bool = True,
        turns: WriteTurns | None = None,
    ) -> None:
        self.directory = directory
        self._path = directory / DATABASE
        self._name = str(self._path)
        self._cluster_id = cluster_id
        self._busy_timeout = busy_timeout
        self._durable = durable
        self._turns = turns or WriteTurns()
        # Held for one transaction, or one read; no other program's code runs under it.
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._waiting: float | None = None
        """The connection's busy timeout, in seconds."""
        self._closed = False
        self._generation = 0
        when_forked(self, Database._leave_behind)
        try:
            create_database(self._path, cluster_id)
            if durable:
                for holder in holders(self._path):
                    flush_directory(holder)
        except _FOREIGN as error:
            raise self._translated(error) from error
        with self.reading():
            pass  # opens and checks the file now rather than at its first use

    def reading(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """A connection to read with. Each statement sees one moment; writers do not wait."""
        return _Reading(self)

    @property
    def generation(self) -> int:
        """How many files of this name there have been."""
        return self._generation

    def data_version(self) -> tuple[int, int]:
        """What is different after every write of another connection."""
        with self.reading() as connection:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            # A file that was replaced begins to count anew.
            return self._generation, version

    def header_reader(self) -> Callable[[], bytes]:
        """A function whose result is different after every write, in a microsecond or two.

        Does not notice that the file was replaced, which ``data_version`` does. Good until
        that, or until this is closed.
        """
        with self.reading():
            return shared_memory.header_reader(self.directory)

    def row(self, statement: str, parameters: Sequence[object]) -> Any:
        """The first row that ``statement`` finds, or ``None``: the quickest way to read."""
        with self._lock:
            connection = self._current()
            try:
                return connection.execute(statement, parameters).fetchone()
            except _FOREIGN as error:
                raise self._translated(error) from error

    def writing(
        self, busy_timeout: float | None = None
    ) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """A transaction that holds the write lock from its beginning.

        Commits at the end; an exception rolls everything back. ``StoreUnavailableError``
        when the lock is not free within ``busy_timeout`` seconds, or the disk is full;
        ``PossibleInconsistentStateError`` when it is unknown what became of the commit.
        """
        return _Writing(self, self._busy_timeout if busy_timeout is None else busy_timeout)

    def close(self) -> None:
        """Close the connection. May be repeated; later use is a ``StoreUnavailableError``."""
        self._closed = True
        # Bounded: a disk that hangs must not keep a process from shutting down.
        if self._lock.acquire(timeout=_CLOSE_SECONDS):
            try:
                self._disconnect()
            finally:
                self._lock.release()

    def _leave_behind(self) -> None:
        """In a forked child, which must not even close the connection.

        Source: SQLite's *How To Corrupt*, 2.6, "Carrying an open database connection across a
        fork()".
        """
        connection, self._connection = self._connection, None
        self._lock = threading.RLock()  # a thread of the parent may have had it
        self._closed = True
        if connection is not None:
            shared_memory.left_behind(self.directory)
            # Never collected, hence never closed.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))

    def _begin(self, timeout: float) -> sqlite3.Connection:
        connection = self._current()
        try:
            if timeout != self._waiting:
                connection.execute(f"PRAGMA busy_timeout = {max(0, round(timeout * 1000))}")
                self._waiting = timeout
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._translated(error) from error
        return connection

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if _result_code(error) in (sqlite3.SQLITE_FULL, *_BUSY):
                raise self._translated(error) from error
            # The commit may be in the log although it could not be forced to the disk;
            # a process that opens the file after a crash would find it there.
            raise PossibleInconsistentStateError(
                f"it is unknown whether a write to {self._path} landed ({error}): "
                "check the disk, then restart this process"
            ) from error
        if self._durable and self._is_another():
            raise PossibleInconsistentStateError(
                f"it is unknown whether a write to {self._path} landed: the file was removed or "
                "replaced meanwhile"
            )

    def _is_another(self) -> bool:
        """Whether what is at the path now is not the file that this connection has open."""
        try:
            status = os.stat(self._name)
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != self._file

    def _current(self) -> sqlite3.Connection:
        """A connection to the file that is at the path *now*.

        A file that was removed and made again is another store, in which this process
        leads nothing: going on with the old one would be a second, secret cluster.
        """
        if self._closed:
            raise StoreUnavailableError(f"the HA store {self._path} was closed by this process")
        try:
            status = os.stat(self._name)
        except FileNotFoundError:
            self._disconnect()
            raise StoreUnavailableError(
                f"the HA store {self._path} was removed: put it back, or start the cluster again"
            ) from None
        except OSError as error:
            raise self._unusable(error) from error
        file = status.st_dev, status.st_ino
        if self._connection is None or file != self._file:
            self._disconnect()
            try:
                self._connection, self._file, self._waiting = self._connect(), file, None
            except _FOREIGN as error:
                raise self._translated(error) from error
            self._generation += 1
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        if shared_memory.is_left_behind(self.directory):
            raise ConfigurationError(
                f"the HA store {self._path} was open when this process was forked, after which "
                "SQLite takes its parent's locks for its own: start workers by multiprocessing's "
                "method spawn, or fork before the HA services are opened"
            )
        shared_memory.connecting(self.directory)
        try:
            return self._open()
        except BaseException:
            shared_memory.disconnected(self.directory)
            raise

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=rw",
            uri=True,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            level = "FULL" if self._durable else "NORMAL"
            connection.execute(f"PRAGMA synchronous = {level}")
            # One of a process's connections is enough to read the file whole.
            check_database(connection, self._path, self._cluster_id, thorough=self._durable)
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            shared_memory.disconnected(self.directory)

    def _translated(self, error: sqlite3.Error | UnicodeEncodeError | OSError) -> HaworkError:
        """SQLite's and the operating system's errors as hawork's."""
        if isinstance(error, sqlite3.Error):
            return self._translate(error)
        if isinstance(error, OSError):
            return self._unusable(error)
        return ConfigurationError(
            f"the text {error.object!r} cannot be stored: write characters of UTF-8"
        )

    def _unusable(self, error: OSError) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the HA store {self._path} cannot be used ({error.strerror}): check its directory"
        )

    def _translate(self, error: sqlite3.Error) -> HaworkError:
        code = _result_code(error)
        if code in _CORRUPT or "no such table" in str(error):
            return CorruptStateError(damaged(self._path, error))
        if code in _BUSY:
            return StoreUnavailableError(
                f"the HA store {self._path} stayed locked: {_holder(self.directory)}"
            )
        if code == sqlite3.SQLITE_FULL:
            return StoreUnavailableError(
                f"the disk of the HA store {self._path} is full: free some space there"
            )
        return StoreUnavailableError(
            f"the HA store {self._path} cannot be used ({error}): check its directory and disk"
        )


class _Reading:
    """A class, not a generator, as ``_Writing`` is: a read takes a few microseconds in all."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        self._database._lock.acquire()
        try:
            return self._database._current()
        except BaseException:
            self._database._lock.release()
            raise

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._database._lock.release()
        if isinstance(error, _FOREIGN):
            raise self._database._translated(error) from error


class _Writing:
    __slots__ = ("_connection", "_database", "_timeout", "_urgent")

    def __init__(self, database: Database, timeout: float) -> None:
        self._database = database
        self._timeout = timeout
        self._urgent: contextlib.AbstractContextManager[None] | None = None

    def __enter__(self) -> sqlite3.Connection:
        database = self._database
        if database._durable:
            database._turns.give_way(self._timeout)
        else:
            self._urgent = database._turns.urgent()
            self._urgent.__enter__()
        database._lock.acquire()
        try:
            self._connection = database._begin(self._timeout)
        except BaseException:
            self._leave()
            raise
        shared_memory.begun(database.directory)
        return self._connection

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            if error is None:
                self._database._commit(self._connection)
                return
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            if isinstance(error, _FOREIGN):
                raise self._database._translated(error) from error
        finally:
            shared_memory.ended(self._database.directory)
            self._leave()

    def _leave(self) -> None:
        self._database._lock.release()
        if self._urgent is not None:
            self._urgent.__exit__(None, None, None)


def _result_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension; -1 when it came from Python's own module."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF


def _holder(directory: Path) -> str:
    """What keeps the write lock, in words."""
    pid = shared_memory.write_lock_holder(directory)
    if pid is None:
        return "another transaction has the lock, try again"
    # Imported here: only an error message needs it.
    import psutil

    try:
        stopped = psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        stopped = False
    if stopped:
        return f"it is held by process {pid}, which is stopped: continue it with kill -CONT {pid}"
    return f"it is held by process {pid}: try again"
