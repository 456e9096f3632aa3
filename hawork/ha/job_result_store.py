"""``JobResultStore``: how jobs ended, until nothing else is left of them.

Source: Flink's ``JobResultStore`` and ``FileSystemJobResultStore``. Files cannot be fenced,
so a result is *decided* first, by a fenced pointer that holds the file's bytes; any later
leader can write the same file. While there is a decision, it is right and the file follows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from hawork.core.errors import (
    AlreadyExistsError,
    ConfigurationError,
    CorruptStateError,
    LeadershipLostError,
    NotExistError,
    StoreFullError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind, EventSink
from hawork.core.jobs import ApplicationStatus, JobResult
from hawork.core.steps import Steps
from hawork.core.types import NO_LEADERSHIP, JobID, LeaderSessionID
from hawork.ha.damage import SetAside, in_words, of_entry
from hawork.ha.ended_jobs import EndedJobs
from hawork.ha.job_result_files import JobResultFiles
from hawork.ha.job_result_json import decode_job_result, encode_job_result
from hawork.ha.pointer_store import RESULTS, PointerStore
from hawork.ha.state_handle_store import reported_write

_NO_JOB = "0"
"""A name that no decision has."""


@dataclass(frozen=True, slots=True)
class DirtyResults:
    """Jobs that ended and are not cleaned up, and what cannot be used: ``(job id, reason)``."""

    results: tuple[JobResult, ...]
    set_aside: tuple[tuple[str, str], ...]


class JobResultStore:
    """Job results by job id: decided, dirty, clean; written under one leadership."""

    def __init__(
        self,
        pointers: PointerStore,
        files: JobResultFiles,
        ended: EndedJobs,
        session_id: LeaderSessionID,
        delete_on_commit: bool,
        has_job_graph: Callable[[JobID], bool],
        steps: Steps,
        events: EventSink,
        set_aside: SetAside,
    ) -> None:
        self._pointers = pointers
        self._files = files
        self._ended = ended
        self._session_id = session_id
        self._delete_on_commit = delete_on_commit
        self._has_job_graph = has_job_graph
        self._steps = steps
        self._events = events
        self._tell = set_aside.tell
        self._begun: set[JobID] = set()

    def create_dirty(self, result: JobResult) -> None:
        """Store how a job ended; from now on it is not run any more.

        The result is safe as soon as it is decided. When its file cannot be written then, the
        cleanup writes it: it may be what the job leaves behind that the file has no room for.
        ``AlreadyExistsError`` when the job has a result, dirty or clean. After
        ``StoreUnavailableError`` or ``PossibleInconsistentStateError`` repeat it with the
        same result, or leave it to the next leader.
        """
        job_id, payload = result.job_id, encode_job_result(result)
        if self._session_id == NO_LEADERSHIP:
            raise LeadershipLostError("job results were opened for reading, without a leadership")
        try:
            self._decide(job_id, payload)
        except StoreFullError:
            # The job graph and what else would make room go only after this.
            if result.failure_cause is None:
                raise
            result = replace(result, failure_cause=None)
            payload = encode_job_result(result)
            self._decide(job_id, payload)
            self._tell(job_id, f"failure cause of job {job_id}", "the HA store has no room for it")
        self._reached("result.decided", job_id)
        self._fence(job_id)
        try:
            self._files.write_dirty(job_id, payload)
        except StoreUnavailableError as error:
            self._events.emit(
                EventKind.ERROR,
                session_id=self._session_id,
                job_id=job_id,
                message=f"the result of job {job_id} is decided, its file follows: {error}",
            )
        self._begun.discard(job_id)
        self._emit(result, "dirty")
        self._reached("result.dirty", job_id)

    def remember(self, job_id: JobID, submission: str | None) -> None:
        """Keep in mind how a job with a dirty result ended, and the digest of its submission.

        To be called before anything of the job is removed. May be repeated. It needs no fence:
        that the job has ended is true, whichever process writes it down.
        """
        decision = self._pointers.read(job_id)
        payload = decision.value if decision is not None else self._files.read_dirty(job_id)
        if payload is not None:
            self._ended.add(job_id, payload, submission)

    def submission_of(self, job_id: JobID) -> str | None:
        """The digest of the submission of an ended job, while it is remembered."""
        return self._ended.submission(job_id)

    def mark_clean(self, job_id: JobID) -> None:
        """Nothing but its result is left of the job: keep or delete that, as configured.

        Marking a clean result again changes nothing. ``NotExistError`` when there is none.
        """
        decision = self._pointers.read(job_id)
        clean, dirty = self.has_clean(job_id), self._files.has_dirty(job_id)
        if decision is None and not dirty:
            if not clean:
                raise NotExistError(f"job {job_id} has no result to be marked clean")
            return
        self._fence(job_id)
        payload = decision.value if decision is not None else b""
        with contextlib.suppress(CorruptStateError):
            payload = payload or self._files.read_dirty(job_id) or b""
        if clean or self._delete_on_commit:
            self._files.delete_dirty(job_id)
        elif not dirty or not self._renamed_to_clean(job_id):
            self._files.write_clean(job_id, payload)
        self._remove_decision(job_id)
        with contextlib.suppress(CorruptStateError):
            self._emit(decode_job_result(f"result of job {job_id}", payload), "clean")
        self._reached("result.clean", job_id)

    def _renamed_to_clean(self, job_id: JobID) -> bool:
        """Whether the result has its clean name now: by this, or by a deposed leader that stood
        still just before it did the same, and went on meanwhile.
        """
        try:
            self._files.rename_to_clean(job_id)
        except NotExistError:
            return self.has_clean(job_id)
        return True

    def has_entry(self, job_id: JobID) -> bool:
        """Whether the job has ended, as far as this store knows or remembers."""
        return self.has_dirty(job_id) or self.has_clean(job_id) or job_id in self._ended

    def has_dirty(self, job_id: JobID) -> bool:
        """Whether the job has ended and may not be cleaned up."""
        return self._files.has_dirty(job_id) or self._pointers.read(job_id) is not None

    def has_clean(self, job_id: JobID) -> bool:
        """Whether the job has ended and is cleaned up."""
        return self._files.has_clean(job_id)

    def result(self, job_id: JobID) -> JobResult | None:
        """How the job ended; ``CorruptStateError`` when that cannot be read."""
        decision = self._pointers.read(job_id)
        payload = decision.value if decision is not None else None
        payload = payload or self._files.read_dirty(job_id) or self._files.read_clean(job_id)
        if payload is None:
            return self._ended.result(job_id)
        return decode_job_result(f"result of job {job_id}", payload)

    def dirty_results(self) -> DirtyResults:
        """Every job that has ended and is not known to be cleaned up; at takeover.

        Decisions go before files, which ``carry_out`` lets follow. What cannot be read, or is
        older than the job of that id which is stored now, is renamed or removed and reported,
        never fatal.
        """
        results: dict[JobID, JobResult] = {}
        set_aside: list[tuple[str, str]] = []
        for name, entry in self._pointers.entries():
            try:
                job_id = _job_id(name)
                results[job_id] = _checked(
                    job_id, decode_job_result(f"decision {name}", entry.value)
                )
            except CorruptStateError as error:
                self._set_decision_aside(set_aside, name, entry.value, error)
        for name in self._files.dirty_ids():
            if name in results:
                continue
            try:
                result = self._foreign(name)
            except CorruptStateError as error:
                self._set_file_aside(set_aside, name, str(error))
                continue
            results[result.job_id] = result
        return DirtyResults(tuple(results.values()), tuple(set_aside))

    def carry_out(self, job_id: JobID) -> None:
        """Let the job's file follow what was decided; nothing else changes, and none is needed
        where there is no decision. ``LeadershipLostError``, ``StoreUnavailableError``.
        """
        decision = self._pointers.read(job_id)
        if decision is None or self._files.has_clean(job_id):
            return
        payload, reason = decision.value, "it differs from what was decided"
        try:
            _checked(job_id, decode_job_result(f"decision {job_id}", payload))
        except CorruptStateError:
            return  # told when it was found
        try:
            dirty = self._files.read_dirty(job_id)
        except CorruptStateError as error:
            dirty, reason = b"", str(error)
        if dirty == payload:
            return
        self._fence(job_id)
        if dirty is not None:
            self._set_file_aside([], job_id, reason)
        self._files.write_dirty(job_id, payload)

    def _decide(self, job_id: JobID, payload: bytes) -> None:
        decision = self._pointers.read(job_id)
        if decision is not None and decision.value == payload and job_id in self._begun:
            return  # a repetition: an earlier try failed half-way
        if decision is not None:
            try:
                _checked(job_id, decode_job_result(f"decision {job_id}", decision.value))
            except CorruptStateError as error:
                self._set_decision_aside([], job_id, decision.value, error)
                decision = None
        if decision is not None:
            if decision.value != payload or self._has_file(job_id):
                raise AlreadyExistsError(f"job {job_id} was decided already: its result stays")
            return
        if self._has_job_graph(job_id):
            # Left by a leader that was paused, or put there: the job of this id that ran now is
            # another one.
            reason = "a job of this id was running"
            if self._files.has_dirty(job_id):
                self._set_file_aside([], job_id, reason)
            if self.has_clean(job_id):
                self._set_clean_file_aside(job_id, reason)
        elif self._has_file(job_id):
            raise AlreadyExistsError(f"job {job_id} has a result already: it stays as it is")
        self._begun.add(job_id)
        self._write("add", job_id, lambda: self._pointers.create(job_id, payload, self._session_id))

    def _has_file(self, job_id: JobID) -> bool:
        return self._files.has_dirty(job_id) or self.has_clean(job_id)

    def _foreign(self, name: str) -> JobResult:
        """The dirty result of a file that nothing here decided, such as Flink's own."""
        job_id = _job_id(name)
        payload = self._files.read_dirty(name)
        if payload is None:
            raise CorruptStateError(f"file {name}_DIRTY.json vanished")
        result = _checked(job_id, decode_job_result(f"file {name}_DIRTY.json", payload))
        if self._has_job_graph(job_id):
            raise CorruptStateError("it is older than the job of this id that is stored now")
        return result

    def _set_decision_aside(
        self, set_aside: list[tuple[str, str]], name: str, value: bytes, error: CorruptStateError
    ) -> None:
        what = f"decision {in_words(name)} = {value[:1000]!r}"
        if self._session_id != NO_LEADERSHIP:
            try:
                self._remove_decision(name)
            except (ConfigurationError, StoreUnavailableError) as refused:
                what += f", which cannot be removed ({in_words(refused)})"
        self._report(set_aside, name, what, str(error))

    def _set_file_aside(self, set_aside: list[tuple[str, str]], name: str, reason: str) -> None:
        what = f"file {in_words(name)}_DIRTY.json"
        if self._session_id != NO_LEADERSHIP:
            self._still_lead()
            what += self._renamed(lambda: self._files.set_aside_dirty(name))
        self._report(set_aside, name, what, reason)

    def _set_clean_file_aside(self, job_id: JobID, reason: str) -> None:
        self._still_lead()
        what = f"file {job_id}.json" + self._renamed(lambda: self._files.set_aside_clean(job_id))
        self._report([], job_id, what, reason)

    def _renamed(self, rename: Callable[[], str]) -> str:
        """What became of a file's name; it may have one that can only be left alone."""
        try:
            return f", now {rename()}"
        except (ConfigurationError, StoreUnavailableError) as error:
            return f", which cannot be renamed ({in_words(error)}): remove it"

    def _fence(self, job_id: JobID) -> None:
        """Raise ``LeadershipLostError`` in a deposed leader; changes nothing otherwise.

        Asked before a file is touched, because files are not fenced: a process that was
        paused past its lease must not write a result again that was carried out and removed.
        """
        decision = self._pointers.read(job_id)
        if decision is None:
            self._pointers.delete(job_id, self._session_id)
        else:
            self._pointers.replace(job_id, decision.version, decision.value, self._session_id)

    def _still_lead(self) -> None:
        """``LeadershipLostError`` in a deposed leader.

        It was paused after it saw a file, and the one that is there now may be another leader's.
        """
        self._pointers.delete(_NO_JOB, self._session_id)

    def _remove_decision(self, name: str) -> None:
        self._write("remove", name, lambda: self._pointers.delete(name, self._session_id))

    def _write(self, operation: str, name: str, write: Callable[[], object]) -> None:
        reported_write(self._events, self._session_id, RESULTS, name, operation, write)

    def _report(self, set_aside: list[tuple[str, str]], name: str, what: str, reason: str) -> None:
        set_aside.append((name, f"{what}: {reason}"))
        self._tell(name, what, reason)

    def _emit(self, result: JobResult, state: str) -> None:
        self._events.emit(
            EventKind.JOB_RESULT,
            session_id=self._session_id,
            job_id=result.job_id,
            application_status=result.application_status.value,
            state=state,
        )

    def _reached(self, step: str, job_id: JobID) -> None:
        self._steps.reached(step, session_id=self._session_id, job_id=job_id)


def _job_id(name: str) -> JobID:
    with of_entry(f"name {in_words(name)!r}"):
        job_id = JobID(name)
        if job_id != name:
            raise ValueError("hawork writes job ids in small letters")
        return job_id


def _checked(job_id: JobID, result: JobResult) -> JobResult:
    if result.job_id != job_id:
        raise CorruptStateError(f"it is the result of job {result.job_id}, not of {job_id}")
    if result.application_status is ApplicationStatus.UNKNOWN:
        raise CorruptStateError("status UNKNOWN stands for no job status")
    return result
