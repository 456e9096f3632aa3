"""The rows of the embedded backend's SQLite file at this moment. Only reads."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hawork.backends.embedded.directory import directory_of
from hawork.backends.embedded.layout import DATABASE, damaged
from hawork.core.configuration import Configuration
from hawork.core.errors import StoreUnavailableError
from hawork.core.types import LeaderInformation, LeaderSessionID
from hawork.core.user_files import NOTHING_THERE, why_not_there
from hawork.inspect.decode import as_text
from hawork.inspect.entries import Entry
from hawork.inspect.pointers import LockRecord

_NAMES = ("namespace", "name", "component_id", "cluster_id")
"""Columns that name a row, together."""


def read_entries(config: Configuration) -> list[Entry]:
    """Every row of every table; the ``owner`` is a pid. Empty while there is no file.

    ``StoreUnavailableError`` for one that is locked, damaged or no database.
    """
    file = directory_of(config) / DATABASE
    if reason := why_not_there(file):
        if reason == NOTHING_THERE:
            return []
        raise StoreUnavailableError(f"the HA store {file}: {reason}")
    with _opened(file) as connection:
        connection.execute("SELECT cluster_id FROM meta")  # without it, it is another program's
        return list(_rows(connection))


@dataclass(frozen=True)
class EmbeddedStore:
    """What a file ``ha.db`` holds: the lease, the addresses, and the pointers with their rows."""

    cluster_id: str
    lease: LockRecord | None = None
    addresses: tuple[tuple[str, LeaderInformation | None], ...] = ()
    pointers: tuple[tuple[str, str, bytes, Entry], ...] = ()
    """Namespace, name, value, and the row."""


def read_embedded_store(file: Path) -> EmbeddedStore:
    """``StoreUnavailableError`` for a file that is not there, or is none of hawork's."""
    if reason := why_not_there(file):
        if reason == NOTHING_THERE:
            reason = "it is not there: no JobManager has made it yet"
        raise StoreUnavailableError(f"the HA store {file}: {reason}")
    with _opened(file) as connection:
        return _store(connection)


def _store(connection: sqlite3.Connection) -> EmbeddedStore:
    (meta,) = connection.execute("SELECT cluster_id FROM meta").fetchall() or [("",)]
    lease = connection.execute("SELECT contender, lease_duration, renewals FROM lease").fetchone()
    record = None
    if lease is not None:
        known_seconds = isinstance(lease[1], (int, float)) and math.isfinite(lease[1])
        seconds = float(lease[1]) if known_seconds else 0.0
        record = LockRecord(str(lease[0]), seconds, None, None, 0, "number")
    addresses = []
    for component, session, address in connection.execute(
        "SELECT component_id, session_id, address FROM leader_information ORDER BY component_id"
    ):
        try:
            known = LeaderInformation(LeaderSessionID(str(session)), str(address))
        except ValueError:
            known = None
        addresses.append((str(component), known))
    pointers = []
    for row in connection.execute("SELECT * FROM pointer ORDER BY namespace, name"):
        value = row["value"]
        data = value if isinstance(value, bytes) else str(value).encode()
        cells = {key: row[key] for key in row.keys()}  # noqa: SIM118 - no dict
        entry = _entry("pointer", cells)
        pointers.append((str(row["namespace"]), str(row["name"]), data, entry))
    return EmbeddedStore(str(meta[0]), record, tuple(addresses), tuple(pointers))


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads; what SQLite says inside is a ``StoreUnavailableError``."""
    try:
        connection = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
        with contextlib.closing(connection):
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda text: text.decode(errors="replace")
            yield connection
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            why = f"{file} is locked by another program ({error}): look again when it is done"
        elif code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            why = f"{file} cannot be opened ({error}): look at its owner and mode"
        else:
            why = damaged(file, error)
        raise StoreUnavailableError(why) from None


def _rows(connection: sqlite3.Connection) -> Iterator[Entry]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    for (table,) in connection.execute(query).fetchall():
        for row in connection.execute(f'SELECT * FROM "{table}"').fetchall():
            yield _entry(table, {key: row[key] for key in row.keys()})  # noqa: SIM118 - no dict


def _entry(table: str, cells: dict[str, Any]) -> Entry:
    cells.pop("one", None)  # the key of a table of one row says nothing
    name = " ".join(str(cells.pop(key)) for key in _NAMES if key in cells)
    version, pid, value = cells.pop("version", None), cells.get("pid"), cells.get("value")
    if value is None:
        shown = {key: as_text(each) if isinstance(each, bytes) else each
                 for key, each in cells.items()}  # fmt: skip
        value = json.dumps(shown)
    return Entry(
        "embedded", table, value if isinstance(value, bytes) else str(value).encode(), name,
        version=version, owner=None if pid is None else str(pid),
    )  # fmt: skip
