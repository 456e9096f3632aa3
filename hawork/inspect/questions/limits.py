"""Sizes, numbers and times that do not fit (questions 10, 12, 13, 19)."""

from __future__ import annotations

from collections.abc import Iterator

from hawork.core.units import format_duration
from hawork.inspect.finding import Finding, Object
from hawork.inspect.leading import cannot_publish
from hawork.inspect.questions.facts import Check, Facts, several

__all__ = ["CHECKS"]

MAX_CONFIGMAP = 1 << 20
"""Bytes that Kubernetes lets a ConfigMap have."""
_NEAR = 0.9

_SESSION = "high-availability.zookeeper.client.session-timeout"
_CONNECTION = "high-availability.zookeeper.client.connection-timeout"
_LEASE = "high-availability.kubernetes.leader-election.lease-duration"
_DEADLINE = "high-availability.kubernetes.leader-election.renew-deadline"
_RETRY = "high-availability.kubernetes.leader-election.retry-period"
_FLINK_SESSION = 60.0
_SERVER_LIMIT = 40.0
"""Seconds that a ZooKeeper server with its own defaults (20 ticks of 2 s) grants at most."""
_SERVER_LEAST = 4.0
"""... and at least (2 ticks)."""
_JITTER = 1.2
"""fabric8's ``LeaderElector`` waits up to this much of a retry period longer."""


def sizes(facts: Facts) -> Iterator[Finding]:
    """How near to 1 MiB is each ConfigMap, and what fills it?"""
    cluster = facts.cluster
    for name, size in cluster.sizes.items():
        if size < _NEAR * MAX_CONFIGMAP:
            continue
        evidence = [f"{size} of {MAX_CONFIGMAP} bytes"]
        leadership = cluster.leadership
        if leadership is not None and leadership.place.name == name:
            alive = {job.job_id for job in cluster.jobs.values() if job.graphs}
            dead = [each for each in leadership.addresses if each.job_id is not None
                    and each.job_id not in alive]  # fmt: skip
            if dead:
                evidence.append(f"{several(len(dead), 'leader key')} of jobs without job graph")
        yield Finding(
            "configmap-near-limit", "warning", (12, 2), (Object("configmap", name),),
            f"ConfigMap {name} has {100 * size // MAX_CONFIGMAP} % of what Kubernetes takes",
            tuple(evidence),
            "keys of jobs that are no more stay (FLINK-31135); each update sends all of it, and "
            "the next new key does not fit",
            safe="while no JobManager runs: back up, then remove the leader keys of jobs without "
            "job graph",
            unsafe="delete the ConfigMap",
        )  # fmt: skip


def held(facts: Facts) -> Iterator[Finding]:
    """Is a ConfigMap immutable, or on its way out?"""
    for each in facts.cluster.maps:
        if each.name not in facts.cluster.sizes:
            continue
        place = (Object("configmap", each.name),)
        if each.immutable:
            ends = any(blocker.decided_by == place[0] for blocker in cannot_publish(facts.cluster))
            yield Finding(
                "configmap-immutable", "fatal" if ends else "stuck", (12,), place,
                f"ConfigMap {each.name} is immutable: "
                + ("a JobManager ends as soon as it leads" if ends
                   else "no JobManager can write to it"),
                ("immutable: true",),
                "the API server refuses each change of data: no address is published there, no "
                "checkpoint completed, no job removed",
                safe="while no JobManager runs: back up, delete the ConfigMap, and create it again "
                "from the backup without immutable",
                unsafe="delete it without a backup",
            )  # fmt: skip
        if each.deleted_text:
            waits = ", ".join(each.finalizers) or "no finalizer any more"
            yield Finding(
                "configmap-being-deleted", "warning", (10,), place,
                f"ConfigMap {each.name} was deleted, and is kept by finalizers only",
                (f"deletionTimestamp {each.deleted_text}", f"waits for {waits}"),
                "it goes, with all that is written to it until then, as soon as its finalizers are "
                "removed: a deletion cannot be taken back",
                safe="back up; then, while no JobManager runs, remove the finalizers, and create "
                "it again from the backup",
                unsafe="remove the finalizers while a JobManager runs",
            )  # fmt: skip


def retained(facts: Facts) -> Iterator[Finding]:
    """Are more checkpoints retained than configured?"""
    most = facts.cluster.settings.retained
    if most is None:
        return
    over = [job for job in facts.cluster.jobs.values() if len(job.checkpoints) > most]
    if over:
        yield Finding(
            "more-than-retained", "info", (13,),
            tuple(each.entry.object for job in over for each in job.checkpoints),
            f"{several(len(over), 'job retains', 'jobs retain')} more than "
            f"{several(most, 'checkpoint')}, which is configured",
            tuple(f"job {job.job_id}: {len(job.checkpoints)}" for job in over[:5]),
            "the option was changed, or a job sets its own: the surplus goes at the next "
            "checkpoint; until then every one must be readable for recovery",
            safe="nothing", unsafe="delete the older files and leave their pointers",
        )  # fmt: skip


def timeouts(facts: Facts) -> Iterator[Finding]:
    """Do the timeouts fit each other, and what the server grants?"""
    if facts.cluster.settings.source is None:
        return
    if facts.cluster.settings.backend == "kubernetes":
        found = _of_the_lease(facts)
    elif facts.cluster.settings.backend == "zookeeper":
        found = _of_the_session(facts)
    else:
        found = []
    for options, title, evidence in found:
        yield Finding(
            "timeouts-do-not-fit", "warning", (19,),
            tuple(Object("option", option) for option in options), title, tuple(evidence),
            "a failover takes as long as was negotiated, not as long as was configured",
            safe="change the option, then restart one JobManager after the other",
            unsafe="a longer timeout without knowing why",
        )  # fmt: skip


_Misfit = tuple[tuple[str, ...], str, list[str]]


def _of_the_session(facts: Facts) -> list[_Misfit]:
    settings = facts.cluster.settings
    asked = settings.duration(_SESSION)
    found: list[_Misfit] = []
    granted = set(facts.cluster.session_timeouts.values())
    if asked is not None and asked > max(_SERVER_LIMIT, _FLINK_SESSION):
        evidence = [f"a server grants at most maxSessionTimeout, which is "
                    f"{format_duration(_SERVER_LIMIT)} by default"]  # fmt: skip
        if granted:
            evidence.append(f"sessions in this data have {_listed(granted)}")
        if asked not in granted:
            title = (
                f"a session timeout of {format_duration(asked)} is asked for, which a ZooKeeper "
            )
            found.append(((_SESSION,), f"{title}server does not grant by default", evidence))
    elif asked is not None and asked < _SERVER_LEAST and asked not in granted:
        title = f"a session timeout of {format_duration(asked)} is asked for; a ZooKeeper server "
        least = f"which is {format_duration(_SERVER_LEAST)} by default"
        found.append(((_SESSION,), f"{title}grants at least 2 ticks", [least]))
    connection = settings.duration(_CONNECTION)
    session = asked if asked is not None else _FLINK_SESSION
    if connection is not None and connection > session:
        title = "the connection timeout is longer than the session timeout: a session ends before "
        both = f"{format_duration(connection)} and {format_duration(session)}"
        found.append(((_CONNECTION, _SESSION), f"{title}its connection is given up", [both]))
    return found


def _listed(seconds: set[float]) -> str:
    return ", ".join(format_duration(each) for each in sorted(seconds))


def _of_the_lease(facts: Facts) -> list[_Misfit]:
    settings = facts.cluster.settings
    given = {key: settings.duration(key) for key in (_LEASE, _DEADLINE, _RETRY)}
    if all(value is None for value in given.values()):
        return []  # Flink's own: the lease and the renew deadline are both 15 s
    lease = _or(given[_LEASE], 15.0)
    deadline = _or(given[_DEADLINE], 15.0)
    retry = _or(given[_RETRY], 5.0)
    found: list[_Misfit] = []
    if deadline > lease or (deadline == lease and (lease, deadline) != (15.0, 15.0)):
        found.append(((_LEASE, _DEADLINE), "the renew deadline is not shorter than the lease: a "
                      "leader may still think that it leads when another one does",
                      [f"renew-deadline {format_duration(deadline)}, lease-duration "
                       f"{format_duration(lease)}"]))  # fmt: skip
    if retry * (1 + _JITTER) > deadline and retry > 0:
        found.append(((_RETRY, _DEADLINE), "the retry period leaves room for less than one renewal "
                      "before the renew deadline: one slow answer ends the leadership",
                      [f"retry-period {format_duration(retry)}, up to "
                       f"{format_duration(retry * (1 + _JITTER))} with its jitter; renew-deadline "
                       f"{format_duration(deadline)}"]))  # fmt: skip
    return found


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


CHECKS: tuple[Check, ...] = (sizes, held, retained, timeouts)
