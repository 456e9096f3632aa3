"""Triggers checkpoints of one job, collects what its subtasks acknowledge, stores the sum.

Lives on the event loop; storage is touched on the process's I/O threads only. One
checkpoint runs at a time. (Flink's ``CheckpointCoordinator``.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from hawork.core.clock import Clock
from hawork.core.errors import (
    LeadershipLostError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)  # fmt: skip
from hawork.core.events import EventKind, EventSink
from hawork.core.failures import Blame, blame
from hawork.core.jobs import CompletedCheckpoint, JobGraph, SubtaskState
from hawork.core.steps import Steps
from hawork.core.types import LeaderSessionID
from hawork.ha.damage import in_words
from hawork.runtime.messages import Command
from hawork.runtime.retry_pause import RetryPause

T = TypeVar("T")

_PASSING = (LeadershipLostError, PossibleInconsistentStateError, StoreUnavailableError)
"""After these a later checkpoint may be stored; of a lost leadership another one takes over."""


class CheckpointIDs(Protocol):
    def get_and_increment(self) -> int: ...


class CheckpointStore(Protocol):
    def add(self, checkpoint: CompletedCheckpoint) -> None: ...


@dataclass(slots=True)
class CheckpointStatistics:
    """What REST tells about a job's checkpoints; sizes in bytes, times in milliseconds."""

    triggered: int = 0
    completed: int = 0
    failed: int = 0
    in_progress: int = 0
    restored: dict[str, Any] | None = None
    latest: dict[str, Any] | None = None
    latest_failure: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def add(self, entry: dict[str, Any]) -> None:
        self.history.insert(0, entry)
        del self.history[10:]


@dataclass(slots=True)
class _Pending:
    checkpoint_id: int
    triggered_at: int
    started: float
    acknowledged: dict[int, SubtaskState] = field(default_factory=dict)
    size: int = 0
    storing: bool = False


class CheckpointCoordinator:
    """The checkpoints of one execution attempt of one job.

    ``send`` reaches every subtask of the attempt; ``completed`` is told each stored
    checkpoint, ``failed`` is told when a checkpoint was declined or took too long (as in
    Flink's default, the attempt then fails: user code may hang). A checkpoint that merely
    could not be *stored* is dropped, the next one may do better.
    """

    def __init__(
        self,
        graph: JobGraph,
        session_id: LeaderSessionID,
        ids: CheckpointIDs,
        store: CheckpointStore,
        statistics: CheckpointStatistics,
        *,
        run_io: Callable[[Callable[[], T]], Awaitable[T]],
        send: Callable[[Command], None],
        completed: Callable[[CompletedCheckpoint], None],
        failed: Callable[..., None],
        clock: Clock,
        events: EventSink,
        steps: Steps,
    ) -> None:
        self._graph = graph
        self._session_id = session_id
        self._ids = ids
        self._store = store
        self.statistics = statistics
        self._run_io: Callable[[Callable[[], Any]], Awaitable[Any]] = run_io
        self._send = send
        self._completed = completed
        self._failed = failed
        self._clock = clock
        self._events = events
        self._steps = steps
        self._pending: _Pending | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._busy = False
        self._retry_pause = RetryPause()
        self._last_wanted = False
        self._closed = False
        self.untold: int | None = None
        """The checkpoint that is stored and that the subtasks have not been told of."""
        self.in_doubt = False
        """Whether another one may be stored of which they have not been told."""
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin with periodic checkpoints, if the job has an interval."""
        self._schedule()

    def trigger_now(self) -> None:
        """Take the last checkpoint of a bounded job, as soon as none is running.

        It is tried until it is stored: without it the job cannot end.
        """
        self._last_wanted = True
        self._schedule(0.0)

    def close(self) -> None:
        """Stop. A checkpoint that is being stored may still complete in the store."""
        self._closed = True
        for timer in (self._timer, self._expiry):
            if timer is not None:
                timer.cancel()
        if self._pending is not None:
            self.statistics.in_progress = 0
            self._pending = None

    async def drained(self) -> None:
        """Wait, after ``close``, until nothing of this coordinator can reach the store any more.

        Only then may another attempt restore, or the job's checkpoints be removed: a pointer
        added later would name output that a newer attempt has thrown away.
        """
        while self._tasks:
            await asyncio.wait(self._tasks)

    def acknowledge(self, checkpoint_id: int, state: SubtaskState, size: int) -> None:
        """A subtask's snapshot arrived; late and double ones change nothing."""
        pending = self._pending
        if pending is None or pending.checkpoint_id != checkpoint_id or self._closed:
            return
        if state.index not in pending.acknowledged:
            pending.size += size
        pending.acknowledged[state.index] = state
        if len(pending.acknowledged) == self._graph.parallelism and not pending.storing:
            pending.storing = True
            self._spawn(self._complete(pending))

    def decline(self, checkpoint_id: int, reason: str) -> None:
        """A subtask cannot take part."""
        pending = self._pending
        if pending is not None and pending.checkpoint_id == checkpoint_id and not pending.storing:
            self._drop(pending, reason)
            message = f"checkpoint {checkpoint_id} was declined: {reason}"
            self._failed(message, Blame.ENVIRONMENT)  # storageDir was out of reach

    def _schedule(self, delay: float | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay is None:
            delay = self._graph.checkpoint_interval
        if delay is None or self._closed:
            return
        self._timer = asyncio.get_running_loop().call_later(delay, self._trigger)

    def _go_on_after(self, error: Exception, what: str) -> None:
        """Try again where the store may do better; otherwise the attempt fails.

        A checkpoint that cannot be stored for another reason, such as text in it that is none,
        could not be stored the next time either: the job would go on without any, and never end.
        """
        if isinstance(error, _PASSING):
            self._schedule(self._retry_pause.next() if self._last_wanted else None)
        else:
            self._failed(f"{what}: {in_words(error)}", blame(error))

    def _trigger(self) -> None:
        self._timer = None
        if self._closed:
            return
        if self._busy or self._pending is not None:
            self._schedule(0.005)  # the running one ends soon, or expires
            return
        self._busy = True
        self._spawn(self._begin())

    async def _begin(self) -> None:
        try:
            checkpoint_id = await self._run_io(self._ids.get_and_increment)
            if self._closed:
                return
            await self._step("checkpoint.triggered", checkpoint_id)
            if self._closed:
                return
            now = self._clock.time()
            self._pending = _Pending(checkpoint_id, int(now * 1000), self._clock.monotonic())
            self.statistics.triggered += 1
            self.statistics.in_progress = 1
            self._emit(EventKind.CHECKPOINT_TRIGGERED, checkpoint_id)
            self._expiry = asyncio.get_running_loop().call_later(
                self._graph.checkpoint_timeout, self._expire, self._pending
            )
            self._send({"type": "checkpoint", "checkpoint_id": checkpoint_id})
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            self._note_failure(0, in_words(error))
            self._go_on_after(error, "no checkpoint could be triggered")
        finally:
            self._busy = False

    def _expire(self, pending: _Pending) -> None:
        if self._pending is not pending or pending.storing:
            return
        missing = sorted(set(range(self._graph.parallelism)) - set(pending.acknowledged))
        reason = (
            f"subtask {', '.join(map(str, missing))} did not answer within "
            f"{self._graph.checkpoint_timeout:g} s: its user code may hang"
        )
        self._drop(pending, reason)
        self._failed(f"checkpoint {pending.checkpoint_id} expired: {reason}")

    async def _complete(self, pending: _Pending) -> None:
        checkpoint = CompletedCheckpoint(
            job_id=self._graph.job_id,
            checkpoint_id=pending.checkpoint_id,
            triggered_at=pending.triggered_at,
            completed_at=int(self._clock.time() * 1000),
            subtasks=tuple(state for _, state in sorted(pending.acknowledged.items())),
            session_id=str(self._session_id),
        )
        try:
            await self._run_io(lambda: self._store.add(checkpoint))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            self.in_doubt |= isinstance(error, PossibleInconsistentStateError)
            if self._pending is pending:
                self._drop(pending, in_words(error))
                self._go_on_after(error, f"checkpoint {pending.checkpoint_id} cannot be stored")
            return
        self.untold, self.in_doubt = checkpoint.checkpoint_id, False
        if self._closed:
            return
        duration = round((self._clock.monotonic() - pending.started) * 1000)
        self._pending = None
        if self._expiry is not None:
            self._expiry.cancel()
        self.statistics.in_progress = 0
        self.statistics.completed += 1
        entry = {
            "className": "completed",
            "id": checkpoint.checkpoint_id,
            "status": "COMPLETED",
            "is_savepoint": False,
            "trigger_timestamp": checkpoint.triggered_at,
            "latest_ack_timestamp": checkpoint.completed_at,
            "state_size": pending.size,
            "checkpointed_size": pending.size,
            "end_to_end_duration": duration,
            "num_subtasks": self._graph.parallelism,
            "num_acknowledged_subtasks": self._graph.parallelism,
            "records": checkpoint.records,
        }
        self.statistics.latest = entry
        self.statistics.add(entry)
        self._emit(
            EventKind.CHECKPOINT_COMPLETED,
            checkpoint.checkpoint_id,
            records=checkpoint.records,
            bytes=pending.size,
            milliseconds=duration,
        )
        await self._step("checkpoint.notified", checkpoint.checkpoint_id)
        if self._closed:
            return
        self._send({"type": "notify_complete", "checkpoint_id": checkpoint.checkpoint_id})
        self.untold = None
        self._completed(checkpoint)
        self._retry_pause.over()
        self._last_wanted = self._last_wanted and not checkpoint.finished
        self._schedule(0.0 if self._last_wanted else None)

    def _drop(self, pending: _Pending, reason: str) -> None:
        self._pending = None
        if self._expiry is not None:
            self._expiry.cancel()
        self.statistics.in_progress = 0
        self._note_failure(pending.checkpoint_id, reason)

    def _note_failure(self, checkpoint_id: int, reason: str) -> None:
        self.statistics.failed += 1
        self.statistics.latest_failure = reason
        self._emit(EventKind.CHECKPOINT_FAILED, checkpoint_id, reason=reason)

    def _emit(self, kind: EventKind, checkpoint_id: int, **facts: Any) -> None:
        self._events.emit(
            kind,
            session_id=self._session_id,
            job_id=self._graph.job_id,
            checkpoint_id=checkpoint_id,
            **facts,
        )

    async def _step(self, name: str, checkpoint_id: int) -> None:
        await self._run_io(
            lambda: self._steps.reached(
                name,
                session_id=self._session_id,
                job_id=self._graph.job_id,
                checkpoint_id=checkpoint_id,
            )
        )

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
