"""The timeouts of a real cluster: tried on the three backends, and chosen for given pauses."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hawork.core import options
from hawork.core.calls import checked
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError, LabError
from hawork.core.events import EventKind
from hawork.core.units import parse_duration
from hawork.lab.cluster import LabCluster
from hawork.lab.flink.cluster import FlinkCluster
from hawork.lessons.check import Check, Point, answers_of, safe
from hawork.lessons.engines import check_engine, lab_of

__all__ = ["check_cluster_timeouts", "try_timeouts"]

_SHORT: Final = 0.4
"""The share of the timeout that the leader stands still first."""
_LATE: Final = 2.0
"""Seconds until a lab has heard what a JobManager of Flink did: it looks once a second."""
_SILENCE: Final = 2 / 3
"""The share of its session without a packet after which a client of ZooKeeper is SUSPENDED."""
_PINGS: Final = 10.0
"""It pings after half of that, and after these seconds at the latest."""
_JITTER: Final = 2.2
"""Retry periods until a standby of Flink looks again: one, and up to 1.2 times as much on top."""
_LEASES: Final = {
    "embedded": (
        options.EMBEDDED_LEASE_DURATION, options.EMBEDDED_RENEW_DEADLINE,
        options.EMBEDDED_RETRY_PERIOD,
    ),
    "kubernetes": (
        options.K8S_LEASE_DURATION, options.K8S_RENEW_DEADLINE, options.K8S_RETRY_PERIOD,
    ),
}  # fmt: skip
_TICK: Final = "tickTime"
"""The option of ZooKeeper's servers, in milliseconds as in their own file."""
_CHOSEN: Final = {
    option.key: option
    for option in (
        options.ZK_SESSION_TIMEOUT, *_LEASES["kubernetes"], options.HEARTBEAT_INTERVAL,
        options.HEARTBEAT_TIMEOUT, options.RESTART_STRATEGY, options.RESTART_FIXED_ATTEMPTS,
        options.RESTART_FIXED_DELAY,
    )
}  # fmt: skip


@checked
def try_timeouts(ha: str, seconds: float, engine: str = "hawork") -> dict[str, Any]:
    """What a session or lease of that length survives, and what it costs, on one backend.

    Two JobManagers of that engine are started; the leader is paused for a shorter time, and then
    for longer. A backend that this machine or engine lacks is a row that says so; ``LabError`` for
    another name.

    >>> try_timeouts("embedded", 2.0)                                      # doctest: +SKIP
    """
    check_engine(engine)
    row: dict[str, Any] = {"engine": engine, "store": ha, "timeout": seconds}
    settings = _settings(ha, seconds)
    try:
        # In a block: the reader's own lab goes on, and is not to be told of.
        with lab_of(engine, job_managers=2, task_managers=0, ha=ha, options=settings) as lab:
            return row | _tried(lab, seconds)
    except LabError as error:
        return row | {"missing here": str(error)}


def _tried(lab: LabCluster | FlinkCluster, seconds: float) -> dict[str, Any]:
    short, name = _SHORT * seconds, lab.leader()
    lab.pause(name)
    time.sleep(short)
    woken = lab.resume(name)
    time.sleep(short + (_LATE if isinstance(lab, FlinkCluster) else 0.0))
    fault = lab.pause("leader")
    lab.wait_for_leader(other_than=fault).wait()
    lost = [
        event
        for event in lab.event_list()
        if event.kind is EventKind.LEADERSHIP_REVOKED
        and woken.monotonic <= event.monotonic < fault.monotonic
    ]
    gap = lab.timeline().takeovers[-1].seconds
    return {f"leads on after {_SHORT:.0%}": not lost, "found again after a hang": round(gap, 2)}


def _settings(ha: str, seconds: float) -> dict[str, str]:
    milliseconds = round(seconds * 1000)
    if ha == "zookeeper":
        return {options.ZK_SESSION_TIMEOUT.key: f"{milliseconds} ms"}
    if ha not in _LEASES:
        raise LabError(f"ha={ha!r} is not a backend: write 'embedded', 'zookeeper' or 'kubernetes'")
    shares = (milliseconds, milliseconds * 3 // 4, milliseconds // 8)
    return {option.key: f"{share} ms" for option, share in zip(_LEASES[ha], shares, strict=True)}


@safe
def check_cluster_timeouts(
    chosen: Mapping[str, Any] | None, *, pause: float, found: float, collected: float,
    noticed: float, away: float, strategy: str | None = None,
) -> Check:  # fmt: skip
    """Do the options of a Flink cluster, and the tick of its ZooKeeper, keep these promises?

    A JobManager leads on after ``pause`` seconds, and a hung one is followed within ``found``;
    a TaskManager is kept for ``collected`` seconds of silence, and a hung one is noticed within
    ``noticed``; a job outlives storage that is ``away`` for so long, with that restart ``strategy``
    where one is asked for. What is not chosen is Flink's default.

    >>> check_cluster_timeouts({}, pause=8, found=45, collected=30, noticed=60, away=120).passed
    False
    """
    given, problems = answers_of(chosen, [_TICK, *_CHOSEN])
    tick, wrong = _tick_of(given.get(_TICK, 2000))
    problems += wrong
    durations = [key for key in _CHOSEN if key in given and "strategy.type" not in key]
    problems += [each for key in durations for each in _without_unit(key, given[key])]
    if problems:
        return Check(tuple(problems))
    try:
        config = options.checked({key: given[key] for key in given if key != _TICK})
    except HaworkError as error:
        return Check(((f"the options are refused: {error}", False),))
    return Check(
        (
            *_on_zookeeper(config.get_option(options.ZK_SESSION_TIMEOUT), tick, pause, found),
            *_on_kubernetes(config, pause, found),
            *_of_taskmanagers(config, collected, noticed),
            *_of_restarts(config, away, strategy),
        )
    )


def _on_zookeeper(asked: float, tick: float, pause: float, found: float) -> list[Point]:
    granted = min(max(asked, 2 * tick), 20 * tick)
    cut = f"; its servers grant 2 to 20 ticks, and a tick is {tick:g} s"
    silence = granted * _SILENCE
    kept, longest = silence - min(silence / 2, _PINGS), granted + tick
    return [
        (
            f"ZooKeeper: a session of {asked:g} s is asked for, and {granted:g} s are granted"
            + ("" if granted == asked else cut),
            granted == asked,
        ),
        (
            f"ZooKeeper: a pause of {kept:.3g} s is survived in any case; {pause:g} s are wanted",
            kept >= pause,
        ),
        (
            f"ZooKeeper: a hung leader is followed within {longest:g} s; {found:g} s are allowed",
            longest <= found,
        ),
    ]


def _on_kubernetes(config: Configuration, pause: float, found: float) -> list[Point]:
    lease, deadline, retry = (config.get_option(each) for each in _LEASES["kubernetes"])
    kept, longest = deadline - retry, lease + _JITTER * retry
    return [
        (
            f"Kubernetes: a pause of {kept:g} s is survived in any case; {pause:g} s are wanted",
            kept >= pause,
        ),
        (
            f"Kubernetes: a hung leader is followed within {longest:g} s; {found:g} s are allowed",
            longest <= found,
        ),
    ]


def _of_taskmanagers(config: Configuration, collected: float, noticed: float) -> list[Point]:
    interval = config.get_option(options.HEARTBEAT_INTERVAL)
    timeout = config.get_option(options.HEARTBEAT_TIMEOUT)
    return [
        (
            f"a TaskManager is kept after {timeout - interval:g} s of silence in any case; "
            f"{collected:g} s are wanted",
            timeout - interval >= collected,
        ),
        (
            f"a hung TaskManager is noticed within {timeout:g} s; {noticed:g} s are allowed",
            timeout <= noticed,
        ),
    ]


def _of_restarts(config: Configuration, away: float, wanted: str | None) -> Iterator[Point]:
    strategy = config.get_option(options.RESTART_STRATEGY)
    if wanted is not None:
        yield f"the restart strategy is {strategy}; {wanted} is wanted", strategy == wanted
    if strategy == "exponential-delay":
        yield "the restart strategy never gives up", True
        return
    lasts = 0.0
    if strategy == "fixed-delay":
        attempts = config.get_option(options.RESTART_FIXED_ATTEMPTS)
        lasts = attempts * config.get_option(options.RESTART_FIXED_DELAY)
    yield (
        f"restarts that fail at once go on for {lasts:g} s, and then the job is FAILED; "
        f"{away:g} s are wanted",
        lasts >= away,
    )


def _tick_of(given: Any) -> tuple[float, list[Point]]:
    """Seconds; ZooKeeper's own file has milliseconds without a unit."""
    try:
        tick = parse_duration(str(given))
    except ValueError as error:
        return 2.0, [(f"{_TICK} {given!r}: {error}", False)]
    if tick <= 0:
        return 2.0, [(f"{_TICK} {given!r} is not a time: write milliseconds, such as 2000", False)]
    return tick, []


def _without_unit(key: str, value: Any) -> list[Point]:
    if key == options.RESTART_FIXED_ATTEMPTS.key:
        return []
    if isinstance(value, str) and not value.strip().isdigit():
        return []
    return [(f"{key}: {value!r} is not a duration with a unit: write '8 s' or '800 ms'", False)]
