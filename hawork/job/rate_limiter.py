"""How many records a source may read now; sans-I/O, driven by a monotonic clock."""

from __future__ import annotations

from hawork.core.clock import Clock

TICK = 0.01
"""Seconds between two looks at a source that may not go on; bounds a snapshot's latency."""

_LARGEST_BURST = 0.1
"""Seconds of records that may be made up for: a task that was paused does not catch up."""


class RateLimiter:
    """Permits for ``records_per_second`` records, none saved up from before it was made."""

    def __init__(self, records_per_second: float, clock: Clock) -> None:
        self._rate = records_per_second
        self._most = max(1.0, records_per_second * _LARGEST_BURST)
        self._clock = clock
        self._permits = 0.0
        self._refilled = clock.monotonic()

    def permits(self) -> int:
        """Records that may be read now."""
        now = self._clock.monotonic()
        self._permits = min(self._most, self._permits + (now - self._refilled) * self._rate)
        self._refilled = now
        return int(self._permits)

    def spend(self, records: int) -> None:
        self._permits -= records

    def delay(self) -> float:
        """Seconds until there is a permit, or a tick: one record a time would be slow."""
        return max(TICK, (1.0 - self._permits) / self._rate)
