"""What is left of a job that ended is removed; repeatable, so any later leader can finish it.

Source: Flink's ``CleanupRetryStrategyFactory`` and ``DispatcherResourceCleanerFactory``.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Protocol

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import (
    ConfigurationError,
    CorruptStateError,
    NotExistError,
    StoreUnavailableError,
)  # fmt: skip
from hawork.core.jobs import JobResult
from hawork.core.steps import Steps
from hawork.core.types import JobID, LeaderSessionID
from hawork.ha.backend import Backend
from hawork.ha.damage import SetAside, in_words
from hawork.ha.job_files import JobFiles
from hawork.ha.job_graph_store import JobGraphStore
from hawork.ha.job_result_store import JobResultStore
from hawork.ha.pointer_store import checkpoints, counters
from hawork.ha.state_storage import StateStorage

_MOST_DOUBLINGS = 64


class RetryStrategy(Protocol):
    """When something that failed is tried again; it only calculates."""

    def delay_before(self, retry: int) -> float | None:
        """Seconds to wait before the ``retry``-th retry (1 is the first); ``None``: give up."""


@dataclass(frozen=True, slots=True)
class NoRetry:
    """One try."""

    def delay_before(self, retry: int) -> float | None:
        return None


@dataclass(frozen=True, slots=True)
class FixedDelay:
    """The same pause before each retry."""

    delay: float
    attempts: int

    def delay_before(self, retry: int) -> float | None:
        return self.delay if retry <= self.attempts else None


@dataclass(frozen=True, slots=True)
class ExponentialDelay:
    """A pause that doubles, up to a longest one."""

    initial_backoff: float
    max_backoff: float
    attempts: int

    def delay_before(self, retry: int) -> float | None:
        if retry > self.attempts:
            return None
        doublings = min(retry - 1, _MOST_DOUBLINGS)
        return float(min(self.initial_backoff * 2**doublings, self.max_backoff))


def cleanup_strategy(config: Configuration) -> RetryStrategy:
    """What ``cleanup-strategy.*`` asks for."""
    kind = config.get_option(options.CLEANUP_STRATEGY)
    if kind == "none":
        return NoRetry()
    if kind == "fixed-delay":
        return FixedDelay(
            delay=config.get_option(options.CLEANUP_FIXED_DELAY),
            attempts=config.get_option(options.CLEANUP_FIXED_ATTEMPTS),
        )
    return ExponentialDelay(
        initial_backoff=config.get_option(options.CLEANUP_INITIAL_BACKOFF),
        max_backoff=config.get_option(options.CLEANUP_MAX_BACKOFF),
        attempts=config.get_option(options.CLEANUP_EXPONENTIAL_ATTEMPTS),
    )


class JobCleanup:
    """Removes all HA data of a job, under one leadership."""

    def __init__(
        self,
        backend: Backend,
        storage: StateStorage,
        session_id: LeaderSessionID,
        job_graphs: JobGraphStore,
        job_results: JobResultStore,
        steps: Steps,
        set_aside: SetAside,
    ) -> None:
        self._backend = backend
        self._storage = storage
        self._session_id = session_id
        self._job_graphs = job_graphs
        self._job_results = job_results
        self._steps = steps
        self._set_aside = set_aside

    def run(self, result: JobResult, submission: str | None = None) -> None:
        """Remove everything of a job whose result is dirty, then mark the result clean.

        ``submission`` is the digest of what it came of, or else read from its job graph, which may
        be damaged.

        To be repeated after any error but ``LeadershipLostError``; what is done is done. Without
        a dirty result nothing is removed: the job was cleaned up, and its id may be that of
        another job by now. Two at once for one job would defeat that: the caller sees to it.
        """
        if not self._job_results.has_dirty(result.job_id):
            return
        submission = submission or self._submission(result.job_id)
        with contextlib.suppress(StoreUnavailableError):
            # They may only fit once the job's other files are gone; the decision is kept till then.
            self._job_results.remember(result.job_id, submission)
            self._job_results.carry_out(result.job_id)
        self.remove(result.job_id)
        self._job_results.remember(result.job_id, submission)
        try:
            self._job_results.mark_clean(result.job_id)
        except NotExistError:
            return  # an earlier try got that far and was told that it had not

    def remove(self, job_id: JobID) -> None:
        """Remove a job's checkpoints, counter, job graph, state and artifacts.

        Each part may be gone already.
        """
        self._backend.drop(checkpoints(job_id), self._session_id)
        self._backend.drop(counters(job_id), self._session_id)
        self._reached("cleanup.checkpoints_removed", job_id)
        self._job_graphs.remove(job_id)
        self._reached("cleanup.pointer_removed", job_id)
        files = JobFiles(self._storage, job_id)
        left = files.all()
        # Files are not fenced; this is, though nothing is left to be removed: a process
        # that was paused at the step, past its lease, stops here. One that is paused right
        # after it deletes what was listed before, and nothing that came since.
        self._job_graphs.remove(job_id)
        for path in left:
            try:
                self._storage.delete(path)
            except (CorruptStateError, ConfigurationError) as error:
                self._set_aside.tell(job_id, in_words(path), f"it is kept: {in_words(error)}")
        files.prune()
        self._reached("cleanup.artifacts_removed", job_id)

    def _submission(self, job_id: JobID) -> str | None:
        try:
            graph = self._job_graphs.recover(job_id)
        except CorruptStateError:
            return None
        return None if graph is None else graph.submission

    def _reached(self, step: str, job_id: JobID) -> None:
        self._steps.reached(step, session_id=self._session_id, job_id=job_id)
