"""Runs one job: slots, attempts, checkpoints, restarts, until it ends or is suspended.

Lives on the event loop of the leading JobManager. The story of a job is told top to bottom
in ``_run``; messages from TaskManagers only set what that story waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from hawork.core import options
from hawork.core.errors import HaworkError, LeadershipLostError
from hawork.core.events import EventKind
from hawork.core.failures import Blame
from hawork.core.jobs import CompletedCheckpoint, JobGraph, JobStatus, SubtaskState
from hawork.core.types import JobID
from hawork.runtime.checkpoint_coordinator import CheckpointCoordinator, CheckpointStatistics
from hawork.runtime.execution import AttemptEnd, ExecutionAttempt, Outcome
from hawork.runtime.job_lifecycle import JobLifecycle
from hawork.runtime.messages import Failed, Gone, TaskEvent
from hawork.runtime.resource_manager import Slot
from hawork.runtime.restart_strategy import RestartBackoff
from hawork.runtime.retry_pause import RetryPause
from hawork.runtime.term import Term

_ENDED_AS = {
    Outcome.FINISHED: JobStatus.FINISHED,
    Outcome.FAILED: JobStatus.FAILED,
    Outcome.CANCELED: JobStatus.CANCELED,
}


class JobMaster:
    """One job under one leadership.

    ``conclude`` is awaited once when the job has reached a globally terminal outcome; it
    must make that durable before the job shows the status, so that a client is not told an end
    that a crash could take back. ``has_no_checkpoint`` is told when a recovered job has none.
    """

    def __init__(
        self,
        graph: JobGraph,
        term: Term,
        conclude: Callable[[JobMaster, JobStatus], Awaitable[None]],
        has_no_checkpoint: Callable[[JobID], None],
        *,
        recovered: bool,
    ) -> None:
        self.graph = graph
        self.lifecycle = JobLifecycle(term.now_millis())
        self.statistics = CheckpointStatistics()
        self.restarts = 0
        self.restored: CompletedCheckpoint | None = None
        self.failure: str | None = None
        self.attempt: ExecutionAttempt | None = None
        self._term = term
        self._conclude = conclude
        self._has_no_checkpoint = has_no_checkpoint
        self._recovered = recovered
        self._backoff = RestartBackoff(graph.restart_strategy)
        self._store = term.stores.completed_checkpoints(graph.job_id, graph.retained_checkpoints)
        self._counter = term.stores.checkpoint_id_counter(graph.job_id)
        self._coordinator: CheckpointCoordinator | None = None
        self._slots: asyncio.Future[list[Slot]] | None = None
        self._ending = False
        self._final: int | None = None
        self._interrupt: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"job {self.job_id}")

    @property
    def job_id(self) -> JobID:
        return self.graph.job_id

    @property
    def status(self) -> JobStatus:
        return self.lifecycle.status

    @property
    def slots_needed(self) -> int:
        return self.graph.parallelism

    @property
    def waiting_for_slots(self) -> bool:
        return self._slots is not None and not self._slots.done()

    def now_millis(self) -> int:
        return self._term.now_millis()

    def cancel(self) -> None:
        """Ask for the job's end; nothing happens when it is ending already."""
        if self._ending or self._interrupt.done():
            return
        if self._move(JobStatus.CANCELLING, "canceled by a client"):
            self._interrupt.set_result(Outcome.CANCELED)

    async def suspend(self) -> None:
        """Stop because leadership is gone; HA data stays for the next leader."""
        if not self._interrupt.done():
            self._interrupt.set_result(Outcome.SUSPENDED)
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._coordinator is not None:
            self._coordinator.close()
        self._move(JobStatus.SUSPENDED, "leadership was revoked")

    # --- the story -------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            outcome = await self._run_attempts()
        except LeadershipLostError:
            return  # the revocation is on its way and suspends us
        finally:
            self._term.resource_manager.release(self.job_id)
        if outcome.outcome is Outcome.SUSPENDED:
            return
        self._ending = True
        if outcome.outcome is Outcome.FAILED:
            self.failure = outcome.reason
            self._move(JobStatus.FAILING, outcome.reason)
        with contextlib.suppress(LeadershipLostError):  # the revocation suspends us
            await self._conclude(self, _ENDED_AS[outcome.outcome])

    async def _run_attempts(self) -> AttemptEnd:
        while True:
            end = await self._restore_and_run()
            if end.outcome is not Outcome.FAILED:
                return end
            self.failure = end.reason
            delay = self._delay_before_restart(end)
            if delay is None:
                return end
            self._move(JobStatus.RESTARTING, end.reason)
            interrupted = await self._wait_or_interrupt(asyncio.sleep(delay))
            if interrupted is not None:
                return interrupted
            self.restarts += 1

    def _delay_before_restart(self, end: AttemptEnd) -> float | None:
        """Seconds; ``None`` when the job ends for good: see ``hawork.core.failures``."""
        # A recovered job has run, as far as is known before its checkpoints have been looked at.
        has_run = self._recovered or self.restored is not None or self.statistics.completed > 0
        if end.permanent and not has_run:
            return None
        return self._backoff.delay_after_failure(
            self._term.clock.monotonic(),
            counted=not (has_run and end.blame is Blame.ENVIRONMENT),
        )

    async def _restore_and_run(self) -> AttemptEnd:
        """One attempt, whatever becomes of it: a surprise here is not the fault of the job."""
        try:
            interrupted = await self._restore()
            if interrupted is not None:
                return interrupted
            self._move(JobStatus.CREATED)
            return await self._run_attempt()
        except LeadershipLostError:
            raise
        except Exception as error:  # noqa: BLE001 - it must not take the other jobs along
            reason = f"internal error: {type(error).__name__}: {error}"
            self._term.events.emit(EventKind.ERROR, job_id=self.job_id, message=reason)
            if self._coordinator is not None and self.attempt is not None:
                await self._end_attempt(self.attempt, self._coordinator, discard=False)
            return AttemptEnd(Outcome.FAILED, reason, Blame.ENVIRONMENT)

    async def _end_attempt(
        self, attempt: ExecutionAttempt, coordinator: CheckpointCoordinator, *, discard: bool
    ) -> None:
        coordinator.close()
        await attempt.stop(discard=discard)
        await coordinator.drained()
        self._term.resource_manager.release(self.job_id)

    async def _restore(self) -> AttemptEnd | None:
        """Choose the newest readable checkpoint.

        Keeps trying while the store is away, and while there are checkpoints but none is
        readable: starting from nothing would repeat output, failing would delete what
        another process can still repair. The end of our leadership, or a cancel, ends it.
        """
        pause = RetryPause()
        while True:
            try:
                recovered = await self._term.run_io(self._store.recover)
                if recovered.checkpoint is not None or not recovered.skipped:
                    break
                self.failure = (
                    f"none of its {len(recovered.skipped)} checkpoints is readable "
                    f"({recovered.skipped[0][1]}): repair the files or cancel the job"
                )
            except LeadershipLostError:
                raise
            except HaworkError as error:
                self.failure = str(error)
            interrupted = await self._wait_or_interrupt(asyncio.sleep(pause.next()))
            if interrupted is not None:
                return interrupted
        self.restored = recovered.checkpoint
        if recovered.checkpoint is None and self._recovered:
            self._has_no_checkpoint(self.job_id)
        if recovered.checkpoint is None and not recovered.skipped and not self._recovered:
            return None
        checkpoint_id = recovered.checkpoint.checkpoint_id if recovered.checkpoint else None
        records = recovered.checkpoint.records if recovered.checkpoint else 0
        skipped = [f"checkpoint {number}: {reason}" for number, reason in recovered.skipped]
        self._term.events.emit(
            EventKind.JOB_RESTORED,
            session_id=self._term.session_id,
            job_id=self.job_id,
            checkpoint_id=checkpoint_id,
            records=records,
            skipped=skipped,
        )
        if checkpoint_id is not None:
            self.statistics.restored = {
                "id": checkpoint_id,
                "restore_timestamp": self._term.now_millis(),
                "is_savepoint": False,
            }
        await self._term.step(
            "takeover.job_restored", job_id=self.job_id, checkpoint_id=checkpoint_id
        )
        self._recovered = False
        return None

    async def _run_attempt(self) -> AttemptEnd:
        slots = await self._acquire_slots()
        if isinstance(slots, AttemptEnd):
            return slots
        attempt = ExecutionAttempt(self.graph, self._term.session_id, slots, self._term.events)
        self.attempt = attempt
        self._final = None
        coordinator = self._coordinator = CheckpointCoordinator(
            self.graph,
            self._term.session_id,
            self._counter,
            self._store,
            self.statistics,
            run_io=self._term.run_io,
            send=attempt.command,
            completed=self._checkpoint_completed,
            failed=attempt.fail,
            clock=self._term.clock,
            events=self._term.events,
            steps=self._term.steps,
        )
        attempt.deploy(self.restored)
        for slot in slots:
            # Lost after it was offered and before there was an attempt to be told.
            if not self._term.resource_manager.has(slot):
                attempt.taskmanager_lost(slot.taskmanager_id, "it left before the deployment")
        interrupted = await self._wait_or_interrupt(self._execute(attempt, coordinator))
        end = interrupted or attempt.end.result()
        discard = end.outcome in (Outcome.CANCELED, Outcome.FINISHED)
        if discard:
            # The end is not durable yet: a next leader may restore what a checkpoint names.
            coordinator.close()
            await coordinator.drained()
            if (untold := coordinator.untold) is not None:
                attempt.command({"type": "notify_complete", "checkpoint_id": untold})
            discard = not coordinator.in_doubt
        await self._end_attempt(attempt, coordinator, discard=discard)
        return end

    async def _execute(self, attempt: ExecutionAttempt, coordinator: CheckpointCoordinator) -> None:
        running = asyncio.ensure_future(attempt.all_running.wait())
        either: list[asyncio.Future[Any]] = [running, attempt.end]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            running.cancel()
        if not attempt.end.done():
            self._move(JobStatus.RUNNING)
            coordinator.start()
            self._check_end_of_input(attempt)
            await asyncio.wait([attempt.end])

    async def _acquire_slots(self) -> list[Slot] | AttemptEnd:
        self._slots = asyncio.get_running_loop().create_future()
        self._term.resource_manager.request(self)
        timeout = self._term.config.get_option(options.SLOT_REQUEST_TIMEOUT)
        slots = self._slots
        interrupted = await self._wait_or_interrupt(
            asyncio.wait({asyncio.ensure_future(slots)}, timeout=timeout)
        )
        if slots.done() and interrupted is None:
            return slots.result()
        shortage = self._term.resource_manager.explain_shortage(self.slots_needed)
        self._term.resource_manager.release(self.job_id)
        slots.cancel()
        return interrupted or AttemptEnd(
            Outcome.FAILED, f"no slots in {timeout:g} s: {shortage}", Blame.ENVIRONMENT
        )

    async def _wait_or_interrupt(self, work: Any) -> AttemptEnd | None:
        """Wait for ``work``; an ``AttemptEnd`` when the job was interrupted before."""
        task: asyncio.Future[Any] = asyncio.ensure_future(work)
        either: list[asyncio.Future[Any]] = [task, self._interrupt]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
        if self._interrupt.done():
            return AttemptEnd(self._interrupt.result())
        task.result()
        return None

    # --- what TaskManagers and the resource manager tell ------------------------------

    def slots_offered(self, slots: list[Slot]) -> None:
        if self._slots is not None and not self._slots.done():
            self._slots.set_result(slots)
        else:
            self._term.resource_manager.release(self.job_id)

    def taskmanager_lost(self, taskmanager_id: str, reason: str) -> None:
        if self.attempt is not None:
            self.attempt.taskmanager_lost(taskmanager_id, reason)

    def task_event(self, attempt_id: str, index: int, event: TaskEvent) -> None:
        """An event of a subtask; those of another attempt are ignored."""
        attempt, coordinator = self.attempt, self._coordinator
        if attempt is None or coordinator is None or attempt.attempt != attempt_id:
            return
        subtask = attempt.subtasks[index]
        if event["type"] == "running":
            attempt.status_changed(index, "RUNNING")
        elif event["type"] == "progress":
            subtask.records = event["records"]
            subtask.read = event["read"]
            subtask.records_per_second = event["records_per_second"]
        elif event["type"] == "snapshot":
            try:
                state = SubtaskState.from_json(event["state"])
            except (KeyError, ValueError) as error:  # a sink or source of the user's own
                attempt.fail(f"subtask {index} sent a snapshot that cannot be used: {error}")
                return
            subtask.records = state.records
            coordinator.acknowledge(event["checkpoint_id"], state, event["bytes"])
        elif event["type"] == "declined":
            coordinator.decline(event["checkpoint_id"], event["reason"])
        elif event["type"] == "committed":
            subtask.committed = event["checkpoint_id"]
            self._check_finished(attempt)
        elif event["type"] == "end_of_input":
            subtask.end_of_input = True
            self._check_end_of_input(attempt)
        elif event["type"] == "failed":
            attempt.status_changed(index, "FAILED", event["reason"])
            permanent = bool(event.get("permanent"))
            attempt.fail(event["reason"], _blame_of(event), permanent=permanent)
        elif event["type"] == "gone":
            attempt.gone(index)
            attempt.fail(event.get("reason", "the subtask's process ended"), _blame_of(event))

    def _check_end_of_input(self, attempt: ExecutionAttempt) -> None:
        if attempt.all_running.is_set() and all(each.end_of_input for each in attempt.subtasks):
            assert self._coordinator is not None
            self._coordinator.trigger_now()

    def _checkpoint_completed(self, checkpoint: CompletedCheckpoint) -> None:
        self._final = checkpoint.checkpoint_id if checkpoint.finished else None
        if self.attempt is not None:
            self._check_finished(self.attempt)

    def _check_finished(self, attempt: ExecutionAttempt) -> None:
        """The job is finished once every subtask committed the output of its last checkpoint."""
        if attempt.end.done() or self._final is None:
            return
        if all(subtask.committed >= self._final for subtask in attempt.subtasks):
            for subtask in attempt.subtasks:
                attempt.status_changed(subtask.index, "FINISHED")
            attempt.finish(AttemptEnd(Outcome.FINISHED))

    def _move(self, status: JobStatus, reason: str = "") -> bool:
        moved = self.lifecycle.move(status, self._term.now_millis())
        if moved:
            self._term.events.emit(
                EventKind.JOB_STATUS,
                session_id=self._term.session_id,
                job_id=self.job_id,
                status=status.value,
                reason=reason,
                name=self.graph.name,  # a leader may die before it acknowledges the submission
            )
        return moved

    def show_end(self, status: JobStatus) -> None:
        """Enter the globally terminal status, now that it is durable."""
        self._move(status, self.failure or "")


def _blame_of(event: Failed | Gone) -> Blame:
    """What a TaskManager says; one of another version says nothing."""
    return Blame.ENVIRONMENT if event.get("blame") == Blame.ENVIRONMENT else Blame.JOB
