"""A process that starts while its HA store or storageDir is away waits, as long as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import HaworkError, StoreUnavailableError
from hawork.core.events import EventKind
from hawork.runtime.fitness import CannotLeadError, has_run_out
from hawork.runtime.own_thread import in_own_thread
from hawork.runtime.process import ProcessContext
from hawork.runtime.retry_pause import RetryPause

T = TypeVar("T")

_IN_THE_WAY = (NotADirectoryError, FileExistsError)
"""A file where a directory should be is wrong, and not away."""


async def open_when_there(context: ProcessContext, open_all: Callable[[], T]) -> T:
    """What ``open_all`` opens, tried for ``hawork.startup.timeout``; it says so once.

    ``StoreUnavailableError`` when that is over. What is wrong, and not away, is raised at once.
    """
    longest_try = context.config.get_option(options.STORAGE_TIMEOUT)

    async def attempt(left: float) -> T:
        try:
            async with asyncio.timeout(max(left, longest_try)):
                return await in_own_thread(open_all)
        except TimeoutError:
            raise StoreUnavailableError(
                f"the HA store or storageDir did not answer within {max(left, longest_try):g} s"
            ) from None

    return await when_possible(context, attempt)


async def when_possible(context: ProcessContext, attempt: Callable[[float], Awaitable[T]]) -> T:
    """The same for any attempt, which is told for how many seconds it may be tried again.

    A process that has run out of descriptors, threads or memory waits, too: ``CannotLeadError``.
    """
    patience = context.config.get_option(options.STARTUP_TIMEOUT)
    deadline = SYSTEM_CLOCK.monotonic() + patience
    pause = RetryPause()
    away: HaworkError
    while True:
        try:
            return await attempt(deadline - SYSTEM_CLOCK.monotonic())
        except StoreUnavailableError as error:
            if isinstance(error.__cause__, _IN_THE_WAY):
                raise
            away = error
        except Exception as error:
            if not has_run_out(error):
                raise
            away = CannotLeadError(f"this process cannot start: {error}")
        if (left := deadline - SYSTEM_CLOCK.monotonic()) <= 0:
            raise away
        context.events.emit(
            EventKind.ERROR,
            message=f"{away}; it is tried again for up to {patience:g} s "
            f"({options.STARTUP_TIMEOUT.key})",
        )
        await asyncio.sleep(min(pause.next(), left))
