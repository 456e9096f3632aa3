"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    predicate: Callable[[], T | None], timeout: float = 60.0, interval: float = 0.005
) -> T:
    """The first true value of ``predicate``; ``AssertionError`` after ``timeout`` seconds.

    Polls, because it waits for things that cannot notify. ``timeout`` ends a test that hangs, on a
    busy machine, too. An ``AssertionError`` inside the predicate counts as false and is shown when
    time is up.
    """
    deadline = time.monotonic() + timeout
    reason: AssertionError | None = None
    while True:
        try:
            value = predicate()
        except AssertionError as error:
            reason = error
        else:
            if value:
                return value
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not become true within {timeout:g} s") from reason
        time.sleep(interval)
