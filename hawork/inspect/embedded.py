"""The rows of the embedded backend's SQLite file at this moment. Only reads."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from hawork.backends.embedded.directory import directory_of
from hawork.backends.embedded.layout import DATABASE
from hawork.core.configuration import Configuration
from hawork.inspect.decode import as_text
from hawork.inspect.entries import Entry

_NAMES = ("namespace", "name", "component_id", "cluster_id")
"""Columns that name a row, together."""


def read_entries(config: Configuration) -> list[Entry]:
    """Every row of every table; the ``owner`` is a pid. Empty while there is no file."""
    file = directory_of(config) / DATABASE
    if not file.exists():
        return []
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        return list(_rows(connection))
    finally:
        connection.close()


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
