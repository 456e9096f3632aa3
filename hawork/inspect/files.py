"""The files of storageDir, as frames. Only reads."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hawork.client.token import TOKEN_FILE
from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.ha import layout
from hawork.ha.ended_jobs import ENDED
from hawork.ha.storage import local_path
from hawork.inspect.decode import as_text

if TYPE_CHECKING:
    import pandas

SHOWN = 400
"""Characters of a file that are shown."""

LARGEST = 64 << 20
"""Bytes of a file up to which its sha256 is computed."""
_NOT_OPENED = ("HA store", "lock of a contender")
"""Closing SQLite's files or a lock from outside drops the locks on it."""


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
    if name == TOKEN_FILE:
        return "token of REST"
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
    if path.name == TOKEN_FILE:
        return ""  # what is shown here is photographed, recorded and sent
    if path.name.startswith("ha.db") or path.parent.name in (layout.BLOBS, "contenders"):
        # Never open SQLite's files from outside of SQLite: closing one drops its locks.
        return ""
    with path.open("rb") as file:
        text = as_text(file.read(SHOWN * 4))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def job_results(config: Configuration) -> pandas.DataFrame:
    """One row per file of the JobResultStore: job id, state, how the job ended, runtime."""
    import pandas

    rows = []
    directory = _local(layout.job_result_url(config))
    for path in sorted(directory.glob("*.json")) if directory.exists() else []:
        dirty = path.name.endswith("_DIRTY.json")
        job_id = path.name.removesuffix(".json").removesuffix("_DIRTY")
        try:
            # A pipe would be waited for, and what is not a file may have no end.
            if not path.is_file() or path.stat().st_size > LARGEST:
                raise ValueError("it is not a file of a result")
            result = json.loads(path.read_bytes())["result"]
            ended, runtime = result["application-status"], result["net-runtime"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            ended, runtime = "unreadable", None
        rows.append((job_id, "dirty" if dirty else "clean", ended, runtime, path.name))
    columns = ["job_id", "state", "application_status", "milliseconds", "file"]
    return pandas.DataFrame(rows, columns=columns)


def _local(url: str) -> Path:
    path = local_path(url)
    if path is None:
        raise LabError(f"{url} is not on this machine: look at it with its own tools")
    return path


def with_sha256(tree: pandas.DataFrame, root: Path) -> pandas.DataFrame:
    """What ``storage_tree`` gives, and the sha256 of each file; empty where it is not computed."""
    found = [
        "" if row["what"] in _NOT_OPENED or row["bytes"] > LARGEST else _sha256(root / row["path"])
        for row in tree.to_dict("records")
    ]
    return tree.assign(sha256=found)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""  # it went while we looked
