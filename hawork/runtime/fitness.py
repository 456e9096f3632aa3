"""Whether this process can do what a leader has to: looked at while it leads, and before it stands.

A leader that renews its lease and can neither store a checkpoint nor take a submission is worse
than none: another one may have what this one lacks.
"""

from __future__ import annotations

import errno
import os
import threading

from hawork.core.clock import Clock
from hawork.core.errors import HighAvailabilityError
from hawork.ha.storage_watch import StorageWatch

_PATIENCE = 5.0
"""Seconds for which descriptors or threads may be exhausted: that often passes."""
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_NO_THREAD = "can't start new thread"


class CannotLeadError(HighAvailabilityError):
    """This process gives its leadership up: it cannot do what a leader has to."""


class Fitness:
    """Looks at descriptors, threads and storageDir; for the event loop, it waits for nothing."""

    def __init__(self, watch: StorageWatch, storage_timeout: float, clock: Clock) -> None:
        self._watch = watch
        self._storage_timeout = storage_timeout
        self._clock = clock
        self._exhausted_since: float | None = None

    def check(self) -> None:
        """``CannotLeadError`` when the process has been unable to lead for too long."""
        if (hanging := self._watch.hanging(self._storage_timeout)) is not None:
            raise CannotLeadError(hanging)
        exhausted = exhaustion()
        now = self._clock.monotonic()
        if exhausted is None:
            self._exhausted_since = None
        elif self._exhausted_since is None:
            self._exhausted_since = now
        elif now - self._exhausted_since > _PATIENCE:
            raise CannotLeadError(exhausted)

    def check_at_once(self) -> None:
        """The same without patience: before the process stands for leadership again."""
        problem = self._watch.hanging(0.0) or exhaustion()
        if problem is not None:
            raise CannotLeadError(problem)


def exhaustion() -> str | None:
    """What this process has none left of, in words."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return (
            f"no file can be opened ({error.strerror}): raise the limit of open files (ulimit -n)"
        )
    try:
        threading.Thread(target=_nothing, name="fitness", daemon=True).start()
    except RuntimeError as error:
        return f"no thread can be started ({error}): raise the limit of processes (ulimit -u)"
    return None


def has_run_out(error: BaseException | None) -> bool:
    """Whether an error came of having no descriptor, thread or memory left, however it is told."""
    while error is not None:
        if isinstance(error, MemoryError) or str(error).startswith(_NO_THREAD):
            return True
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            return True
        error = error.__cause__ or error.__context__
    return False


def _nothing() -> None:
    """That it began is all that was to be known."""
