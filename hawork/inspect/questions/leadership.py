"""Who leads, who says so, and does it change too often (questions 6, 7, 8, 9, 14)?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hawork.backends.kubernetes.layout import LOCK
from hawork.inspect.cluster import LeaderAddress, Leadership
from hawork.inspect.finding import Finding, Object, Severity, is_alarm
from hawork.inspect.leading import never_leads
from hawork.inspect.questions.facts import Check, Facts, age, named, on_kubernetes, several
from hawork.inspect.versions import FlinkVersions

__all__ = ["CHECKS"]

_TAKEOVER = 15.0
"""Seconds that a takeover may take until every address is published."""
_QUIET = 600.0
"""Seconds between the newest trace of a leader and its dump from which on it may be dead."""
_FLAPPING = 5
"""Terms from which on one speaks of flapping ..."""
_SHORT_TERM = 600.0
"""... when they last less than this many seconds on average."""


def _held_for(facts: Facts, leadership: Leadership) -> float | None:
    """Seconds since the lock was taken, at the moment of the store."""
    since = None
    if leadership.record is not None:
        since = leadership.record.acquire_time
    elif leadership.latch:
        since = leadership.latch[0].entry.created
    if since is None or facts.store_now is None:
        return None
    return max(0.0, facts.store_now - since)


def _lock(leadership: Leadership) -> Object:
    return leadership.latch[0].entry.object if leadership.latch else leadership.place


def addresses(facts: Facts) -> Iterator[Finding]:
    """Do lock and published addresses agree?"""
    leadership = facts.cluster.leadership
    if leadership is None:
        return
    published = leadership.published
    persistent = [each for each in published if each.entry.place == "zookeeper"
                  and each.entry.persistent]  # fmt: skip
    free = leadership.exists and not leadership.held
    if free and published and not leadership.record_refused and not leadership.record_missing:
        places = (
            (leadership.place,) if on_kubernetes(facts)
            else (*(each.entry.object for each in published), leadership.place)
        )  # fmt: skip
        yield Finding(
            "address-without-lock", "warning", (6, 7), places,
            "the lock is free, and addresses are published: none leads, and clients are sent to "
            "one that does not",
            _published(published),
            "the leader let go and did not take its addresses with it, or a dump was copied back",
            safe="start a JobManager; if one runs, look at its log",
            unsafe="delete the ConfigMap" if on_kubernetes(facts) else "delete the whole tree",
        )  # fmt: skip
    elif persistent:
        yield Finding(
            "persistent-leader-address", "info", (6, 14),
            tuple(each.entry.object for each in persistent),
            "addresses of a leader are stored in znodes that belong to no session",
            _published(persistent),
            "a copy of the tree was written back; the next leader overwrites them",
            safe="start a JobManager", unsafe="",
        )  # fmt: skip
    if leadership.record_refused and not facts.cluster.own:
        return  # nothing that it says counts
    if leadership.held and not published:
        yield from _nobody_finds(facts, leadership)
    elif leadership.record is not None and leadership.held:
        yield from _lease(facts, leadership)


def _lease(facts: Facts, leadership: Leadership) -> Iterator[Finding]:
    """A lease that ran out is certain only when something in the data is younger than it."""
    record, published = leadership.record, leadership.published
    assert record is not None
    over = leadership.expired(facts.store_now)
    if over is not None:
        yield Finding(
            "leader-dead", "warning", (6, 7), tuple(each.entry.object for each in published),
            "the leader's lease ran out, and its addresses are still published",
            (f"the lease ran out {age(over)} before this data was taken", *_published(published)),
            "its process is dead or cut off: clients go to its address until another leads",
            safe="start a JobManager",
            unsafe="delete the ConfigMap to get rid of the address: the job graphs are in it",
        )  # fmt: skip
    elif not facts.cluster.live:
        yield Finding(
            "leader-dead",
            "info",
            (6, 7),
            tuple(each.entry.object for each in published),
            f"whether the leader lives is not known: its lease of {age(record.lease_duration)} ran "
            "when this data was taken",
            _published(published),
            "the addresses of a dead leader stay until another one leads; give --at if you know "
            "when the data was taken",
            safe="if no JobManager runs: start one",
            unsafe="delete the ConfigMap to get rid of the address: the job graphs are in it",
        )


def _published(addresses: list[LeaderAddress]) -> tuple[str, ...]:
    lines = [f"{each.component}: {each.information.address}" for each in addresses
             if each.information is not None]  # fmt: skip
    return tuple(lines[:6])


def _nobody_finds(facts: Facts, leadership: Leadership) -> Iterator[Finding]:
    held = _held_for(facts, leadership)
    expired = leadership.expired(facts.store_now)
    severity: Severity = "stuck"
    if expired is not None or (held is not None and held < _TAKEOVER):
        severity = "info"
    if any(node.entry.persistent for node in leadership.latch):
        severity = "info"  # the latch node itself is the trouble, and is told
    yield Finding(
        "leader-without-address", severity, (7, 6), (_lock(leadership),),
        "the lock is held, and no component has published an address: a leader that cannot be "
        "found",
        () if held is None else (f"the lock was taken {age(held)} before this data was",),
        "it may be recovering jobs; one that stays like this hangs (FLINK-40114)",
        safe="stop the holder so that another may lead",
        unsafe="delete the lock under a running holder",
    )  # fmt: skip


def two_leaders(facts: Facts) -> Iterator[Finding]:
    """Are components published under more than one leader session id?"""
    cluster, leadership = facts.cluster, facts.cluster.leadership
    if leadership is None:
        return
    # Keys of jobs that are no more are left by former leaders; they say nothing.
    counted = [each for each in leadership.published
               if each.job_id is None or (each.job_id in cluster.jobs
                                          and cluster.jobs[each.job_id].graphs)]  # fmt: skip
    sessions = Counter(
        str(each.information.session_id) for each in counted if each.information is not None
    )
    owners = {each.entry.owner for each in counted if each.entry.owner is not None}
    if len(sessions) < 2 and len(owners) < 2:
        return
    if len(sessions) >= 2:
        most = sessions.most_common(1)[0][0]
        odd = [each for each in counted if each.information is not None
               and str(each.information.session_id) != most]  # fmt: skip
        shown = tuple(f"{each.component}: {each.information.session_id} at "
                      f"{each.information.address}" for each in counted
                      if each.information is not None)  # fmt: skip
    else:
        leader = leadership.latch[0].entry.owner if leadership.latch else None
        odd = [each for each in counted if each.entry.owner not in (leader, None)]
        shown = tuple(f"{each.component}: session {each.entry.owner}" for each in counted)
    held = _held_for(facts, leadership)
    if held is not None and held < _TAKEOVER:
        return  # a takeover is under way: one component after the other is published
    yield Finding(
        "two-leaders", "fatal", (9, 15, 6), tuple(each.entry.object for each in odd),
        f"components are published under {several(max(len(sessions), len(owners)), 'leader')}: "
        "two JobManagers think that they lead, or did",
        shown[:6],
        "two clusters under one cluster-id, or a leader that was paused and writes on",
        safe="find and stop both, then start one", unsafe="start a third",
    )  # fmt: skip


def unreadable(facts: Facts) -> Iterator[Finding]:
    """Can lock and addresses be read?"""
    leadership = facts.cluster.leadership
    if leadership is None:
        return
    if leadership.record_refused:
        own = bool(facts.cluster.own)
        yield Finding(
            "lock-record-unreadable", "stuck" if own else "fatal", (6, 7), (leadership.place,),
            "the leader annotation of the ConfigMap cannot be read"
            + ("" if own else ": no JobManager will ever lead"),
            (leadership.record_refused,),
            "it was written by hand or by another program; each JobManager reads it before it "
            "leads, fails, and tries again, and none of them ends",
            safe="while no JobManager runs: back up, then write the annotation of a free lock",
            unsafe="remove the annotation, without which none leads either; or delete the "
            "ConfigMap: the job graphs are in it",
        )  # fmt: skip
    bad = [each for each in leadership.addresses if each.error]
    if bad:
        yield Finding(
            "leader-information-unreadable", "warning", (6, 7),
            tuple(each.entry.object for each in bad),
            f"{several(len(bad), 'published address', 'published addresses')} cannot be read",
            tuple(each.error for each in bad[:3]),
            "clients and TaskManagers fail on it until a leader writes it again",
            safe="start a JobManager", unsafe="delete more than this entry",
        )  # fmt: skip


def flapping(facts: Facts) -> Iterator[Finding]:
    """Does the leader change again and again?"""
    leadership = facts.cluster.leadership
    if leadership is None or leadership.created is None or facts.store_now is None:
        return
    lasted = facts.store_now - leadership.created
    if leadership.record is not None:
        terms = leadership.record.transitions
        shown = f"leaderTransitions is {terms}"
        acquired = leadership.record.acquire_time
        before = None if acquired is None else acquired - leadership.created
        if _counts_renewals(facts.cluster.versions) and before is not None and before < terms:
            return  # in so short a time no lock changes as often
    elif leadership.latch:
        # Each JobManager that registers, and each that registers again, takes the next number.
        terms = leadership.latch[-1].sequence + 1 - len(leadership.latch)
        shown = f"the latch is at number {leadership.latch[-1].sequence}"
    else:
        return
    if terms < _FLAPPING or lasted / terms >= _SHORT_TERM:
        return
    mean = lasted / terms
    places = dict.fromkeys((leadership.place, _lock(leadership)))
    yield Finding(
        "flapping", "warning", (8, 6), tuple(places),
        f"the leader changed {terms} times in {age(max(lasted, 0))}",
        (f"{shown}; the lock was made {age(max(lasted, 0))} before this data was taken",
         "more than one term a second" if mean < 1 else f"a term lasts {age(mean)} on average"),
        "a crash loop, or a lease or session timeout that is too short for this machine",
        safe="look at the JobManagers' logs",
        unsafe="a longer lease without knowing why",
    )  # fmt: skip


def _counts_renewals(versions: FlinkVersions) -> bool:
    """Whether ``leaderTransitions`` may grow with every renewal, as with the elector of Flink
    before 1.18 (fabric8 5): seen on real Flink 1.15.4.
    """
    return FlinkVersions("1.13", "1.17").overlaps(versions)


def never(facts: Facts) -> Iterator[Finding]:
    """Is there a lock that belongs to no process and never goes?"""
    leadership = facts.cluster.leadership
    if leadership is None:
        return
    stuck = [node for node in leadership.latch if node.entry.persistent]
    if stuck:
        yield Finding(
            "latch-without-session", "fatal", (6, 7, 14),
            tuple(node.entry.object for node in stuck),
            f"{several(len(stuck), 'node')} of the latch {'is' if len(stuck) == 1 else 'are'} not "
            "ephemeral: no JobManager will ever lead",
            ("ephemeralOwner is 0: no session owns it, and every JobManager queues behind it",),
            "the tree was copied back (zkcopy, zk-shell, a JSON restore)",
            safe="while no JobManager runs: back up, then delete this one node",
            unsafe="restart JobManagers until it works",
        )  # fmt: skip
    blocker = never_leads(facts.cluster)
    record = leadership.record
    if blocker is not None and leadership.record_missing:
        yield Finding(
            "lock-record-missing", "fatal", (6, 7), (leadership.place,),
            "the cluster's ConfigMap has no leader annotation: no JobManager will ever lead",
            (f"{LOCK} is not there",),
            "the ConfigMap was written by hand or by a tool: a JobManager that finds no annotation "
            "tries to create the ConfigMap, which is there already, again and again",
            safe="while no JobManager runs: back up, then write the annotation of a free lock",
            unsafe="delete the ConfigMap: the job graphs are in it",
        )  # fmt: skip
    if not stuck and blocker is not None and record is not None and not record.refused:
        assert record.renew_time is not None and facts.cluster.moment.latest is not None
        ahead = record.renew_time - facts.cluster.moment.latest
        yield Finding(
            "lease-in-the-future", "fatal", (6, 7, 26), (leadership.place,),
            f"the lease was renewed {age(ahead)} after this data was taken: no JobManager leads "
            "until then, and none says why",
            (f"holder {record.holder}",),
            "the clock of the holder was wrong, or the annotation was written by hand",
            safe="while no JobManager runs: back up, then empty holderIdentity",
            unsafe="delete the ConfigMap: the job graphs are in it",
        )  # fmt: skip


def locks(facts: Facts) -> Iterator[Finding]:
    """Is an entry locked by an owner that is no more?"""
    cluster = facts.cluster
    for job_id in dict.fromkeys(lock.job_id for lock in cluster.locks):
        stuck = [lock for lock in cluster.locks
                 if lock.job_id == job_id and lock.entry.persistent]  # fmt: skip
        if stuck:
            what = "job graph" if any(lock.of_job_graph for lock in stuck) else "checkpoint"
            yield Finding(
                "persistent-lock", "stuck", (14,),
                (*(lock.entry.object for lock in stuck), cluster.jobs[job_id].object),
                f"{several(len(stuck), 'lock')} of job {job_id} belong to no session: its {what} "
                "can never be removed",
                ("ephemeralOwner is 0",),
                "made by a copy tool or by hand: a job that is cancelled stays dirty, and 'Could "
                "not remove job graph' comes again for ever",
                safe="back up, then delete the lock node: no session owns it",
                unsafe="delete the job graph node with it", job_id=job_id,
            )  # fmt: skip


def owners(facts: Facts) -> Iterator[Finding]:
    """Are job graphs locked by a session whose process may be dead?

    Not when something else is wrong with the leadership: that says more of the same session.
    """
    cluster, leadership = facts.cluster, facts.cluster.leadership
    held = [lock for lock in cluster.locks if lock.entry.owner is not None and lock.of_job_graph]
    if not held or leadership is None:
        return
    others = (never, addresses, two_leaders, unreadable, flapping, locks)
    if any(is_alarm(finding) for check in others for finding in check(facts)):
        return
    contenders = {node.entry.owner for node in leadership.latch}
    apart = [lock for lock in held if lock.entry.owner not in contenders]
    leader = leadership.latch[0].entry.owner if leadership.latch else None
    that_of = f"that of the leader is {leader or 'not there'}"
    if apart:
        since = _held_for(facts, leadership)
        if since is not None and since < _TAKEOVER:
            return  # the former leader lets go
        sessions = dict.fromkeys(lock.entry.owner or "" for lock in apart)
        evidence = (
            f"session {named(sessions)}; {that_of}",
            "a JobManager that lives stands in the latch with its session",
        )
    else:
        silence = _silence(facts)
        if silence is None:
            return
        apart, sessions = held, dict.fromkeys(lock.entry.owner or "" for lock in held)
        evidence = (
            f"session {named(sessions)}; {that_of}",
            f"its jobs made no checkpoint for {age(silence)}; from a dump alone it cannot be known "
            "whether the session lives",
        )
    yield Finding(
        "lock-of-dead-owner",
        "warning",
        (14, 6),
        tuple(lock.entry.object for lock in apart),
        f"{several(len(apart), 'job graph')} locked by {several(len(sessions), 'session')}, which "
        "may be that of a dead process",
        evidence,
        "the locks of a dead process stay until its session runs out; until then its job graphs "
        "cannot be removed",
        safe="if its process is dead: wait for the session timeout; if it lives: nothing",
        unsafe="delete lock nodes of a session that may live",
    )


def _silence(facts: Facts) -> float | None:
    """Seconds for which a leader has left no trace that would have left one by then.

    ``None`` while its jobs may just not have made their next checkpoint, when the store itself was
    asked (a session is there only as long as its server hears of it), and when a part of its data
    could not be read: the end of the session may be there.
    """
    cluster, moment = facts.cluster, facts.cluster.moment
    if cluster.live or moment.earliest is None or moment.latest is None:
        return None
    if cluster.tree is not None and cluster.tree.notes:
        return None
    intervals = [
        graph.content.checkpoint_interval / 1000
        for job in cluster.jobs.values()
        for graph in job.graphs
        if graph.content is not None and graph.content.checkpoint_interval is not None
    ]
    silence = moment.latest - moment.earliest
    if not intervals or silence <= max(_QUIET, 3 * min(intervals)):
        return None
    return silence


CHECKS: tuple[Check, ...] = (
    never, addresses, two_leaders, unreadable, flapping, locks, owners,
)  # fmt: skip
