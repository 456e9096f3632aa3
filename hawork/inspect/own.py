"""hawork's own data: its pointers, followed to their files.

Unlike Flink's, one damaged entry costs at most its own job, and a checkpoint that cannot be read
is passed over with a report. Source: ``hawork.ha.job_graph_store``, ``checkpoint_store`` and
``hawork.runtime.job_master``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from hawork.core.errors import HaworkError
from hawork.core.jobs import CompletedCheckpoint, JobGraph
from hawork.core.types import StateHandle
from hawork.ha.job_files import BLOB_FILE, CHECKPOINT_FILE, JOB_GRAPH_FILE, STATE_FILE, FileKind
from hawork.ha.layout import JOBS, SUBMITTING
from hawork.inspect.entries import Entry
from hawork.inspect.finding import Object
from hawork.inspect.results import (
    decode_own_checkpoint,
    decode_own_job_graph,
    decode_own_pointer,
)
from hawork.inspect.stored_files import StoredFiles

__all__ = ["Damage", "OwnCheckpoint", "OwnJob", "OwnJobs", "follow_own", "own_digests"]

_LARGEST: Final = 64 << 20
"""Bytes of a file of state or an artifact whose SHA-256 is compared; of others the size is."""
_DIGITS: Final = 19


@dataclass(frozen=True, slots=True)
class Damage:
    """Why an entry cannot be used, and the file that is to blame, if a file is."""

    why: str
    file: str | None = None
    missing: bool = False


@dataclass(slots=True)
class OwnCheckpoint:
    """A checkpoint pointer; whole when ``looked`` and there is no ``damage``."""

    entry: Entry
    checkpoint_id: int
    value: bytes
    content: CompletedCheckpoint | None = None
    damage: Damage | None = None
    looked: bool = False
    set_aside: bool = False
    """By a leader that went on from an older one: for good."""


@dataclass(slots=True)
class OwnJob:
    """All that hawork keeps of one job."""

    job_id: str
    graph: Entry | None = None
    graph_value: bytes = b""
    content: JobGraph | None = None
    graph_damage: Damage | None = None
    artifact_damage: Damage | None = None
    checkpoints: list[OwnCheckpoint] = field(default_factory=list)
    """The oldest first."""
    counter: Entry | None = None
    decided: Entry | None = None
    """How it ended, written before the file of its result."""
    submitting: bool = False
    """A submission that was never acknowledged: the next leader sweeps it."""
    files: list[str] = field(default_factory=list)
    """Job graphs and checkpoints in its directory that no pointer names."""
    newer: list[int] = field(default_factory=list)
    """Ids among those that are above every pointer's."""

    @property
    def object(self) -> Object:
        return Object("job", self.job_id)

    @property
    def name(self) -> str:
        return self.content.name if self.content is not None else ""

    @property
    def newest_whole(self) -> OwnCheckpoint | None:
        whole = [each for each in self.checkpoints if each.looked and each.damage is None]
        return whole[-1] if whole else None


class OwnJobs(dict[str, OwnJob]):
    """hawork's jobs by id."""

    def add(self, kind: str, job_id: str, name: str, entry: Entry, value: bytes) -> None:
        """An entry of hawork's; one of a kind that says nothing of recovery is left out."""
        if kind == "jobgraphs":
            job = self._job(name)
            job.graph, job.graph_value = entry, value
        elif kind == "results":
            self._job(name).decided = entry
        elif kind == "checkpoints" and len(name) == _DIGITS and name.isascii() and name.isdigit():
            checkpoints = self._job(job_id).checkpoints
            checkpoints.append(OwnCheckpoint(entry, int(name), value))
            checkpoints.sort(key=lambda each: each.checkpoint_id)
        elif kind == "counters":
            self._job(job_id).counter = entry

    def _job(self, job_id: str) -> OwnJob:
        return self.setdefault(job_id, OwnJob(job_id))


def follow_own(jobs: OwnJobs, files: StoredFiles, folder: str) -> None:
    """Follow every pointer to its file below ``folder``, that of the cluster in the storage."""
    _loose(jobs, files, folder)
    for job in jobs.values():
        look = _Look(files, folder, job.job_id)
        if job.graph is not None:
            payload, job.graph_damage = look.pointed(job.graph_value, JOB_GRAPH_FILE)
            if payload is not None:
                try:
                    job.content = decode_own_job_graph(payload)
                    if job.content.job_id != job.job_id:
                        job.graph_damage = Damage(f"it is the job graph of {job.content.job_id}")
                except HaworkError as error:
                    job.graph_damage = Damage(str(error))
        if job.content is not None:
            _, job.artifact_damage = look.file(job.content.artifact, BLOB_FILE)
        for checkpoint in job.checkpoints:
            _checkpoint(look, checkpoint)
        newest = max((each.checkpoint_id for each in job.checkpoints), default=0)
        ids = (_id_in(files, name) for name in job.files)
        job.newer = [number for number in ids if number is not None and number > newest]


def own_digests(files: StoredFiles, folder: str) -> dict[str, str]:
    """The SHA-256 of everything in the directories of jobs, where ``follow_own`` compares it."""
    prefix = posixpath.join(folder, JOBS) + "/"
    found: dict[str, str] = {}
    for file in files:
        if file.name.startswith(prefix) and file.size <= _LARGEST:
            with contextlib.suppress(HaworkError, OSError):
                found[file.name] = hashlib.sha256(files.read(file.name)).hexdigest()
    return found


def _checkpoint(look: _Look, checkpoint: OwnCheckpoint) -> None:
    checkpoint.looked = True
    if _is_set_aside(checkpoint.value):
        checkpoint.set_aside = True
        checkpoint.damage = Damage("a leader passed over it, and set it aside for good")
        return
    payload, checkpoint.damage = look.pointed(checkpoint.value, CHECKPOINT_FILE)
    if payload is None:
        return
    try:
        content = checkpoint.content = decode_own_checkpoint(payload)
    except HaworkError as error:
        checkpoint.damage = Damage(str(error))
        return
    if (content.job_id, content.checkpoint_id) != (look.job_id, checkpoint.checkpoint_id):
        checkpoint.damage = Damage(
            f"its file is checkpoint {content.checkpoint_id} of job {content.job_id}"
        )
    for subtask in content.subtasks:
        if subtask.handle is not None and checkpoint.damage is None:
            _, checkpoint.damage = look.file(subtask.handle, STATE_FILE)


def _loose(jobs: OwnJobs, files: StoredFiles, folder: str) -> None:
    """What lies in the directories of jobs, whether the store knows them or not."""
    prefix = posixpath.join(folder, JOBS) + "/"
    used = {_named(each.value) for job in jobs.values() for each in job.checkpoints}
    used |= {_named(job.graph_value) for job in jobs.values()}
    for file in files:
        if not file.name.startswith(prefix):
            continue
        job_id, _, name = file.name[len(prefix) :].partition("/")
        if name.startswith(SUBMITTING):
            jobs.setdefault(job_id, OwnJob(job_id)).submitting = True
        elif f"{JOBS}/{job_id}/{name}" not in used and name.startswith(
            (JOB_GRAPH_FILE.prefix, CHECKPOINT_FILE.prefix)
        ):
            jobs.setdefault(job_id, OwnJob(job_id)).files.append(file.name)


def _named(value: bytes) -> str:
    try:
        return decode_own_pointer(value).path
    except HaworkError:
        return ""


def _id_in(files: StoredFiles, name: str) -> int | None:
    if not posixpath.basename(name).startswith(CHECKPOINT_FILE.prefix):
        return None
    try:
        return decode_own_checkpoint(files.read(name)).checkpoint_id
    except (HaworkError, OSError):
        return None


def _is_set_aside(value: bytes) -> bool:
    try:
        data = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and "set_aside" in data


@dataclass(frozen=True, slots=True)
class _Look:
    """The files of one job."""

    files: StoredFiles
    folder: str
    job_id: str

    def pointed(self, value: bytes, kind: FileKind) -> tuple[bytes | None, Damage | None]:
        """The file that a pointer names, or why there is none to read."""
        try:
            return self.file(decode_own_pointer(value), kind)
        except HaworkError as error:
            return None, Damage(str(error))

    def file(self, handle: StateHandle, kind: FileKind) -> tuple[bytes | None, Damage | None]:
        prefix = f"{JOBS}/{self.job_id}/{kind.prefix}"
        if not (handle.path.startswith(prefix) and kind.name.fullmatch(handle.path, len(prefix))):
            return None, Damage(f"path {handle.path[:200]!r} is none of this job's")
        name = posixpath.join(self.folder, handle.path)
        found = self.files.get(name)
        if found is None and not self.files.would_list(name):
            return None, None  # what was not looked at is told of the whole storage
        if found is None:
            return None, Damage(f"{name} is missing", name, missing=True)
        if found.size != handle.size:
            why = f"{name} has {found.size} bytes, its pointer says {handle.size}"
            return None, Damage(why, name)
        if found.size > _LARGEST:
            return None, None
        data, digest = None, self.files.digests.get(name)
        try:
            data = self.files.read(name)
        except (HaworkError, OSError) as error:
            if digest is None:
                return None, Damage(str(error), name, missing=True)
        if (digest or hashlib.sha256(data or b"").hexdigest()) != handle.sha256:
            return None, Damage(f"{name} is damaged: its SHA-256 is another", name)
        return data, None


def passed_over(job: OwnJob) -> Iterator[OwnCheckpoint]:
    """The damaged checkpoints above the one that recovery takes, or all of them."""
    whole = job.newest_whole
    for each in job.checkpoints:
        if each.damage is not None and (whole is None or each.checkpoint_id > whole.checkpoint_id):
            yield each
