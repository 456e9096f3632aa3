"""When a failed job runs again: sans-I/O, told of failures and asked for a delay.

Source: Flink's ``FixedDelayRestartBackoffTimeStrategy`` and
``ExponentialDelayRestartBackoffTimeStrategy``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.jobs import RestartStrategy

NO_RESTART = RestartStrategy("none")
_OUTAGE_PAUSE = 10.0
"""Seconds between tries, at least, once an outage has outlasted the restart strategy."""


def restart_strategy_of(config: Configuration) -> RestartStrategy:
    """The restart strategy that the options ask for."""
    kind = config.get_option(options.RESTART_STRATEGY)
    if kind == "none":
        return NO_RESTART
    if kind == "fixed-delay":
        return RestartStrategy(
            kind,
            attempts=config.get_option(options.RESTART_FIXED_ATTEMPTS),
            delay=config.get_option(options.RESTART_FIXED_DELAY),
        )
    attempts = config.get_option(options.RESTART_EXP_ATTEMPTS)
    return RestartStrategy(
        kind,
        attempts=None if attempts == options.INFINITE else attempts,
        initial_backoff=config.get_option(options.RESTART_INITIAL_BACKOFF),
        max_backoff=config.get_option(options.RESTART_MAX_BACKOFF),
        backoff_multiplier=config.get_option(options.RESTART_MULTIPLIER),
        reset_backoff_threshold=config.get_option(options.RESTART_RESET),
        jitter_factor=config.get_option(options.RESTART_JITTER),
    )


class RestartBackoff:
    """Counts the failures of one job and says how long to wait before each restart.

    A failure that is not *counted*, as the environment's are for a job that has run, never
    uses up the strategy: it only waits as long as the strategy says, and ``_OUTAGE_PAUSE``
    where the strategy would have given up.
    """

    def __init__(
        self, strategy: RestartStrategy, jitter: Callable[[], float] | None = None
    ) -> None:
        self._strategy = strategy
        # Looked up now, and not when this module is imported: a simulation has its own.
        self._jitter = jitter or random.random
        self._failures = 0
        self._uncounted = 0
        self._backoff = strategy.initial_backoff
        self._last_failure: float | None = None

    def delay_after_failure(self, now: float, *, counted: bool = True) -> float | None:
        """Seconds to wait before the restart; ``None`` when the job may not restart."""
        strategy = self._strategy
        if strategy.type == "none":
            return None if counted else _OUTAGE_PAUSE
        quiet = now - self._last_failure if self._last_failure is not None else 0.0
        self._last_failure = now
        if strategy.type == "exponential-delay" and quiet > (
            strategy.reset_backoff_threshold + self._backoff
        ):
            self._failures = self._uncounted = 0
            self._backoff = strategy.initial_backoff
        if counted:
            self._failures += 1
            if strategy.attempts is not None and self._failures > strategy.attempts:
                return None
            return self._next_pause()
        self._uncounted += 1
        outlasted = strategy.attempts is not None and self._uncounted > strategy.attempts
        return max(self._next_pause(), _OUTAGE_PAUSE if outlasted else 0.0)

    def _next_pause(self) -> float:
        strategy = self._strategy
        if strategy.type == "fixed-delay":
            return strategy.delay
        backoff = self._backoff
        self._backoff = min(backoff * strategy.backoff_multiplier, strategy.max_backoff)
        spread = backoff * strategy.jitter_factor * (2 * self._jitter() - 1)
        return max(0.0, backoff + spread)

    def describe(self) -> dict[str, Any]:
        return {"failures": self._failures, "type": self._strategy.type}
