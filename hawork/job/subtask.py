"""One subtask of a running job: source, operators and sink between two snapshots.

No thread, no waiting: the caller advances it, and asks for snapshots in between.
"""

from __future__ import annotations

import json
from typing import Any

from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.errors import JobExecutionError
from hawork.core.jobs import SubtaskState
from hawork.core.json_fields import check_json
from hawork.job.operator_chain import OperatorChain
from hawork.job.pipeline import Pipeline
from hawork.job.rate_limiter import TICK, RateLimiter
from hawork.job.sinks import EndOfJobListener, SubtaskContext
from hawork.job.sources import SourceReader
from hawork.job.state import encode_state
from hawork.job.user_code import calling

LARGEST_BATCH = 256  # with more, records fall out of the cache and into the garbage collector
_LONGEST_BATCH = 0.01
"""Seconds a batch should take at most: a snapshot waits for the end of one."""


class Subtask:
    """Runs the share of ``context.index`` in a pipeline.

    With ``restored`` (its keyed state inline, taken over) it goes on from that snapshot
    exactly: the output the snapshot names is committed, later output is removed. ``read``
    counts the records of the source, ``records`` those that belonged to this subtask.

    Raises ``JobExecutionError`` from every method when user code or input or output fails,
    ``ConfigurationError`` where no restart can help; the subtask must not be used then.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        context: SubtaskContext,
        restored: SubtaskState | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        pipeline.complete()
        source, sink = pipeline.input, pipeline.output
        assert source is not None and sink is not None  # that is what complete() says
        position = _Position.of(restored)
        self.finished = restored is not None and restored.finished
        self._context = context
        self._clock = clock
        self._read = position.record
        self._batch = LARGEST_BATCH
        rate = getattr(source, "records_per_second", None)
        self._limiter = RateLimiter(rate, clock) if rate is not None else None
        self._chain = OperatorChain(
            pipeline.operators,
            context.index,
            context.parallelism,
            restored.state if restored else None,
            restored.records if restored else 0,
        )
        with calling("sink", sink):
            self._writer = sink.open(context)
            self._writer.restore(position.checkpoint_id, restored.pending if restored else ())
        self._source = source
        self._source_position = position.source
        self._reader: SourceReader | None = None
        if not self.finished:
            with calling("source", source):
                self._reader = source.open(position.source)
        self._last_snapshot: int | None = None

    @property
    def read(self) -> int:
        return self._read

    @property
    def records(self) -> int:
        return self._chain.records

    def advance(self, limit: int = LARGEST_BATCH) -> float | None:
        """Take the next batch, at most ``limit`` records, through the pipeline.

        Returns the seconds to wait before the next call (0.0: none), ``None`` when the
        input has ended; then everything that comes of that has been written.
        """
        if self._reader is None:
            return None
        limit = min(limit, self._batch)
        if self._limiter is not None:
            limit = min(limit, self._limiter.permits())
            if limit < 1:
                return self._limiter.delay()
        started = self._clock.monotonic()
        with calling("source", self._source):
            records = self._reader.read(limit)
        if records is None:
            self._end_input()
            return None
        if not records:
            return TICK
        self._write(self._chain.push(records, self._read))
        self._read += len(records)
        if self._limiter is not None:
            self._limiter.spend(len(records))
        self._adapt(self._clock.monotonic() - started)
        return 0.0

    def _write(self, records: list[Any]) -> None:
        if records:
            with calling("sink", self._writer):
                self._writer.write(records)

    def _adapt(self, seconds: float) -> None:
        """Keep batches short in time, whatever the user's functions do."""
        if seconds > _LONGEST_BATCH:
            self._batch = max(1, self._batch // 2)
        elif seconds < _LONGEST_BATCH / 4:
            self._batch = min(LARGEST_BATCH, self._batch * 2)

    def _end_input(self) -> None:
        self._write(self._chain.end_of_input())
        self._close_reader()
        self.finished = True

    def snapshot(self, checkpoint_id: int) -> tuple[SubtaskState, bytes]:
        """The subtask's share of a checkpoint, and its keyed state as JSON text.

        The keyed state is left out of the first: the caller puts it there, or keeps large
        ones in a file. Nothing is committed by it.
        """
        self._write(self._chain.before_snapshot())
        encoded = encode_state(self._chain.state)
        with calling("sink", self._writer):
            pending = self._writer.snapshot(checkpoint_id)
        position = _Position(checkpoint_id, self._read, self._position_now())
        state = SubtaskState(
            index=self._context.index,
            attempt=self._context.attempt,
            records=self.records,
            position=position.to_json(),
            pending=pending,
            finished=self.finished,
        )
        if self.finished and self._last_snapshot is None:
            self._last_snapshot = checkpoint_id
        return state, encoded

    def notify_complete(self, checkpoint_id: int) -> None:
        """The checkpoint is completed: commit the output it names. May be repeated.

        The last commit of a finished subtask leaves nothing but committed output behind.
        """
        with calling("sink", self._writer):
            self._writer.commit(checkpoint_id)
            if self._last_snapshot is not None and checkpoint_id >= self._last_snapshot:
                self._writer.close(discard=True)

    def close(self, *, discard: bool = False) -> None:
        """Stop. ``discard`` when the job is over and will not be restored."""
        self._close_reader()
        with calling("sink", self._writer):
            self._writer.close(discard=discard)
            if discard and isinstance(self._writer, EndOfJobListener):
                self._writer.job_is_over()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._source_position = self._position_now()
            with calling("source", self._source):
                self._reader.close()
            self._reader = None

    def _position_now(self) -> Any:
        if self._reader is None:
            return self._source_position
        with calling("source", self._source):
            position = self._reader.position()
        try:
            json.dumps(position, allow_nan=False)
            check_json(position)
        except (TypeError, ValueError, RecursionError) as error:
            raise JobExecutionError(
                f"position {position!r:.200} of source {self._source!r} is not JSON: {error}"
            ) from None
        return position


class _Position:
    """Where a subtask goes on: in its source, in the count of records, and behind which checkpoint.

    The checkpoint belongs to it because a sink must know which of its files are later.
    """

    def __init__(self, checkpoint_id: int | None, record: int, source: object) -> None:
        self.checkpoint_id = checkpoint_id
        self.record = record
        self.source = source

    def to_json(self) -> dict[str, object]:
        return {
            "checkpoint_id": self.checkpoint_id,
            "record": self.record,
            "source": self.source,
        }

    @classmethod
    def of(cls, state: SubtaskState | None) -> _Position:
        if state is None:
            return cls(None, 0, None)
        try:
            data = state.position
            return cls(int(data["checkpoint_id"]), int(data["record"]), data["source"])
        except (KeyError, TypeError, ValueError):
            raise JobExecutionError(
                f"the checkpoint's position {state.position!r} is none of hawork's: restore "
                "from another checkpoint"
            ) from None
