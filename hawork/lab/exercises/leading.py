"""Checks about who leads: how it is found, and how long a change takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hawork.core import options
from hawork.core.errors import HaworkError
from hawork.core.events import Event, EventKind
from hawork.lab.exercises.check import Check, called
from hawork.lab.lab_options import SHORT_TIMEOUTS

if TYPE_CHECKING:
    from hawork.lab.cluster import LabCluster

__all__ = ["check_retrieval", "check_timeouts", "check_tolerance", "check_unseen_death"]


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
    cut = next((event for event in reversed(events) if _is_fault(event, "partition")), None)
    name = cut.facts["target"] if cut is not None else None
    later = [event for event in events if cut is not None and event.monotonic > cut.monotonic]
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
    back = "SUSPENDED" in connection and connection[-1] != "SUSPENDED"
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


def _is_fault(event: Event, verb: str) -> bool:
    return event.kind is EventKind.FAULT and event.facts["verb"] == verb


def check_unseen_death(other: LabCluster | None) -> Check:
    """Was the leader of another lab killed, with nobody there to notice its death?

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
