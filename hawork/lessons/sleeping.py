"""A leader's host that sleeps, and two stopwatches: played through with the real lease machine."""

from __future__ import annotations

from hawork.ha.lease_state import Acquire, LeaseRecord, LeaseState, LeaseTimeouts, Observe, Renew

_TICK = 0.01  # seconds
_ASLEEP_AT = 0.6


def two_leaders(
    slept: float,
    *,
    counted: bool,
    retry_period: float = 0.25,
    renew_deadline: float = 1.5,
    lease_duration: float = 2.0,
) -> float:
    """Seconds for which two think that they lead when the host of one sleeps for ``slept`` seconds.

    ``counted``: its stopwatch goes on meanwhile. On waking it has no network yet, so that only
    this stopwatch can tell it that its time is over.

    >>> two_leaders(10.0, counted=False)
    1.41
    >>> two_leaders(10.0, counted=True)
    0.0
    """
    timeouts = LeaseTimeouts(lease_duration, renew_deadline, retry_period)
    leader, standby = LeaseState("asleep", timeouts), LeaseState("awake", timeouts)
    stored: LeaseRecord | None = None
    asleep_at, awake_at = round(_ASLEEP_AT / _TICK), round((_ASLEEP_AT + slept) / _TICK)
    both = 0
    for tick in range(awake_at + round((lease_duration + renew_deadline) / _TICK)):
        now = own = tick * _TICK
        if tick >= awake_at and not counted:
            own = (tick - awake_at + asleep_at) * _TICK
        if tick < asleep_at:
            match leader.decide(own):
                case Observe():
                    leader.observe(stored, own)
                case Acquire() | Renew():
                    stored = LeaseRecord("asleep", tick)
                    leader.renewed(stored, own, own)
        # The standby sees each change at once, and tries when it may.
        standby.observe(stored, now)
        match standby.decide(now):
            case Acquire() | Renew() if stored is not None:
                stored = LeaseRecord("awake", tick)
                standby.renewed(stored, now, now)
        both += tick >= awake_at and leader.believes(own) and standby.believes(now)
    return round(both * _TICK, 2)
