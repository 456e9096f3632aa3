"""The entries of a cluster's HA store at this moment, on every backend. Only reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.inspect.decode import StoreRow, decoded
from hawork.inspect.entries import Entry

if TYPE_CHECKING:
    import pandas

COLUMNS = ("table", "name", "version", "value")


def read_entries(config: Configuration) -> list[Entry]:
    """Every row, znode or key, with its bytes whole.

    ``LabError`` for a backend that cannot be looked into, ``StoreUnavailableError`` when the
    store does not answer.
    """
    kind = config.get_option(options.HA_TYPE)
    if kind == "zookeeper":
        from hawork.inspect import zookeeper

        return zookeeper.read_entries(config)
    if kind == "kubernetes":
        from hawork.inspect import kubernetes

        return kubernetes.read_entries(config)
    if kind == "embedded":
        from hawork.inspect import embedded

        return embedded.read_entries(config)
    raise LabError(f"the rows of a {kind} store cannot be shown: use its own tools")


def store_rows(config: Configuration, names: Mapping[str, str]) -> list[StoreRow]:
    """The same, decoded. ``names`` are processes by what stands for them in the store."""
    return decoded(read_entries(config), names)


def store_frame(rows: Iterable[StoreRow]) -> pandas.DataFrame:
    """One row each: table, path or ConfigMap, name, version, value as text."""
    import pandas

    cells = [(row.table, row.name, row.version, row.text) for row in rows]
    return pandas.DataFrame(cells, columns=list(COLUMNS))
