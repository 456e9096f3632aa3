"""One connection to the SQLite file: short transactions, and errors in hawork's words."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
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
from hawork.core.forks import when_forked

_CLOSE_SECONDS = 5.0
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
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
        self._cluster_id = cluster_id
        self._busy_timeout = busy_timeout
        self._durable = durable
        self._turns = turns or WriteTurns()
        # Held for one transaction, or one read; no other program's code runs under it.
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._closed = False
        self._generation = 0
        when_forked(self, Database._leave_behind)
        with self._translated():
            create_database(self._path, cluster_id)
        with self.reading():
            pass  # opens and checks the file now rather than at its first use

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with. Each statement sees one moment; writers do not wait."""
        with self._lock, self._translated():
            yield self._current()

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

    @contextlib.contextmanager
    def writing(self, busy_timeout: float | None = None) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its beginning.

        Commits at the end; an exception rolls everything back. ``StoreUnavailableError``
        when the lock is not free within ``busy_timeout`` seconds, or the disk is full;
        ``PossibleInconsistentStateError`` when it is unknown what became of the commit.
        """
        timeout = self._busy_timeout if busy_timeout is None else busy_timeout
        with self._turn(timeout), self._lock, self._translated():
            connection = self._current()
            connection.execute(f"PRAGMA busy_timeout = {max(0, round(timeout * 1000))}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            self._commit(connection)

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

    def _turn(self, timeout: float) -> contextlib.AbstractContextManager[None]:
        if not self._durable:
            return self._turns.urgent()
        self._turns.give_way(timeout)
        return contextlib.nullcontext()

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if _result_code(error) in (sqlite3.SQLITE_FULL, *_BUSY):
                raise
            # The commit may be in the log although it could not be forced to the disk;
            # a process that opens the file after a crash would find it there.
            raise PossibleInconsistentStateError(
                f"it is unknown whether a write to {self._path} landed ({error}): "
                "check the disk, then restart this process"
            ) from error

    def _current(self) -> sqlite3.Connection:
        """A connection to the file that is at the path *now*.

        A file that was removed and made again is another store, in which this process
        leads nothing: going on with the old one would be a second, secret cluster.
        """
        if self._closed:
            raise StoreUnavailableError(f"the HA store {self._path} was closed by this process")
        try:
            status = os.stat(self._path)
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
            self._connection, self._file = self._connect(), file
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

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's and the operating system's errors as hawork's."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._translate(error) from error
        except UnicodeEncodeError as error:
            raise ConfigurationError(
                f"the text {error.object!r} cannot be stored: write characters of UTF-8"
            ) from error
        except OSError as error:
            raise self._unusable(error) from error

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
