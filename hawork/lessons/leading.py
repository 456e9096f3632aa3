"""Checks about who leads: how it is found, and how long a change takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hawork.core import options
from hawork.core.connection import ConnectionState
from hawork.core.errors import HaworkError
from hawork.core.events import Event, EventKind
from hawork.lab.options import SHORT_TIMEOUTS
from hawork.lessons.check import Check, Point, answer, answers_of, because, called, number_of, safe
from hawork.lessons.labs import after, last, other_lab

if TYPE_CHECKING:
    from hawork.lab.cluster import LabCluster

__all__ = [
    "check_awakening",
    "check_retrieval",
    "check_timeouts",
    "check_tolerance",
    "check_unseen_death",
]

_PRECISION = 0.01
"""Seconds by which a measured time may differ from that of the events: it may be rounded."""


@safe
def check_retrieval(lab: LabCluster, find: Callable[[Any], str | None]) -> Check:
    """Does ``find(config)`` return the leader's address, and another one's after a kill?

    >>> check_retrieval(lab, find_leader)                                  # doctest: +SKIP
    """
    before = lab.wait_for_leader().wait() and lab.leader_information()
    found, failure = called(find, lab.config)
    points = [_point("it returns the leader's address", before, found, failure)]
    if points[0][1]:
        fault = lab.kill("leader")
        lab.wait_for_leader(other_than=fault).wait()
        after = lab.leader_information()
        lab.restart(fault.facts["target"])
        found, failure = called(find, lab.config)
        points.append(_point("after a kill it returns the new leader's", after, found, failure))
    return Check(tuple(points))


def _point(wish: str, leader: Any, found: Any, failure: str) -> tuple[str, bool]:
    good = leader is not None and _address(found) == _address(leader.address)
    return (wish if good else f"{wish}: {failure or f'it returned {found!r}'}"), good


def _address(text: Any) -> Any:
    """An address as it is compared: a slash at the end and capital letters change nothing."""
    return text.strip().rstrip("/").casefold() if isinstance(text, str) else text


_LEASE = {
    option.key: option
    for option in (
        options.EMBEDDED_RETRY_PERIOD,
        options.EMBEDDED_RENEW_DEADLINE,
        options.EMBEDDED_LEASE_DURATION,
    )
}


@safe
def check_timeouts(
    chosen: Mapping[str, Any] | None, *, survives: float, gap: float, renewals: int = 3
) -> Check:
    """Do the options for the lease of the embedded backend keep these promises?

    A leader paused for ``survives`` seconds still leads, a standby takes over at most ``gap``
    seconds after a leader fell silent, and a lease is renewed ``renewals`` times before it ends.

    >>> check_timeouts({}, survives=1.0, gap=3.0).passed
    True
    """
    if chosen is None:
        return Check((("the durations are chosen: none is given yet", False),))
    short = {key.rpartition(".")[2]: key for key in _LEASE}
    if isinstance(chosen, Mapping):
        chosen = {short.get(key, key): value for key, value in chosen.items()}
    given, problems = answers_of(chosen, _LEASE)
    for key in _LEASE:
        problems += _without_unit(key, given[key]) if key in given else []
    if problems:
        return Check(tuple(problems))
    texts = {key: _text(value) for key, value in given.items()}
    try:
        config = options.checked({**SHORT_TIMEOUTS, **texts})
    except HaworkError as error:
        return Check(((f"the options are refused: {error}", False),))
    lease = config.get_option(options.EMBEDDED_LEASE_DURATION)
    deadline = config.get_option(options.EMBEDDED_RENEW_DEADLINE)
    retry = config.get_option(options.EMBEDDED_RETRY_PERIOD)
    tolerated, longest = deadline - retry, lease + retry
    return Check(
        (
            (
                f"a pause of {tolerated:g} s is survived in any case; {survives:g} s are wanted",
                tolerated >= survives,
            ),
            (
                f"a silent leader is followed after at most {longest:g} s; {gap:g} s are allowed",
                longest <= gap,
            ),
            (
                f"a leader renews {int(deadline / retry)} times within its renew deadline; "
                f"{renewals} are wanted",
                deadline / retry >= renewals,
            ),
        )
    )


def _without_unit(key: str, value: Any) -> list[Point]:
    """Flink reads a number without a unit as milliseconds, which is hardly ever meant."""
    if isinstance(value, bool) or value is None or value is ...:
        return [(f"{key}: {value!r} is not a duration, write '8 s' or '800 ms'", False)]
    bare = str(value).strip()
    if not isinstance(value, timedelta) and bare.replace(".", "", 1).isdigit():
        wish = f"write '{bare} s' or '{bare} ms'"
        return [(f"{key}: {value!r} has no unit, and Flink reads it as ms; {wish}", False)]
    return []


def _text(value: Any) -> Any:
    return f"{value.total_seconds() * 1000:.0f} ms" if isinstance(value, timedelta) else value


@safe
def check_tolerance(other: LabCluster | None, lab: LabCluster | None = None) -> Check:
    """Did a leader on ZooKeeper keep its leadership while it was cut off for a moment?

    ``lab`` is the lesson's own, which is not another one.

    >>> check_tolerance(None).points[0]
    ('another lab was started', False)
    """
    started = other_lab(other, lab)
    if other is None or not started[1]:
        return Check((started,))
    events = other.event_list()
    cut = last(events, EventKind.FAULT, verb="partition")
    name = cut.facts["target"] if cut is not None else None
    later = after(events, cut)
    connection = [
        event.facts["state"]
        for event in later
        if event.kind is EventKind.STORE_CONNECTION and event.process == name
    ]
    leaders = [event.process for event in events if event.kind is EventKind.LEADERSHIP_GRANTED]
    lost = [
        event
        for event in later
        if event.kind is EventKind.LEADERSHIP_REVOKED and event.facts.get("reason") == "lost"
    ]
    back = "SUSPENDED" in connection and ConnectionState(connection[-1]).usable
    return Check(
        (
            started,
            (
                "it tolerates a suspended connection",
                other.config.get_option(options.ZK_TOLERATE_SUSPENDED),
            ),
            ("its leader was cut off from the store", name is not None and name in leaders),
            ("the connection was suspended", "SUSPENDED" in connection),
            ("and came back", back),
            ("the leader led on, under the same session id", back and not lost),
        )
    )


@safe
def check_awakening(lab: LabCluster, seconds: Any) -> Check:
    """Was a leader paused past its time, and for how many seconds did it believe afterwards?

    ``None`` is not an answer yet.

    >>> check_awakening(lab, None)                                         # doctest: +SKIP
    """
    events = lab.event_list()
    paused = last(events, EventKind.FAULT, verb="pause")
    name = paused.facts["target"] if paused is not None else None
    led = _leader_before(lab, paused)
    was_standby = paused is not None and led not in (None, name)
    granted = [
        event
        for event in after(events, paused)
        if event.kind is EventKind.LEADERSHIP_GRANTED and event.process != name
    ]
    woken = last(after(events, granted[0] if granted else None), EventKind.FAULT, verb="resume")
    revoked = [
        event
        for event in after(events, woken)
        if event.kind is EventKind.LEADERSHIP_REVOKED and event.process == name
    ]
    right: Any = ...
    if woken is not None and revoked and not was_standby:
        right = round(revoked[0].monotonic - woken.monotonic, 3)
        number = number_of(seconds)
        if number is not None and abs(number - right) <= _PRECISION:
            seconds = right
    wrong = f"{name} was a standby; {led} led" if was_standby else ""
    hint = "in seconds, from the event of resume to its leadership.revoked"
    return Check(
        (
            (f"the leader was paused{because(wrong)}", paused is not None and not was_standby),
            ("another one was granted leadership", bool(granted)),
            ("then the first was woken", woken is not None),
            ("and stepped back", bool(revoked)),
            answer("seconds in which it still believed", seconds, right, hint),
        )
    )


def _leader_before(lab: LabCluster, moment: Event | None) -> str | None:
    """Which process held the newest term at a moment; ``None`` when the log does not say."""
    held: str | None = None
    for event in lab.event_list():
        if moment is None or event.monotonic >= moment.monotonic:
            break
        if event.kind is EventKind.LEADERSHIP_GRANTED:
            held = event.process
    return held


@safe
def check_unseen_death(other: LabCluster | None, lab: LabCluster | None = None) -> Check:
    """Was the leader of another lab killed, with no supervisor to notice its death?

    ``lab`` is the lesson's own, which is not another one.

    >>> check_unseen_death(None).points[0]
    ('another lab was started', False)
    """
    started = other_lab(other, lab)
    if other is None or not started[1]:
        return Check((started,))
    config, takeovers = other.config, other.timeline().takeovers
    points = [
        started,
        ("no supervisor gives up a dead leader's lease", not config.get_option(options.SUPERVISOR)),
    ]
    if config.get_option(options.HA_TYPE) == "embedded":
        detected = config.get_option(options.EMBEDDED_CRASH_DETECTION)
        points.append(("no standby notices that a process is dead", not detected))
    leader = "its leader was killed, and another one leads"
    killed = [takeover.seconds for takeover in takeovers if takeover.cause == "kill"]
    points.append((f"{leader}, after {killed[-1]:.1f} s" if killed else leader, bool(killed)))
    return Check(tuple(points))
