"""What is left to start from when the HA data is lost: retained checkpoints and savepoints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hawork.core.calls import checked
from hawork.inspect.errors import UndecodableError
from hawork.inspect.metadata import decode_metadata
from hawork.lessons.check import Check, Point, answers_of, safe
from hawork.lessons.ha_data import ROOT, HaData
from hawork.lessons.names import name_of

if TYPE_CHECKING:
    import pandas

__all__ = ["JOBS", "check_resume", "retained"]

JOBS: Final = {
    "orders-per-region": "534f7acb28fd75aab04e364374d3af6f",
    "visits-per-user": "62f6a8b83a1b44313a74d89f6e50b70c",
    "clicks-per-session": "cde3d305f8da505168c0fe3a4370e925",
}
"""The jobs of the cluster on ZooKeeper that ran when it was killed."""
_SNAPSHOT: Final = re.compile(
    r"checkpoints/(?P<job>[0-9a-f]{32})/chk-\d+|savepoints/savepoint-(?P<short>[0-9a-f]{6})-\w+"
)


@dataclass(frozen=True)
class Snapshot:
    """A folder of a checkpoint or a savepoint, and the files of state that it names."""

    folder: str
    job: str
    number: int | None
    """The checkpoint id; ``None`` without a ``_metadata`` that can be read."""
    named: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return self.number is not None and not self.lacks


def snapshots(data: HaData) -> list[Snapshot]:
    """Every folder of a checkpoint or a savepoint that is left, whole or not."""
    data.check_open()
    found = {}
    for path in sorted(data.storage.rglob("*")):
        folder = path.parent.relative_to(data.storage).as_posix()
        match = _SNAPSHOT.fullmatch(folder)
        if match is not None and path.is_file() and folder not in found:
            short = (match["job"] or match["short"])[:6]
            job = next((name for name, job_id in JOBS.items() if job_id.startswith(short)), short)
            found[folder] = _snapshot(data, folder, job)
    return list(found.values())


def _snapshot(data: HaData, folder: str, job: str) -> Snapshot:
    metadata = data.storage / folder / "_metadata"
    try:
        said = decode_metadata(metadata.read_bytes(), f"{ROOT}/{folder}")
    except (OSError, UndecodableError):
        return Snapshot(folder, job, None)
    named = sorted({each.path for each in said.handles if each.path})
    files = [path.removeprefix(f"{ROOT}/") for path in named]
    lacks = [name for name in files if not (data.storage / name).is_file()]
    return Snapshot(folder, job, said.checkpoint_id, tuple(files), tuple(lacks))


@checked
def retained(data: HaData) -> pandas.DataFrame:
    """Every checkpoint and savepoint that is left: how many files it names, how many are there.

    >>> retained(data)                                                     # doctest: +SKIP
    """
    import pandas

    rows = [
        (each.job, each.folder, each.number, len(each.named), len(each.named) - len(each.lacks))
        for each in sorted(snapshots(data), key=lambda each: (each.job, each.folder))
    ]
    columns = ["job", "folder", "checkpoint", "files named", "files there"]
    return pandas.DataFrame(rows, columns=columns, dtype=object)


@safe
def check_resume(data: HaData, folders: Mapping[str, Any] | None) -> Check:
    """Is each job started from the newest snapshot that can be started from?

    A folder is named below ``storage``, by its URL, or as one of the job's own: ``"chk-9"``.

    >>> check_resume(data, {"orders-per-region": "checkpoints/534f.../chk-9"})  # doctest: +SKIP
    """
    given, unknown = answers_of(folders, JOBS)
    left = snapshots(data)
    points = (_judged(left, job, given.get(job, ...), data.storage) for job in JOBS)
    return Check((*points, *unknown))


def _judged(left: list[Snapshot], job: str, given: Any, storage: Path) -> Point:
    folder = name_of(given, storage)
    if folder in ("", "?") or given is None or given is ...:
        return f"{job}: no answer yet; name a folder of retained(data)", False
    if folder is None:
        return f"{job}: {given!r} is not a folder", False
    folder = folder.rstrip("/").removesuffix("/_metadata")
    if re.fullmatch(r"chk-\d+|savepoint-[\w-]+", folder):  # as it is called in the job's own folder
        own = [each.folder for each in left if each.job == job]
        folder = next((each for each in own if each.endswith(f"/{folder}")), folder)
    if folder == "ha" or folder.startswith("ha/"):
        return f"{job}: what lies in storageDir is read in recovery only, by its pointers", False
    found = next((each for each in left if each.folder == folder), None)
    if found is None:
        return f"{job}: {given} is not the folder of a checkpoint or a savepoint", False
    if found.job != job:
        return f"{job}: {folder} is of {found.job}", False
    if found.number is None:
        return f"{job}: {folder} has no _metadata, and a job cannot be started from it", False
    if found.lacks:
        return f"{job}: {folder} names {found.lacks[0]}, which is not there", False
    newest = max((each for each in left if each.job == job and each.whole),
                 key=lambda each: each.number or 0)  # fmt: skip
    if found is not newest:
        return f"{job}: {folder} is whole, and a newer one is whole, too", False
    return f"{job} starts from {folder}", True
