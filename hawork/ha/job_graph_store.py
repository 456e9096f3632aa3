"""``JobGraphStore``: the jobs that a new leader has to run again.

Source: Flink's ``DefaultJobGraphStore``. A submission is safe as soon as the pointer is
there. Before that its directory carries a marker; a directory with a marker and without a
pointer belongs to a submission that was never acknowledged, and the next leader sweeps it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from hawork.core.errors import (
    AlreadyExistsError,
    ConfigurationError,
    CorruptStateError,
    HaworkError,
    LeadershipLostError,
    NotExistError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.jobs import JobGraph
from hawork.core.steps import Steps
from hawork.core.types import JobID, LeaderSessionID
from hawork.ha.blob_store import is_stored_under
from hawork.ha.damage import SetAside, in_words
from hawork.ha.job_files import BLOB_FILE, JobFiles
from hawork.ha.json_state import decode_json, encode_json
from hawork.ha.layout import (
    BLOBS,
    JOB_GRAPH,
    JOBS,
    SUBMITTING,
    job_directory,
    submitting_marker,
)
from hawork.ha.state_handle_store import StateHandleStore, StoredState
from hawork.ha.state_storage import StateStorage


@dataclass(frozen=True, slots=True)
class RecoveredJobGraphs:
    """What a new leader runs again, and what it cannot read: ``(job id, reason)``."""

    graphs: tuple[JobGraph, ...]
    set_aside: tuple[tuple[str, str], ...]

    @property
    def names(self) -> Sequence[str]:
        """Of all entries that there are."""
        return [graph.job_id for graph in self.graphs] + [name for name, _ in self.set_aside]


@dataclass(frozen=True, slots=True)
class SweptSubmissions:
    """Job ids whose unfinished submission was removed, and directories left in doubt."""

    removed: tuple[JobID, ...]
    set_aside: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...] = ()
    """What could not be swept now, and why."""


@dataclass(slots=True)
class _Job:
    """What this leader knows of a job id. Several threads set its flags, each flag for itself."""

    announced: bool = False
    """A submission to this leader has begun, whatever came of it."""
    stored: bool = False
    """It was put or recovered by this leader, and not removed since."""
    marked: bool = False
    """It is stored, and the mark of its submission could not be removed."""
    doubted: bool = False
    """A graph of ours may be stored or not."""


class JobGraphStore:
    """Job graphs by job id, written under one leadership."""

    def __init__(
        self,
        handles: StateHandleStore,
        storage: StateStorage,
        session_id: LeaderSessionID,
        has_result: Callable[[JobID], bool],
        has_ended: Callable[[JobID], bool],
        steps: Steps,
        set_aside: SetAside,
    ) -> None:
        self._handles = handles
        self._storage = storage
        self._session_id = session_id
        self._has_result = has_result
        self._has_ended = has_ended
        self._steps = steps
        self._report = set_aside.tell
        self._jobs: dict[JobID, _Job] = {}
        # A job is submitted, or what is left of an earlier try is swept: not both at a time.
        self._sweeping = threading.Lock()

    def announce(self, job_id: JobID) -> None:
        """Mark the job's directory as that of a submission under way.

        To be called before the job's artifact is stored; ``put`` takes the mark away.
        """
        with self._sweeping:
            self._of(job_id).announced = True
        # Flushed with what it marks: no power cut keeps the one and takes the other.
        self._storage.write(submitting_marker(job_id, self._session_id), b"", flush=False)

    def put(self, graph: JobGraph) -> None:
        """Store a job graph, or replace that of a job put or recovered by this store.

        When it returns the job is safe. Putting the identical graph again changes nothing.
        ``AlreadyExistsError`` when there is a job of this id that this store does not know,
        ``LeadershipLostError`` and ``StoreUnavailableError`` leave no job graph behind;
        after ``PossibleInconsistentStateError`` put it again, or leave it to the next leader.
        """
        payload = encode_json(graph.to_json())
        if not self._put_over_existing(graph.job_id, payload):
            self._put_new(graph, payload)
        job = self._of(graph.job_id)
        job.stored = True
        try:
            self._storage.delete(submitting_marker(graph.job_id, self._session_id))
        except StoreUnavailableError:  # it is stored all the same
            job.marked = True

    def clear_up(self, job_id: JobID) -> None:
        """Remove what a refused submission to this leader left, or the marks of a stored job.

        Of one that is in doubt all is kept for the next leader: its graph may land yet; and so is
        what a later try has stored, also when its pointer is gone since. Not while a try of the
        same job is under way. ``StoreUnavailableError`` when it could not be done now;
        ``CorruptStateError`` when there is more than a submission writes, which is kept, too.
        """
        job = self._of(job_id)
        if job.stored or self._handles.has(job_id):
            self._remove_marks(job_id)
            job.marked = False
        elif job.announced and not job.doubted:
            try:
                self._sweep(job_id, refused=True)
            except CorruptStateError as error:
                self._report(job_id, f"{JOBS}/{job_id}", str(error))
                raise
            job.announced = False

    def _remove_marks(self, job_id: JobID) -> None:
        """Take every mark of a submission from a job that is stored.

        One stays where it could not be removed, or was written late by a deposed leader. If the
        pointer is gone some day, by another hand, it gives away what else is there.
        """
        names = JobFiles(self._storage, job_id).names()
        marks = [name for name in names if name.startswith(SUBMITTING)]
        if marks:
            self.check_leads()  # none of those that the next leader makes
        for name in marks:
            self._storage.delete(f"{job_directory(job_id)}/{name}")

    def check_leads(self) -> None:
        """``LeadershipLostError`` in a deposed leader. What it reads may be the next one's."""
        self._handles.check_leads()

    def recover(self, job_id: JobID) -> JobGraph | None:
        """The job graph, or ``None``; ``CorruptStateError`` when it cannot be read."""
        state = self._handles.get(job_id)
        return None if state is None else self._decode(job_id, state)

    def existing(self, job_id: JobID) -> JobGraph | None:
        """``recover``, for a job that is about to be submitted.

        ``AlreadyExistsError`` when there is one that cannot be read: nothing is to be stored
        beside it.
        """
        try:
            return self.recover(job_id)
        except CorruptStateError as error:
            raise self._exists(job_id, "its job graph is damaged: remove it or", error) from error

    def recover_all(self) -> RecoveredJobGraphs:
        """Every job graph. An unreadable one is reported and kept, not fatal."""
        graphs: list[JobGraph] = []
        set_aside: list[tuple[str, str]] = []
        for name, state in self._handles.load_all():
            try:
                if isinstance(state, CorruptStateError):
                    raise state
                graphs.append(self._decode(JobID(name), state))
            except CorruptStateError as error:
                set_aside.append((name, str(error)))
                self._report(name, f"job graph {in_words(name)}", str(error))
        return RecoveredJobGraphs(tuple(graphs), tuple(set_aside))

    def is_marked(self, job_id: JobID) -> bool:
        """Whether the mark of a submission to this leader stays beside the job that is stored."""
        return self._of(job_id).marked

    def job_ids(self) -> Sequence[JobID]:
        """The ids of all stored job graphs; names that are not job ids are left out."""
        found = (_job_id(name) for name in self._handles.names())
        return [job_id for job_id in found if job_id is not None]

    def remove(self, job_id: JobID) -> bool:
        """Remove pointer, then file; whether there was one. May be repeated."""
        removed = self._handles.remove(job_id)
        self._of(job_id).stored = False
        return removed

    def sweep_unacknowledged(self, stored: Collection[str] | None = None) -> SweptSubmissions:
        """Remove what submissions left behind that were never acknowledged; after a takeover.

        ``stored`` are the names of all entries, where they have been read under this
        leadership already.

        A job's directory without pointer and without marker is in doubt, and so is one that
        holds more than the submissions write whose markers are there: it is reported and kept,
        unless the job has a result, whose cleanup will remove it, or is known to be over: then a
        deposed leader wrote late, and died before it could take that back. What cannot be swept
        now keeps nothing else from being swept; only ``LeadershipLostError`` ends it, and a
        storageDir that cannot be listed.
        """
        stored = frozenset(self._handles.names() if stored is None else stored)
        removed: list[JobID] = []
        set_aside: list[tuple[str, str]] = []
        failed: list[tuple[str, str]] = []
        for name in self._storage.list(JOBS):
            if name in stored:
                continue
            try:
                job_id = _job_id(name)
                if job_id is None:
                    raise CorruptStateError("its name is not a job id")
                if self._sweep(job_id):
                    removed.append(job_id)
            except CorruptStateError as error:
                set_aside.append((name, str(error)))
                self._report(name, f"{JOBS}/{in_words(name)}", str(error))
            except LeadershipLostError:
                raise
            except HaworkError as error:
                failed.append((name, str(error)))
        return SweptSubmissions(tuple(removed), tuple(set_aside), tuple(failed))

    def _sweep(self, job_id: JobID, *, refused: bool = False) -> bool:
        """Remove an unfinished submission; whether there was one. ``CorruptStateError``: doubt.

        One that was announced to this store is left alone, unless it was ``refused``.
        """
        files = JobFiles(self._storage, job_id)
        with self._sweeping:
            under_way = self._of(job_id).announced and not refused
            if under_way or self._handles.has(job_id):
                return False  # submitted since the names were read
            left, names = files.all(), [n for n in files.names() if not n.startswith(".")]
            if swept := bool(left) and not self._has_result(job_id):
                # Nothing but files in the making: a process died before it wrote the marker.
                beyond = [name for name in names if not _written_by_submission(name)]
                beyond += _of_other_leaders(left, names)
                unmarked = names and not any(name.startswith(SUBMITTING) for name in names)
                if (beyond or unmarked) and not self._has_ended(job_id):
                    raise CorruptStateError(
                        "no job graph points to it and it holds "
                        f"{in_words(', '.join([*names[:5], *beyond][:8]))}"
                    )
                # Fenced, though nothing is there to be removed: a deposed leader stops here.
                self._handles.remove(job_id)
                for path in left:
                    self._storage.delete(path)
            files.prune()
            return swept

    def _put_over_existing(self, job_id: JobID, payload: bytes) -> bool:
        try:
            existing = self._handles.get(job_id)
        except CorruptStateError as error:
            raise self._exists(job_id, "its job graph is damaged: remove it or", error) from error
        if existing is None:
            return False
        if existing.payload == payload:
            return True
        if not self._of(job_id).stored:
            raise self._exists(job_id, "it has another job graph:")
        self._handles.replace(job_id, existing, payload)
        return True

    def _exists(self, job_id: JobID, why: str, error: object = None) -> AlreadyExistsError:
        """``LeadershipLostError`` in a deposed leader: its client is to ask the next one."""
        self.check_leads()
        reason = "" if error is None else f" ({error})"
        return AlreadyExistsError(
            f"job {job_id} is stored already, and {why} choose another job id{reason}"
        )

    def _put_new(self, graph: JobGraph, payload: bytes) -> None:
        job_id = graph.job_id
        marker = submitting_marker(job_id, self._session_id)
        try:
            self._storage.read(marker)
        except NotExistError:
            self.announce(job_id)
        try:
            self._handles.add(
                job_id,
                payload,
                lambda _: self._reached("submit.graph_written", job_id),
            )
        except PossibleInconsistentStateError:
            self._of(job_id).doubted = True
            raise
        except LeadershipLostError:
            with contextlib.suppress(StoreUnavailableError):  # the next leader sweeps it then
                self._withdraw(graph)
            raise
        self._reached("submit.pointer_added", job_id)

    def _withdraw(self, graph: JobGraph) -> None:
        """Take our artifact away, and our mark if it is all that is left then.

        The job may have ended elsewhere meanwhile: its cleanup may have looked what is there just
        before our artifact was, and have removed the mark. Only a job graph of our leadership can
        point to that artifact, and none comes any more, unless an earlier try is in doubt. Then,
        and together with another one's artifact, the mark stays for the next leader's sweep:
        without it the directory would be in doubt.
        """
        job_id, artifact = graph.job_id, graph.artifact.path
        files = JobFiles(self._storage, job_id)
        is_ours = is_stored_under(artifact, str(self._session_id))
        if is_ours and not self._of(job_id).doubted and not self._handles.has(job_id):
            files.discard(BLOB_FILE, artifact)
        marker = submitting_marker(job_id, self._session_id)
        if list(files.all()) == [marker]:
            self._storage.delete(marker)
            files.prune()

    def _decode(self, job_id: JobID, state: StoredState) -> JobGraph:
        graph = decode_json(f"job graph {state.handle.path}", state.payload, JobGraph.from_json)
        if graph.job_id != job_id:
            raise CorruptStateError(
                f"job graph {state.handle.path} is that of job {graph.job_id}, not of {job_id}"
            )
        JobFiles(self._storage, job_id).check(BLOB_FILE, graph.artifact.path)
        self._of(job_id).stored = True
        return graph

    def _of(self, job_id: JobID) -> _Job:
        return self._jobs.setdefault(job_id, _Job())

    def _reached(self, step: str, job_id: JobID) -> None:
        self._steps.reached(step, session_id=self._session_id, job_id=job_id)


def _job_id(name: str) -> JobID | None:
    try:
        job_id = JobID(name)
    except ConfigurationError:
        return None
    return job_id if job_id == name else None


def _of_other_leaders(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """The artifacts that no leader stored whose marker is there.

    A marker may lie beside a job that was stored and acknowledged: that of a leader that was
    deposed and wrote it late.
    """
    marks = [name.removeprefix(SUBMITTING) for name in names if name.startswith(SUBMITTING)]
    blobs = [path.rpartition(f"/{BLOBS}/")[2] for path in paths if f"/{BLOBS}/" in path]
    return [
        blob
        for blob in blobs
        if not blob.startswith(".") and not any(is_stored_under(blob, mark) for mark in marks)
    ]


def _written_by_submission(file: str) -> bool:
    return file == BLOBS or file.startswith((SUBMITTING, JOB_GRAPH))
