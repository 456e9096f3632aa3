"""Pointers as rows, each write in one transaction with a look at the lease row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hawork.backends.embedded.database import Database
from hawork.backends.embedded.lease_table import fence
from hawork.core.errors import AlreadyExistsError, NotExistError, VersionMismatchError
from hawork.core.types import LeaderSessionID, Versioned
from hawork.ha.pointer_store import Namespace

_VALUE = "CAST(value AS BLOB), CAST(version AS INTEGER)"
"""Whatever another hand has written there: SQLite keeps any type, and text that is not UTF-8."""


class EmbeddedPointerStore:
    """The pointers of one namespace; a ``PointerStore``."""

    def __init__(self, namespace: Namespace, writer: Database, reader: Database) -> None:
        self._namespace = str(namespace)
        self._writer = writer
        self._reader = reader

    def create(self, name: str, value: bytes, session_id: LeaderSessionID) -> None:
        with self._fenced("creating", name, session_id) as connection:
            if self._version(connection, name) is not None:
                raise AlreadyExistsError(
                    f"{self._namespace} has an entry {name!r} already: replace it, or use "
                    "another name"
                )
            connection.execute(
                "INSERT INTO pointer (namespace, name, version, value) VALUES (?, ?, ?, ?)",
                (self._namespace, name, _next_version(connection), value),
            )

    def replace(self, name: str, version: int, value: bytes, session_id: LeaderSessionID) -> None:
        with self._fenced("replacing", name, session_id) as connection:
            found = self._version(connection, name)
            if found is None:
                raise NotExistError(f"{self._namespace} has no entry {name!r} to replace")
            if found != version:
                raise VersionMismatchError(
                    f"{self._namespace} has {name!r} in version {found}, not {version}: read it "
                    "again"
                )
            connection.execute(
                "UPDATE pointer SET version = ?, value = ? WHERE namespace = ? AND name = ?",
                (_next_version(connection), value, self._namespace, name),
            )

    def read(self, name: str) -> Versioned[bytes] | None:
        with self._reader.reading() as connection:
            row = connection.execute(
                f"SELECT {_VALUE} FROM pointer WHERE namespace = ? AND name = ?",
                (self._namespace, name),
            ).fetchone()
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
            removed = connection.execute(
                "DELETE FROM pointer WHERE namespace = ? AND name = ?", (self._namespace, name)
            ).rowcount
        return removed > 0

    @contextmanager
    def _fenced(
        self, verb: str, name: str, session_id: LeaderSessionID
    ) -> Iterator[sqlite3.Connection]:
        with self._writer.writing() as connection:
            fence(connection, session_id, f"{verb} {self._namespace} {name!r}")
            yield connection

    def _version(self, connection: sqlite3.Connection, name: str) -> int | None:
        row = connection.execute(
            "SELECT CAST(version AS INTEGER) FROM pointer WHERE namespace = ? AND name = ?",
            (self._namespace, name),
        ).fetchone()
        return None if row is None else int(row[0])


def _next_version(connection: sqlite3.Connection) -> int:
    """A number that no pointer of the cluster had before."""
    connection.execute("UPDATE meta SET last_version = last_version + 1")
    (version,) = connection.execute("SELECT last_version FROM meta").fetchone()
    return int(version)
