"""Waiting that works in both worlds: ``await`` it in a notebook, ``.wait()`` it elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from hawork.core.calls import checked_calls
from hawork.core.errors import LabError
from hawork.core.one_sentence import tell_interrupt

T = TypeVar("T")

POLL = 0.02
"""Seconds between looks. What is waited for happens in other processes and is seen in
files and over REST, which do not wake anybody up; 20 ms is below what a person notices."""


@checked_calls
class Waiting(Generic[T]):
    """Something that will be there soon.

    ``look`` returns it, or ``None`` as long as it is not there. When awaited, ``look`` runs
    on another thread, so that panels go on moving; ``show`` runs after each look on the
    waiting thread (in a notebook: the kernel's), ``done`` at the end in any case. An interrupt
    ends the wait and nothing else.

    >>> Waiting("the answer", lambda: 42).wait()
    42
    """

    def __init__(
        self,
        what: str,
        look: Callable[[], T | None],
        *,
        timeout: float | None = 30.0,
        poll: float = POLL,
        show: Callable[[], None] = lambda: None,
        done: Callable[[], None] = lambda: None,
        state: Callable[[], str] = lambda: "",
    ) -> None:
        self._what = what
        self._look = look
        self._timeout = timeout
        self._poll = poll
        self._show = show
        self._done = done
        self._state = state

    def wait(self, timeout: float | None = None) -> T:
        """Block until it is there; ``LabError`` after ``timeout`` seconds."""
        limit = self._timeout if timeout is None else timeout
        end = _end(limit)
        try:
            while True:
                found = self._look()
                self._show()
                if found is not None:
                    return found
                self._check(limit, end)
                time.sleep(self._poll)
        except KeyboardInterrupt as interrupt:
            tell_interrupt(interrupt, f"waiting for {self._what}")
            raise
        finally:
            self._done()

    def __await__(self) -> Generator[Any, None, T]:
        return self._await().__await__()

    def __repr__(self) -> str:
        return f"waiting for {self._what}: write 'await ...' in a notebook, '.wait()' elsewhere"

    async def _await(self) -> T:
        end = _end(self._timeout)
        try:
            while True:
                found = await asyncio.to_thread(self._look)
                self._show()
                if found is not None:
                    return found
                self._check(self._timeout, end)
                await asyncio.sleep(self._poll)
        except asyncio.CancelledError as interrupt:
            tell_interrupt(interrupt, f"waiting for {self._what}")
            raise
        finally:
            self._done()

    def _check(self, limit: float | None, end: float) -> None:
        if time.monotonic() >= end:
            raise LabError(f"stopped waiting for {self._what} after {limit:g} s{self._state()}")


def _end(limit: float | None) -> float:
    return float("inf") if limit is None else time.monotonic() + limit
