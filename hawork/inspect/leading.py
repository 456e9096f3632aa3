"""What keeps every JobManager from leading, or ends each one as soon as it leads. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hawork.inspect.cluster import Cluster
from hawork.inspect.outcomes import Blocker

__all__ = ["FUTURE", "cannot_publish", "never_leads"]

FUTURE: Final = 600.0
"""Seconds that a lease may lie ahead before one says that its clock, not its holder, is wrong."""


def never_leads(cluster: Cluster) -> Blocker | None:
    """What keeps every JobManager from leading, if anything does."""
    leadership = cluster.leadership
    if leadership is None:
        return None
    for node in leadership.latch:
        if node.entry.persistent:
            return Blocker(
                "a latch node that belongs to no session stands first for ever", node.entry.object
            )
    if leadership.record_missing and not cluster.own:
        # Source: fabric8's LeaderElector: without a record it creates the ConfigMap, which fails.
        return Blocker(
            "its ConfigMap has no leader annotation: every JobManager tries to create it, for ever",
            leadership.place,
        )
    if leadership.record_refused and not cluster.own:
        # Source: fabric8's LeaderElector: to acquire the lock it reads the record, and fails.
        return Blocker(
            "its leader annotation cannot be read: every JobManager tries again, for ever",
            leadership.place,
        )
    record, latest = leadership.record, cluster.moment.latest
    if record and record.holder and record.renew_time and latest is not None:
        ahead = record.renew_time + record.lease_duration - latest
        if ahead > record.lease_duration + FUTURE:
            return Blocker(
                "the lease was renewed in the future: until then every JobManager takes it for "
                "held", leadership.place,
            )  # fmt: skip
    return None


def cannot_publish(cluster: Cluster) -> Iterator[Blocker]:
    """What ends a JobManager when it publishes its address, right after it was granted.

    Source: ``KubernetesLeaderElectionDriver.publishLeaderInformation``: a failure is fatal. The
    lock itself is an annotation, which also an immutable ConfigMap lets change. Seen on real Flink
    1.20.5.
    """
    leadership = cluster.leadership
    for each in cluster.maps if leadership is not None else ():
        if each.immutable and leadership is not None and each.name == leadership.place.name:
            yield Blocker(
                "its ConfigMap is immutable: the address of a leader cannot be published",
                leadership.place, leads_first=True,
            )  # fmt: skip
