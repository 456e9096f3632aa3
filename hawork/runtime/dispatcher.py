"""Accepts, recovers and ends jobs under one leadership (Flink's ``Dispatcher``).

A new dispatcher is made for every grant and stopped at the revocation, as Flink's
``DispatcherLeaderProcess`` does. Order of a takeover: results of finished jobs are cleaned
up, job graphs recovered; then, when leadership is confirmed and the address published, the
jobs are restored, and what submissions left behind is swept. Order of a submission: artifact, job
graph file, pointer, acknowledgement.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from typing import Any

from hawork.client.job_details import JobDetails
from hawork.core import options
from hawork.core.errors import (
    AlreadyExistsError,
    ConfigurationError,
    CorruptStateError,
    DuplicateJobSubmissionError,
    HaworkError,
    JobNotFoundError,
    LeadershipLostError,
    PossibleInconsistentStateError,
)
from hawork.core.events import EventKind
from hawork.core.jobs import ApplicationStatus, JobGraph, JobResult, JobStatus
from hawork.core.types import JobID
from hawork.ha.cleanup import cleanup_strategy
from hawork.ha.damage import in_words
from hawork.ha.serialized_throwable import failure_cause
from hawork.runtime.checkpoint_coordinator import CheckpointStatistics
from hawork.runtime.job_master import JobMaster
from hawork.runtime.messages import ReportTaskEvent
from hawork.runtime.retry_pause import RetryPause
from hawork.runtime.submissions import Submissions
from hawork.runtime.term import Term

_KEEP_FINISHED = 1000
_LONGEST_PAUSE = 30.0  # seconds between tries of what nothing waits for
_LONGEST_CAUSE = 4000  # characters; a pointer of the HA store has to hold it, several times


class Dispatcher:
    """The jobs of one term of leadership."""

    def __init__(self, term: Term) -> None:
        self._term = term
        self._jobs: dict[JobID, JobMaster] = {}
        self._ended: OrderedDict[JobID, JobDetails] = OrderedDict()
        self._recovered: list[JobGraph] = []
        self._set_aside: dict[str, str] = {}
        self._submissions = Submissions(term, self._spawn)
        self._ended_meanwhile: dict[JobID, JobGraph | None] = {}
        """Of each job that is being submitted: what has run and ended under its id since then."""
        self._background: set[asyncio.Task[None]] = set()
        self._cleaning: set[JobID] = set()
        self._closed = False
        self._strategy = cleanup_strategy(term.config)

    @property
    def term(self) -> Term:
        return self._term

    # --- takeover ----------------------------------------------------------------------

    async def recover(self) -> None:
        """First half of a takeover, before the address is published. May be repeated.

        It fails only when the store as a whole cannot be read: what is wrong with one job is told,
        and tried again later.
        """
        stores = self._term.stores
        dirty = await self._term.run_io(stores.job_results.dirty_results)
        for result in dirty.results:
            await self._clean_up(result)
            self._remember(JobDetails.of_result(result))
        ended = [result.job_id for result in dirty.results]
        await self._term.step("takeover.results_cleaned", jobs=len(ended), job_ids=ended)
        recovered = await self._term.run_io(stores.job_graphs.recover_all)
        # Not what is remembered to be shown, which is not all that ended.
        over = {*ended, *self._ended}
        self._recovered = [graph for graph in recovered.graphs if graph.job_id not in over]
        self._set_aside = {n: reason for n, reason in recovered.set_aside if n not in over}
        for job_id, reason in recovered.set_aside:
            self._term.events.emit(EventKind.ERROR, job_id=job_id, message=reason)
        found = [graph.job_id for graph in self._recovered]
        await self._term.step("takeover.graphs_recovered", jobs=len(found), job_ids=found)

    def restore_jobs(self) -> None:
        """Second half of a takeover: run the recovered jobs."""
        graphs, self._recovered = self._recovered, []
        # Those that a client has submitted again run already, and have looked.
        waiting = [graph.job_id for graph in graphs if graph.job_id not in self._jobs]
        self._term.stores.expect_recovery(waiting)
        for graph in graphs:
            try:
                self._start(graph, recovered=True)
            except Exception as error:  # noqa: BLE001 - one job must not keep the others waiting
                self._set_aside[graph.job_id] = in_words(error)
                self._term.events.emit(
                    EventKind.ERROR,
                    job_id=graph.job_id,
                    message=f"job {graph.job_id} cannot be started: {in_words(error)}",
                )
        stored = [*self._set_aside, *(graph.job_id for graph in graphs)]
        self._spawn(self._submissions.sweep(stored))
        for job_id in self._set_aside:
            self._spawn(self._recover_later(job_id))

    async def _recover_later(self, name: str) -> None:
        """Run a job whose graph could not be read, once it can: it may have been repaired."""
        graphs, pause = self._term.stores.job_graphs, RetryPause(1.0, _LONGEST_PAUSE)
        try:
            job_id = JobID(name)
        except ConfigurationError:
            return  # no job can have such a name
        self._submissions.clear_up(job_id)
        while True:
            await asyncio.sleep(pause.next())
            try:
                graph = await self._term.run_io(lambda: graphs.recover(job_id))
            except LeadershipLostError:
                raise
            except Exception:  # noqa: BLE001 - it was told, and costs nothing but this job
                continue
            waited = self._set_aside.pop(name, None) is not None  # else it has run, and ended
            if graph is not None and waited and not self._has_ended(job_id):
                self._start(graph, recovered=True)
            return

    async def close(self) -> None:
        """Suspend every job; HA data stays. What is stored from here on is the next leader's."""
        self._closed = True
        for task in self._background:
            task.cancel()
        jobs, self._jobs = list(self._jobs.values()), {}
        if jobs:
            await asyncio.gather(*(job.suspend() for job in jobs))

    # --- submission --------------------------------------------------------------------

    async def submit(self, graph: JobGraph, artifact: bytes) -> JobID:
        """Store a job durably, start it, and return its id: that is the acknowledgement.

        ``graph.artifact`` is replaced by the stored artifact. Submitting the same job with
        the same id again is acknowledged again, also while the first try is under way: its
        client may have waited too long for the answer. So is one that has ended meanwhile: its
        result is the answer, and it is not run again. ``DuplicateJobSubmissionError`` when the
        id belongs to another job.
        """
        job_id = graph.job_id
        async with self._submissions.alone(job_id):
            known = self._jobs.get(job_id)
            if known is not None:
                return self._acknowledge_again(known.graph, graph)
            self._ended_meanwhile[job_id] = None
            try:
                return await self._store_and_start(graph, artifact)
            except LeadershipLostError:
                raise  # what is left is the next leader's
            except Exception:
                self._submissions.clear_up(job_id)
                raise
            finally:
                del self._ended_meanwhile[job_id]

    async def _store_and_start(self, graph: JobGraph, artifact: bytes) -> JobID:
        stores, job_id = self._term.stores, graph.job_id

        def store() -> tuple[JobGraph, bool] | None:
            if self._has_ended_before(graph):
                return None
            # Of a try that ended in doubt and did land, or not started yet in this term.
            if (there := stores.job_graphs.existing(job_id)) is not None:
                self._acknowledge_again(there, graph)
                # Stored by the next leader, perhaps, which alone can start it.
                stores.job_graphs.check_leads()
                return there, True
            if (ended := self._ended_meanwhile.get(job_id)) is not None:
                # Restored, run and cleaned up since we looked whether it has ended.
                self._acknowledge_again(ended, graph)
                return None
            stores.job_graphs.announce(job_id)
            handle = stores.blobs.put(job_id, artifact)
            self._term.steps.reached(
                "submit.artifact_stored", session_id=self._term.session_id, job_id=job_id
            )
            stored = JobGraph.from_json({**graph.to_json(), "artifact": handle.to_json()})
            try:
                stores.job_graphs.put(stored)
            except PossibleInconsistentStateError:
                stores.job_graphs.put(stored)  # changes nothing if it landed
            return stored, False

        done = await self._term.run_io(store)
        if done is None:
            return job_id
        stored, recovered = done
        if recovered and self._ended_meanwhile[job_id] is not None:
            return job_id  # found before it ended: its result is the answer
        self._start(stored, recovered=recovered)
        if stores.job_graphs.is_marked(job_id):
            self._submissions.clear_up(job_id)
        await self._term.step("submit.acknowledged", job_id=job_id)
        self._term.events.emit(
            EventKind.JOB_ACKNOWLEDGED,
            session_id=self._term.session_id,
            job_id=job_id,
            name=graph.name,
        )
        return job_id

    def _acknowledge_again(self, known: JobGraph, again: JobGraph) -> JobID:
        if not known.is_submitted_again(again):
            raise DuplicateJobSubmissionError(
                f"job id {known.job_id} belongs to another job ({known.name!r}): "
                "submit under another job id"
            )
        return known.job_id

    def _has_ended_before(self, graph: JobGraph) -> bool:
        """Whether this very submission was stored before, and its job has ended."""
        stores, job_id = self._term.stores, graph.job_id
        if not stores.job_results.has_entry(job_id):
            return False
        known = stores.job_results.submission_of(job_id)
        if known is None:  # its cleanup has not begun, or it is not remembered
            with contextlib.suppress(CorruptStateError):
                stored = stores.job_graphs.recover(job_id)
                if stored is not None and stored.is_submitted_again(graph):
                    return True
        if known is None or not graph.is_of(known):
            # A deposed leader may know that it has ended, and not of which submission it came.
            stores.job_graphs.check_leads()
            raise DuplicateJobSubmissionError(
                f"job {job_id} has ended before: submit it under another job id"
            )
        return True

    def _start(self, graph: JobGraph, *, recovered: bool) -> None:
        if graph.job_id not in self._jobs and not self._closed:
            self._jobs[graph.job_id] = JobMaster(
                graph, self._term, self._conclude, self._submissions.clear_up, recovered=recovered
            )

    # --- the end of a job --------------------------------------------------------------

    async def _conclude(self, job: JobMaster, status: JobStatus) -> None:
        """Store the result, show it, clean up. A crash in between is finished by the next."""
        result = JobResult(
            job_id=job.job_id,
            application_status=ApplicationStatus.of(status),
            net_runtime=max(0, self._term.now_millis() - job.graph.submitted_at),
            failure_cause=_cause(job.failure) if status is JobStatus.FAILED else None,
        )
        decided = await self._decide(result)
        job.show_end(status)
        self._remember(_details_of(job) if decided == result else JobDetails.of_result(decided))
        self._ran(job.graph)
        self._spawn(self._clean_up(decided, job.graph.submission))

    def _ran(self, graph: JobGraph) -> None:
        """Whatever was going to run this job does not: a graph that was read is an old one now."""
        job_id = graph.job_id
        del self._jobs[job_id]
        self._recovered = [each for each in self._recovered if each.job_id != job_id]
        self._set_aside.pop(job_id, None)
        if job_id in self._ended_meanwhile:
            self._ended_meanwhile[job_id] = graph

    async def _decide(self, result: JobResult) -> JobResult:
        """Store a result, for as long as that takes; the one that is stored."""
        results, pause = self._term.stores.job_results, RetryPause()
        while True:
            try:
                await self._term.run_io(lambda: results.create_dirty(result))
                return result
            except LeadershipLostError:
                raise
            except AlreadyExistsError as error:
                # By another hand, and that stands; unless it cannot be read.
                self._term.events.emit(EventKind.ERROR, job_id=result.job_id, message=str(error))
                with contextlib.suppress(HaworkError):
                    found = await self._term.run_io(lambda: results.result(result.job_id))
                    if found and found.application_status is not ApplicationStatus.UNKNOWN:
                        return found
                return result
            except Exception as error:  # noqa: BLE001 - also where no thread is left
                # Nothing may be shown or deleted before the result is safe. Bounded by our
                # leadership: losing it cancels this.
                self._term.events.emit(
                    EventKind.ERROR, job_id=result.job_id, message=in_words(error)
                )
                await asyncio.sleep(pause.next())

    async def _clean_up(self, result: JobResult, submission: str | None = None) -> None:
        """One try now; the others later, as ``cleanup-strategy`` says.

        One cleanup at a time for a job: when it is done, the id is free for another job. The
        ``submission`` that it came of is known where it has run.
        """
        if result.job_id in self._cleaning:
            return  # a takeover is repeated, and its first half left a retry behind
        self._cleaning.add(result.job_id)
        if await self._try_to_clean_up(result, submission):
            self._cleaning.discard(result.job_id)
        else:
            self._spawn(self._clean_up_later(result, submission))

    async def _clean_up_later(self, result: JobResult, submission: str | None) -> None:
        attempt = 1
        while (delay := self._strategy.delay_before(attempt)) is not None:
            await asyncio.sleep(delay)
            if await self._try_to_clean_up(result, submission):
                break
            attempt += 1
        self._cleaning.discard(result.job_id)

    async def _try_to_clean_up(self, result: JobResult, submission: str | None) -> bool:
        cleanup = self._term.stores.cleanup
        try:
            await self._term.run_io(lambda: cleanup.run(result, submission))
        except LeadershipLostError:
            raise
        except Exception as error:  # noqa: BLE001 - it costs nothing but this job's cleanup
            reason = in_words(error)
            self._term.events.emit(
                EventKind.ERROR,
                job_id=result.job_id,
                message=f"cleanup of job {result.job_id} failed and stays to be done: {reason}",
            )
            return False
        return True

    # --- what clients ask --------------------------------------------------------------

    def jobs(self) -> list[JobDetails]:
        """All jobs of this term, running ones first."""
        running = [_details_of(job, self._shortage(job)) for job in self._jobs.values()]
        return running + list(reversed(self._ended.values()))

    async def details(self, job_id: JobID) -> JobDetails:
        """``JobNotFoundError`` when neither this term nor the JobResultStore knows the job.

        ``LeadershipLostError`` where the next leader may know it.
        """
        job = self._jobs.get(job_id)
        if job is not None:
            return _details_of(job, self._shortage(job))
        if job_id in self._ended:
            return self._ended[job_id]
        for graph in self._recovered:
            if graph.job_id == job_id:
                return JobDetails.of_graph(graph)
        result = await self._term.run_io(lambda: self._term.stores.job_results.result(job_id))
        if result is not None:
            return JobDetails.of_result(result)
        await self._check_leads()
        if (reason := self._set_aside.get(job_id)) is not None:
            raise JobNotFoundError(
                f"job {job_id} is stored and cannot be run, because its job graph cannot be read "
                f"({reason}): repair it, and it runs"
            )
        raise JobNotFoundError(
            f"job {job_id} is not known: 'hawork list' shows the jobs; the result of an ended "
            f"job is kept for {options.JOB_RESULT_EXPIRATION.key}, and longer only with "
            "job-result-store.delete-on-commit: false"
        )

    def running(self, job_id: JobID) -> JobMaster:
        """The job, if it has not ended; ``JobNotFoundError`` otherwise."""
        job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFoundError(f"job {job_id} is not running: 'hawork list' shows the jobs")
        return job

    async def checkpoints(self, job_id: JobID) -> CheckpointStatistics:
        """Those of a job that has not ended; errors as those of ``details``."""
        if job_id not in self._jobs:
            await self._check_leads()
        return self.running(job_id).statistics

    async def cancel(self, job_id: JobID) -> None:
        """Cancel a job; canceling one that has ended changes nothing.

        ``LeadershipLostError`` where the next leader may run it.
        """
        for graph in self._recovered:  # the address is published, and it is restored next
            if graph.job_id == job_id:
                self._start(graph, recovered=True)
        if job_id in self._jobs:
            self._jobs[job_id].cancel()
            await self._check_leads()
        else:
            await self.details(job_id)

    async def _check_leads(self) -> None:
        """``LeadershipLostError`` in a deposed leader, which may not have noticed it yet.

        And in one that gives its leadership up: its jobs are suspended, the next leader has them.
        """
        await self._term.run_io(self._term.stores.job_graphs.check_leads)
        if self._closed:
            raise LeadershipLostError("this JobManager gives its leadership up: ask the next one")

    def task_event(self, message: ReportTaskEvent) -> None:
        """An event of a subtask, from its TaskManager; ignored for jobs that are gone."""
        job = self._jobs.get(message["job_id"])
        if job is not None:
            job.task_event(message["attempt"], message["index"], message["event"])

    def _shortage(self, job: JobMaster) -> str | None:
        if not job.waiting_for_slots:
            return None
        return self._term.resource_manager.explain_shortage(job.slots_needed)

    def _has_ended(self, job_id: JobID) -> bool:
        return job_id in self._ended

    def _remember(self, details: JobDetails) -> None:
        self._ended[details.job_id] = details
        while len(self._ended) > _KEEP_FINISHED:
            self._ended.popitem(last=False)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended_in_background)

    def _ended_in_background(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, LeadershipLostError):
            # Of a lost leadership the next leader goes on from here.
            self._term.events.emit(EventKind.ERROR, message=f"{type(error).__name__}: {error}")


def _details_of(job: JobMaster, waiting: str | None = None) -> JobDetails:
    """A job that runs, as clients are told of it; ``waiting`` says what it waits for."""
    times = job.lifecycle.timestamps
    status = job.status
    end = times[status] if status.globally_terminal else -1
    last = max(times.values())
    attempt, latest, restored = job.attempt, job.statistics.latest, job.restored
    records = attempt.records if attempt else (restored.records if restored else 0)
    start = job.graph.submitted_at
    return JobDetails(
        job_id=job.job_id,
        name=job.graph.name,
        status=status,
        parallelism=job.graph.parallelism,
        start_time=start,
        end_time=end,
        last_modification=last,
        duration=(end if end >= 0 else job.now_millis()) - start,
        records=records,
        records_per_second=attempt.records_per_second if attempt and end < 0 else 0.0,
        checkpoints=job.statistics.completed,
        latest_checkpoint_id=latest["id"] if latest else None,
        restored_checkpoint_id=restored.checkpoint_id if restored else None,
        restarts=job.restarts,
        failure=waiting or job.failure,
        timestamps={each.value: times.get(each, 0) for each in JobStatus},
        tasks=tuple(task.describe() for task in attempt.subtasks) if attempt else (),
    )


def _cause(failure: str | None) -> Mapping[str, str]:
    text = failure or ""
    if len(text) > _LONGEST_CAUSE:
        text = f"{text[:_LONGEST_CAUSE]}... ({len(text)} characters)"
    return failure_cause(text)
