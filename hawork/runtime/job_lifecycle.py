"""Which status of a job may follow which: sans-I/O, Flink's ``JobStatus`` diagram."""

from __future__ import annotations

from collections.abc import Mapping

from hawork.core.jobs import JobStatus

_S = JobStatus

TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    _S.INITIALIZING: frozenset({_S.CREATED, _S.FAILING, _S.CANCELLING, _S.SUSPENDED}),
    _S.CREATED: frozenset({_S.RUNNING, _S.FAILING, _S.CANCELLING, _S.RESTARTING, _S.SUSPENDED}),
    _S.RUNNING: frozenset({_S.FINISHED, _S.FAILING, _S.CANCELLING, _S.RESTARTING, _S.SUSPENDED}),
    _S.RESTARTING: frozenset({_S.CREATED, _S.FAILING, _S.CANCELLING, _S.SUSPENDED}),
    _S.FAILING: frozenset({_S.FAILED, _S.CANCELLING, _S.SUSPENDED}),
    _S.CANCELLING: frozenset({_S.CANCELED, _S.SUSPENDED}),
    _S.FINISHED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.FAILED: frozenset(),
    _S.SUSPENDED: frozenset(),
    _S.RECONCILING: frozenset(),
}


class JobLifecycle:
    """The status of one job in one JobManager, with the time each status was entered.

    Times are in milliseconds since 1970, as in Flink's REST API.
    """

    def __init__(self, now: int) -> None:
        self.status = _S.INITIALIZING
        self.timestamps: dict[JobStatus, int] = {_S.INITIALIZING: now}

    @property
    def terminal(self) -> bool:
        """Whether nothing more happens to the job in this JobManager."""
        return not TRANSITIONS[self.status]

    def may(self, status: JobStatus) -> bool:
        return status in TRANSITIONS[self.status]

    def move(self, status: JobStatus, now: int) -> bool:
        """Enter a status; whether that was allowed. Entering it again changes nothing."""
        if not self.may(status):
            return False
        self.status = status
        self.timestamps[status] = now
        return True
