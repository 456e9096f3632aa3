"""What is on disk and in the HA store at this moment, as frames. Only reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.inspect.text import as_text

if TYPE_CHECKING:
    import pandas


COLUMNS = ("table", "name", "version", "value")
_NAMES = ("namespace", "name", "component_id", "cluster_id")
"""Columns that name a row, together."""


def store_rows(config: Configuration, names: Mapping[str, str]) -> pandas.DataFrame:
    """One row per row, znode or key: table, path or ConfigMap, name, version, value as text.

    ``names`` are the lab's processes by pid, by session and by session id of their leaderships,
    to say whose a row, an ephemeral znode or a lock is. ``LabError`` for a backend that cannot
    be looked into.
    """
    import sqlite3

    import pandas

    from hawork.backends.embedded.directory import directory_of
    from hawork.backends.embedded.layout import DATABASE

    kind = config.get_option(options.HA_TYPE)
    if kind == "zookeeper":
        from hawork.inspect.zookeeper import znodes

        return pandas.DataFrame(list(znodes(config, names)), columns=list(COLUMNS))
    if kind == "kubernetes":
        from hawork.inspect.kubernetes import config_maps

        return pandas.DataFrame(list(config_maps(config, names)), columns=list(COLUMNS))
    if kind != "embedded":
        raise LabError(f"the rows of a {kind} store cannot be shown: use its own tools")
    file = directory_of(config) / DATABASE
    if not file.exists():
        return pandas.DataFrame(columns=list(COLUMNS))
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        rows = list(_rows(connection, names))
    finally:
        connection.close()
    return pandas.DataFrame(rows, columns=list(COLUMNS))


def _rows(connection: Any, names: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    for (table,) in connection.execute(query).fetchall():
        for row in connection.execute(f'SELECT * FROM "{table}"').fetchall():
            cells = {key: _cell(row[key]) for key in row.keys()}  # noqa: SIM118 - a Row is no dict
            cells.pop("one", None)  # the key of a table of one row says nothing
            name = " ".join(str(cells.pop(key)) for key in _NAMES if key in cells)
            version = str(cells.pop("version", ""))
            name = names.get(str(cells.get("pid")), name)
            value = str(cells["value"]) if "value" in cells else json.dumps(cells)
            yield table, name, version, value


def _cell(value: Any) -> Any:
    return as_text(value) if isinstance(value, bytes) else value
