"""What is on disk and in the HA store at this moment, as frames. Only reads."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.ha import layout
from hawork.ha.ended_jobs import ENDED
from hawork.ha.storage import local_path
from hawork.inspect.text import SHOWN, as_text

if TYPE_CHECKING:
    import pandas


COLUMNS = ("table", "name", "version", "value")
_NAMES = ("namespace", "name", "component_id", "cluster_id")
"""Columns that name a row, together."""


def files_below(root: Path) -> list[Path]:
    """Every file below ``root``, in order; a folder that goes while it is listed has none.

    Flink removes folders of checkpoints all the time, and ``rglob`` raises for them.
    """
    found = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    # Path.is_file raises for what we may not look at.
    return sorted(path for path in found if os.path.isfile(path))  # noqa: PTH113


def storage_tree(root: Path) -> pandas.DataFrame:
    """One row per file below ``root``: path, what it is, bytes, age in seconds, content."""
    import pandas

    now = time.time()
    rows = []
    for path in files_below(root):
        try:
            status = path.stat()
            content = _content(path)
        except OSError:
            continue  # it went while we looked
        age = round(now - status.st_mtime, 1)
        name = path.relative_to(root).as_posix()
        rows.append((name, kind_of_file(path), status.st_size, age, content))
    return pandas.DataFrame(rows, columns=["path", "what", "bytes", "age", "content"])


def kind_of_file(path: Path) -> str:
    """What a file in storageDir is, by its name."""
    name, folder = path.name, path.parent.name
    if path.parent.parent.name == ENDED:
        return "ended job, remembered"
    if name.endswith(("_DIRTY.json", ".json")) and "job-result-store" in path.parts:
        return "job result, dirty" if name.endswith("_DIRTY.json") else "job result, clean"
    for prefix, meaning in (
        (layout.JOB_GRAPH, "job graph"),
        ("submittedExecutionPlan", "execution plan"),  # of Flink 2, instead of a job graph
        (layout.CHECKPOINT, "completed checkpoint"),
        (layout.SUBMITTING, "marker of a submission"),
        ("ha.db", "HA store"),
    ):
        if name.startswith(prefix):
            return meaning
    folders = {
        layout.BLOBS: "artifact",
        layout.STATE: "state of a subtask",
        "contenders": "lock of a contender",
    }
    return folders.get(folder, "")


def _content(path: Path) -> str:
    if path.name.startswith("ha.db") or path.parent.name in (layout.BLOBS, "contenders"):
        # Never open SQLite's files from outside of SQLite: closing one drops its locks.
        return ""
    with path.open("rb") as file:
        return as_text(file.read(SHOWN * 4))


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


def job_results(config: Configuration) -> pandas.DataFrame:
    """One row per file of the JobResultStore: job id, state, how the job ended, runtime."""
    import pandas

    rows = []
    directory = _local(layout.job_result_url(config))
    for path in sorted(directory.glob("*.json")) if directory.exists() else []:
        dirty = path.name.endswith("_DIRTY.json")
        job_id = path.name.removesuffix(".json").removesuffix("_DIRTY")
        try:
            result = json.loads(path.read_bytes())["result"]
            ended, runtime = result["application-status"], result["net-runtime"]
        except (OSError, ValueError, KeyError, TypeError):
            ended, runtime = "unreadable", None
        rows.append((job_id, "dirty" if dirty else "clean", ended, runtime, path.name))
    columns = ["job_id", "state", "application_status", "milliseconds", "file"]
    return pandas.DataFrame(rows, columns=columns)


def _local(url: str) -> Path:
    path = local_path(url)
    if path is None:
        raise LabError(f"{url} is not on this machine: look at it with its own tools")
    return path
