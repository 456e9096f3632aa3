"""Whose fault a failure is: the rule by which a job may end for good, and the only one.

=================  ===================================================  =======================
cause              such as                                              what follows
=================  ===================================================  =======================
``ENVIRONMENT``    ``OSError`` (no space, too many open files, EIO),    restarted; never the end
                   ``MemoryError``, a thread or process limit, an       of a job that has
                   import of what is not in the artifact, storage that  completed a checkpoint
                   is away, a process killed by a signal, a lost
                   TaskManager, no slots
``JOB``            anything else that the job's own code raises,        restarted, until the
                   ``exit`` in it, a checkpoint that it does not take   restart strategy ends
``JOB``,           an entry point that is none, an output directory of  the end, of a job that
*permanent*        another job                                          has completed nothing
=================  ===================================================  =======================

A job that has completed a checkpoint has run: what stops it now came since, and may pass. So
its code has to fail *again and again*, as often as its restart strategy says, and the
environment cannot end it at all. Flink counts both alike (``ThrowableClassifier`` knows
failures that are not recoverable, and nothing of their origin): there an outage that outlasts
the restart strategy ends the job, and its checkpoints are removed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

from hawork.core.errors import CorruptStateError, StoreUnavailableError


class Blame(str, enum.Enum):
    """Whose fault a failure is."""

    JOB = "job"
    ENVIRONMENT = "environment"

    def __str__(self) -> str:
        return self.value


_ENVIRONMENT = (OSError, MemoryError, ImportError, StoreUnavailableError, CorruptStateError)
_LIMITS = ("can't start new thread", "can't allocate lock")  # RuntimeErrors of Python's own


def blame(error: BaseException) -> Blame:
    """Whose fault an error is, by itself and by what it was raised *from*.

    ``raise ... from None`` says that the cause does not matter.

    >>> blame(ValueError("7")), blame(OSError(28, "No space left on device"))
    (<Blame.JOB: 'job'>, <Blame.ENVIRONMENT: 'environment'>)
    """
    return Blame.ENVIRONMENT if any(map(_of_environment, _causes(error))) else Blame.JOB


def _of_environment(error: BaseException) -> bool:
    if isinstance(error, RuntimeError):
        return str(error).startswith(_LIMITS)
    return isinstance(error, _ENVIRONMENT)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__
