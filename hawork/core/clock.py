"""Time as an argument: every lease, heartbeat and delay reads one of these clocks."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds that never go back; comparable between the processes of one machine."""

    def time(self) -> float:
        """Wall-clock seconds since 1970; for people and file formats, never for decisions."""


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    def __repr__(self) -> str:
        return "SystemClock()"


SYSTEM_CLOCK = SystemClock()
