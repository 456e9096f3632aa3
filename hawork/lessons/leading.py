"""Checks about who leads: how it is found, and how long a change takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hawork.core import options
from hawork.core.connection import ConnectionState
from hawork.core.errors import HaworkError
from hawork.core.events import Event, EventKind
from hawork.lab.options import SHORT_TIMEOUTS
from hawork.lessons.check import Check, answer, called

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
    good = leader is not None and found == leader.address
    return (wish if good else f"{wish}: {failure or f'it returned {found!r}'}"), good


def check_timeouts(
    chosen: Mapping[str, Any], *, survives: float, gap: float, renewals: int = 3
) -> Check:
    """Do the options for the lease of the embedded backend keep these promises?

    A leader paused for ``survives`` seconds still leads, a standby takes over at most ``gap``
    seconds after a leader fell silent, and a lease is renewed ``renewals`` times before it ends.

    >>> check_timeouts({}, survives=1.0, gap=3.0).passed
    True
    """
    try:
        config = options.checked({**SHORT_TIMEOUTS, **chosen})
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


def check_tolerance(other: LabCluster | None) -> Check:
    """Did a leader on ZooKeeper keep its leadership while it was cut off for a moment?

    >>> check_tolerance(None).points[0]
    ('another lab was started', False)
    """
    if other is None:
        return Check((("another lab was started", False),))
    events = other.event_list()
    cut = _last(events, EventKind.FAULT, verb="partition")
    name = cut.facts["target"] if cut is not None else None
    later = _after(events, cut)
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
            ("another lab was started", True),
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


def check_awakening(lab: LabCluster, seconds: float | None) -> Check:
    """Was a leader paused past its time, and for how many seconds did it believe afterwards?

    ``None`` is not an answer yet.

    >>> check_awakening(lab, None)                                         # doctest: +SKIP
    """
    events = lab.event_list()
    paused = _last(events, EventKind.FAULT, verb="pause")
    name = paused.facts["target"] if paused is not None else None
    granted = [
        event
        for event in _after(events, paused)
        if event.kind is EventKind.LEADERSHIP_GRANTED and event.process != name
    ]
    woken = _last(_after(events, granted[0] if granted else None), EventKind.FAULT, verb="resume")
    revoked = [
        event
        for event in _after(events, woken)
        if event.kind is EventKind.LEADERSHIP_REVOKED and event.process == name
    ]
    right: Any = ...
    if woken is not None and revoked:
        right = round(revoked[0].monotonic - woken.monotonic, 3)
        if isinstance(seconds, (int, float)) and abs(seconds - right) <= _PRECISION:
            seconds = right
    hint = "from the event of resume to its leadership.revoked"
    return Check(
        (
            ("the leader was paused", paused is not None),
            ("another one was granted leadership", bool(granted)),
            ("then the first was woken", woken is not None),
            ("and stepped back", bool(revoked)),
            answer("seconds in which it still believed", seconds, right, hint),
        )
    )


def _last(events: Sequence[Event], kind: EventKind, **facts: Any) -> Event | None:
    """The last event of a kind that says so."""
    for event in reversed(events):
        if event.kind is kind and facts.items() <= event.facts.items():
            return event
    return None


def _after(events: Sequence[Event], event: Event | None) -> list[Event]:
    """What happened after an event; nothing, if it never happened."""
    return [each for each in events if event is not None and each.monotonic > event.monotonic]


def check_unseen_death(other: LabCluster | None) -> Check:
    """Was the leader of another lab killed, with no supervisor to notice its death?

    >>> check_unseen_death(None).points[0]
    ('another lab was started', False)
    """
    if other is None:
        return Check((("another lab was started", False),))
    config, takeovers = other.config, other.timeline().takeovers
    points = [
        ("another lab was started", True),
        ("no supervisor gives up a dead leader's lease", not config.get_option(options.SUPERVISOR)),
    ]
    if config.get_option(options.HA_TYPE) == "embedded":
        detected = config.get_option(options.EMBEDDED_CRASH_DETECTION)
        points.append(("no standby notices that a process is dead", not detected))
    leader = "its leader was killed, and another one leads"
    killed = [takeover.seconds for takeover in takeovers if takeover.cause == "kill"]
    points.append((f"{leader}, after {killed[-1]:.1f} s" if killed else leader, bool(killed)))
    return Check(tuple(points))
