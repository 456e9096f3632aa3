"""Pointers as rows, each write in one transaction with a look at the lease row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hawork.backends.embedded.database import Database
from hawork.backends.embedded.lease_table import fence
from hawork.backends.embedded.versions import Versions
from hawork.core.errors import AlreadyExistsError, NotExistError, VersionMismatchError
from hawork.core.types import LeaderSessionID, Versioned
from hawork.ha.pointer_store import Namespace

_VALUE = "CAST(value AS BLOB), CAST(version AS INTEGER)"
"""Whatever another hand has written there: SQLite keeps any type, and text that is not UTF-8."""
_DELETE = "DELETE FROM pointer WHERE namespace = ? AND name = ?"
_READ = f"SELECT {_VALUE} FROM pointer WHERE namespace = ? AND name = ?"


class EmbeddedPointerStore:
    """The pointers of one namespace; a ``PointerStore``."""

    def __init__(
        self, namespace: Namespace, writer: Database, reader: Database, versions: Versions
    ) -> None:
        self._namespace = str(namespace)
        self._writer = writer
        self._reader = reader
        self._versions = versions

    def create(
        self, name: str, value: bytes, session_id: LeaderSessionID, older: Sequence[str] = ()
    ) -> bool:
        with self._fenced("creating", name, session_id) as connection:
            created = connection.execute(
                "INSERT INTO pointer (namespace, name, version, value) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (self._namespace, name, self._next_version(connection), value),
            ).rowcount
            if not created:
                raise AlreadyExistsError(
                    f"{self._namespace} has an entry {name!r} already: replace it, or use "
                    "another name"
                )
            for each in older:
                connection.execute(_DELETE, (self._namespace, each))
        return True

    def replace(self, name: str, version: int, value: bytes, session_id: LeaderSessionID) -> None:
        with self._fenced("replacing", name, session_id) as connection:
            replaced = connection.execute(
                "UPDATE pointer SET version = ?, value = ? "
                "WHERE namespace = ? AND name = ? AND CAST(version AS INTEGER) = ?",
                (self._next_version(connection), value, self._namespace, name, version),
            ).rowcount
            if not replaced:
                raise self._changed(connection, name, version)

    def read(self, name: str) -> Versioned[bytes] | None:
        row = self._reader.row(_READ, (self._namespace, name))
        return None if row is None else Versioned(*row)

    def entries(self) -> Sequence[tuple[str, Versioned[bytes]]]:
        with self._reader.reading() as connection:
            rows = connection.execute(
                f"SELECT CAST(name AS BLOB), {_VALUE} FROM pointer WHERE namespace = ? "
                "ORDER BY name",
                (self._namespace,),
            ).fetchall()
        return [
            (name.decode(errors="surrogateescape"), Versioned(value, version))
            for name, value, version in rows
        ]

    def delete(self, name: str, session_id: LeaderSessionID) -> bool:
        with self._fenced("deleting", name, session_id) as connection:
            removed = connection.execute(_DELETE, (self._namespace, name)).rowcount
        return removed > 0

    @contextmanager
    def _fenced(
        self, verb: str, name: str, session_id: LeaderSessionID
    ) -> Iterator[sqlite3.Connection]:
        try:
            with self._writer.writing() as connection:
                fence(connection, session_id, f"{verb} {self._namespace} {name!r}")
                yield connection
        except BaseException:
            self._versions.forget()
            raise

    def _next_version(self, connection: sqlite3.Connection) -> int:
        return self._versions.next(connection, self._writer.generation)

    def _changed(
        self, connection: sqlite3.Connection, name: str, version: int
    ) -> NotExistError | VersionMismatchError:
        row = connection.execute(
            "SELECT CAST(version AS INTEGER) FROM pointer WHERE namespace = ? AND name = ?",
            (self._namespace, name),
        ).fetchone()
        if row is None:
            return NotExistError(f"{self._namespace} has no entry {name!r} to replace")
        return VersionMismatchError(
            f"{self._namespace} has {name!r} in version {row[0]}, not {version}: read it again"
        )
