"""Time as an argument: every lease, heartbeat and delay reads one of these clocks.

A host sleeps, when a laptop's lid is closed for example, and the leases of its processes end
meanwhile. Linux has two clocks that never go back. ``CLOCK_MONOTONIC``, which Python calls
``time.monotonic``, stands still during a suspend; ``CLOCK_BOOTTIME`` counts it. On macOS
``CLOCK_MONOTONIC`` counts it, and ``time.monotonic`` reads another one.

Waits of the operating system (``Event.wait``, ``poll``) do not count a suspend. So what a lease
allows is judged by the clock each time it is asked for, never by the end of a wait, and a thread
that must tell of the end of a lease waits at most ``LONGEST_WAIT`` before it looks again.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Protocol

LONGEST_WAIT = 0.25
"""Seconds after which a thread that keeps a lease looks at its clock, whatever it waits for."""


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds that never go back; comparable between the processes of one machine."""

    def time(self) -> float:
        """Wall-clock seconds since 1970; for people and file formats, never for decisions."""


class SystemClock:
    """The machine's own clocks. ``monotonic`` counts suspended time where one of them does."""

    def __init__(self) -> None:
        self._id = _clock_that_counts_suspends()

    def monotonic(self) -> float:
        return time.monotonic() if self._id is None else time.clock_gettime(self._id)

    def time(self) -> float:
        return time.time()

    def __repr__(self) -> str:
        return "SystemClock()"


def _clock_that_counts_suspends() -> int | None:
    """Its id for ``time.clock_gettime``; ``None`` where there is no such clock."""
    name = "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME"
    clock_id: int | None = getattr(time, name, None)
    if clock_id is not None:
        with contextlib.suppress(OSError):  # a kernel, or a sandbox, that does not know it
            time.clock_gettime(clock_id)
            return clock_id
    return None


SYSTEM_CLOCK = SystemClock()
