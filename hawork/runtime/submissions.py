"""Submissions under one leadership: one at a time for a job, and what is left of each behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from typing import Any

from hawork.core.errors import CorruptStateError, LeadershipLostError
from hawork.core.events import EventKind
from hawork.core.types import JobID
from hawork.ha.damage import in_words
from hawork.runtime.retry_pause import RetryPause
from hawork.runtime.term import Term

_LONGEST_PAUSE = 30.0  # seconds between tries of what nothing waits for


class Submissions:
    """Keeps the tries to submit one job apart, and removes what they left: the files of a refused
    one, and the mark of one that was stored.

    ``spawn`` runs a coroutine in the background for as long as the leadership lasts.
    """

    def __init__(self, term: Term, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._term = term
        self._spawn = spawn
        self._under_way: dict[JobID, asyncio.Event] = {}
        self._left: dict[JobID, None] = {}
        """Jobs beside which a submission may have left something in storageDir, in turn."""

    @contextlib.asynccontextmanager
    async def alone(self, job_id: JobID) -> AsyncIterator[None]:
        """Wait until no other try of this job is under way, and keep the next one waiting."""
        while job_id in self._under_way:
            await self._under_way[job_id].wait()
        ended = self._under_way[job_id] = asyncio.Event()
        try:
            yield
        finally:
            del self._under_way[job_id]
            ended.set()

    def clear_up(self, job_id: JobID) -> None:
        """Remove what this try or an earlier one has left, as soon as the store lets us.

        Not at once: its client may wait for the answer, and what refused the submission would
        mostly refuse this, too. A job that is stored has its marks removed, for by one of them it
        would pass for unfinished if its pointer were gone; where it has a checkpoint it would not.
        """
        begin = not self._left
        self._left[job_id] = None
        if begin:
            self._spawn(self._clear_up())

    async def sweep(self, stored: Collection[str]) -> None:
        """Remove what submissions of earlier leaders left, all but those of the ``stored`` jobs.

        What cannot be removed now is tried again later.
        """
        graphs, pause = self._term.stores.job_graphs, RetryPause(longest=_LONGEST_PAUSE)
        while True:
            try:
                swept = await self._term.run_io(lambda: graphs.sweep_unacknowledged(stored))
                failed = [f"{name}: {reason}" for name, reason in swept.failed]
            except LeadershipLostError:
                raise
            except Exception as error:  # noqa: BLE001 - it costs nothing but the sweep
                failed = [in_words(error)]
            if not failed:
                return
            self._tell(failed[0])
            await asyncio.sleep(pause.next())

    async def _clear_up(self) -> None:
        """Of each job, until nothing is left to be done; a new try goes before."""
        pause = RetryPause(longest=_LONGEST_PAUSE)
        while self._left:
            await asyncio.sleep(pause.next())
            for job_id in list(self._left):
                try:
                    await self._clear_up_one(job_id)
                except LeadershipLostError:
                    raise
                except Exception as error:  # noqa: BLE001 - it costs nothing but this
                    self._tell(f"job {job_id}: {in_words(error)}")
                    # The store is away, and the others would wait in vain; or it is this job, and
                    # it is the last one next time.
                    self._left[job_id] = self._left.pop(job_id)
                    break
                pause.over()

    async def _clear_up_one(self, job_id: JobID) -> None:
        graphs = self._term.stores.job_graphs
        async with self.alone(job_id):
            # More than a submission writes: that was told, and what is in doubt is kept.
            with contextlib.suppress(CorruptStateError):
                await self._term.run_io(lambda: graphs.clear_up(job_id))
            del self._left[job_id]

    def _tell(self, reason: str) -> None:
        self._term.events.emit(
            EventKind.ERROR, message=f"unfinished submissions stay to be swept: {reason}"
        )
