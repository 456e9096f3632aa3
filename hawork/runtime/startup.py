"""A process that starts while its HA store or storageDir is away waits, as long as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import StoreUnavailableError
from hawork.core.events import EventKind
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
    patience = context.config.get_option(options.STARTUP_TIMEOUT)
    longest_try = context.config.get_option(options.STORAGE_TIMEOUT)
    deadline = SYSTEM_CLOCK.monotonic() + patience
    pause = RetryPause()
    while True:
        left = deadline - SYSTEM_CLOCK.monotonic()
        try:
            async with asyncio.timeout(max(left, longest_try)):
                return await in_own_thread(open_all)
        except StoreUnavailableError as error:
            if isinstance(error.__cause__, _IN_THE_WAY):
                raise
            away = error
        except TimeoutError:
            away = StoreUnavailableError(
                f"the HA store or storageDir did not answer within {max(left, longest_try):g} s"
            )
        if (left := deadline - SYSTEM_CLOCK.monotonic()) <= 0:
            raise away
        context.events.emit(
            EventKind.ERROR,
            message=f"{away}; it is tried again for up to {patience:g} s "
            f"({options.STARTUP_TIMEOUT.key})",
        )
        await asyncio.sleep(min(pause.next(), left))
