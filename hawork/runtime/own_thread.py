"""Work that may hang, on a thread of its own: it keeps neither other work nor the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LONGEST_END = 10.0


async def in_own_thread(action: Callable[[], T]) -> T:
    """Run something that blocks, perhaps for ever. ``RuntimeError`` when no thread is left.

    A caller that stops waiting leaves the thread behind, which does not keep the process alive.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: Callable[[], T]) -> None:
        if not future.done():
            try:
                future.set_result(result())
            except BaseException as error:  # noqa: BLE001 - the caller handles it
                future.set_exception(error)

    def run() -> None:
        outcome: Callable[[], T]
        try:
            value = action()
            outcome = lambda: value  # noqa: E731
        except BaseException as error:  # noqa: BLE001 - passed on
            failure = error

            def outcome() -> T:
                raise failure

        with contextlib.suppress(RuntimeError):  # nothing waits any more: the loop is closed
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, name="own-thread", daemon=True).start()
    return await future


async def in_the_end(action: Callable[[], object]) -> None:
    """Do what belongs to the end of a process, for at most ``_LONGEST_END`` seconds."""
    with contextlib.suppress(TimeoutError, RuntimeError):
        async with asyncio.timeout(_LONGEST_END):
            await in_own_thread(action)


def hanging_threads() -> list[str]:
    """The threads for which the interpreter would wait at its end, perhaps for ever."""
    this = threading.current_thread()
    return [each.name for each in threading.enumerate() if each is not this and not each.daemon]
