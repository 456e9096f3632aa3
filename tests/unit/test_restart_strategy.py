"""When a failed job runs again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawork.core import options
from hawork.core.jobs import RestartStrategy
from hawork.runtime.restart_strategy import NO_RESTART, RestartBackoff, restart_strategy_of


def middle() -> float:
    return 0.5


def test_none_never_restarts() -> None:
    assert RestartBackoff(NO_RESTART).delay_after_failure(0.0) is None


def test_fixed_delay_counts_attempts() -> None:
    backoff = RestartBackoff(RestartStrategy("fixed-delay", attempts=2, delay=0.3))
    assert [backoff.delay_after_failure(now) for now in (0.0, 1.0, 2.0)] == [0.3, 0.3, None]


def test_exponential_delay_grows_to_its_limit() -> None:
    strategy = RestartStrategy("exponential-delay", initial_backoff=1, max_backoff=4)
    backoff = RestartBackoff(strategy, jitter=middle)
    delays = [backoff.delay_after_failure(float(now)) for now in range(5)]
    assert delays == pytest.approx([1.0, 1.5, 2.25, 3.375, 4.0])


def test_exponential_delay_forgets_after_a_quiet_time() -> None:
    strategy = RestartStrategy("exponential-delay", attempts=2, reset_backoff_threshold=10)
    backoff = RestartBackoff(strategy, jitter=middle)
    assert backoff.delay_after_failure(0.0) == 1.0
    assert backoff.delay_after_failure(1.0) == 1.5
    assert backoff.delay_after_failure(100.0) == 1.0, "99 s without a failure"
    assert backoff.delay_after_failure(101.0) == 1.5
    assert backoff.delay_after_failure(102.0) is None


@pytest.mark.parametrize(
    ("strategy", "pauses"),
    [
        (NO_RESTART, [10.0, 10.0, 10.0]),
        (RestartStrategy("fixed-delay", attempts=2, delay=0.3), [0.3, 0.3, 10.0]),
        (RestartStrategy("exponential-delay", jitter_factor=0), [1.0, 1.5, 2.25]),
        (RestartStrategy("exponential-delay", attempts=1, jitter_factor=0), [1.0, 10.0, 10.0]),
    ],
)
def test_an_outage_uses_nothing_up_and_is_waited_for(
    strategy: RestartStrategy, pauses: list[float]
) -> None:
    backoff = RestartBackoff(strategy)
    assert [backoff.delay_after_failure(now, counted=False) for now in (0.0, 1, 2)] == pauses
    left = backoff.delay_after_failure(3.0)
    assert (left is None) == (strategy.type == "none"), "the job's own failures count from here"


@given(st.floats(0, 1), st.floats(0, 1))
def test_jitter_stays_within_its_share(chance: float, factor: float) -> None:
    strategy = RestartStrategy("exponential-delay", jitter_factor=factor)
    delay = RestartBackoff(strategy, jitter=lambda: chance).delay_after_failure(0.0)
    assert delay is not None
    assert 1 - factor <= delay <= 1 + factor


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, RestartStrategy()),
        ({"restart-strategy": "off"}, RestartStrategy("none")),
        (
            {
                "restart-strategy.type": "fixed-delay",
                "restart-strategy.fixed-delay.attempts": 7,
                "restart-strategy.fixed-delay.delay": "2 s",
            },
            RestartStrategy("fixed-delay", attempts=7, delay=2.0),
        ),
        (
            {"restart-strategy.exponential-delay.attempts-before-reset-backoff": 3},
            RestartStrategy("exponential-delay", attempts=3),
        ),
    ],
)
def test_options_choose_the_strategy(values: dict[str, str], expected: RestartStrategy) -> None:
    assert restart_strategy_of(options.checked(values)) == expected
