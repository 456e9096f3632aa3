"""When data was taken, and which release of Flink wrote it: what the data itself says."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hawork.inspect.cluster import Checkpoint, Cluster, Moment
from hawork.inspect.pointers import MARKER_UID_1_15, MARKER_UID_1_19
from hawork.inspect.versions import FlinkVersions

__all__ = ["find_moment", "find_store_moment", "find_versions"]

_ONLY_1_20 = (
    "execution.checkpointing.dir",
    "execution.checkpointing.savepoint-dir",
    "execution.checkpointing.num-retained",
    "execution.checkpointing.incremental",
)
"""Options that have these names since Flink 1.20."""


_SKEW = 60.0
"""Seconds by which the clocks of those who wrote a time and a dump may differ."""


def find_moment(cluster: Cluster, latest: float) -> Moment:
    """Between what moments the data was taken. ``latest``: when the dump was there for sure.

    The newest time in the data is the earliest moment, but for a time well after ``latest``, which
    can only come of a wrong clock.
    """
    times = [time for time in _times(cluster) if time <= latest + _SKEW]
    earliest = max(times, default=None)
    return Moment(earliest, latest if earliest is None else max(latest, earliest))


def find_store_moment(cluster: Cluster, latest: float | None) -> float | None:
    """The earliest moment at which the store can have been dumped: storageDir may be much later.

    Besides its own times: a file that it points to was there already.
    """
    least = math.inf if latest is None else latest + _SKEW
    return max((time for time in _store_times(cluster) if time <= least), default=None)


def _times(cluster: Cluster) -> Iterator[float]:
    yield from _store_times(cluster)
    if cluster.files is not None:
        for file in cluster.files:
            if file.modified is not None:
                yield file.modified


def _store_times(cluster: Cluster) -> Iterator[float]:
    if cluster.store_moment is not None:
        yield cluster.store_moment
    leadership = cluster.leadership
    if leadership is not None:
        if leadership.created is not None:
            yield leadership.created
        if leadership.record is not None and leadership.record.renew_time is not None:
            yield leadership.record.renew_time
        for node in leadership.latch:
            yield from (time for time in (node.entry.created, node.entry.changed) if time)
        for address in leadership.addresses:
            if address.entry.changed is not None:
                yield address.entry.changed
    for stored in cluster.pointers:
        yield from (time for time in (stored.entry.created, stored.entry.changed) if time)
        if isinstance(stored, Checkpoint) and stored.content is not None:
            yield stored.content.completion_timestamp / 1000
    for job in cluster.jobs.values():
        if job.counter is not None and job.counter.entry.changed is not None:
            yield job.counter.entry.changed


def _written(cluster: Cluster) -> Iterator[tuple[float, FlinkVersions, str]]:
    """When what was written, as far as that is known (else 0), and by which releases."""
    for job in cluster.jobs.values():
        for graph in job.graphs:
            time = graph.entry.changed or graph.entry.created or 0.0
            if graph.content is not None:
                yield time, graph.content.flink_versions, f"job graph of {job.job_id}"
            elif graph.plan:
                yield time, FlinkVersions("2.0"), "execution plans"
    for job in cluster.jobs.values():
        for checkpoint in job.checkpoints:
            content = checkpoint.content
            if content is not None:
                time = content.completion_timestamp / 1000
                yield time, content.flink_versions, f"checkpoint of {job.job_id}"


def find_versions(cluster: Cluster) -> tuple[FlinkVersions, list[str]]:
    """The releases that may have run the cluster, and why.

    Where data of two releases lies side by side, as after an upgrade that was broken off, the one
    that wrote last ran it last.
    """
    found = FlinkVersions("1.13")
    because: list[str] = []

    def narrow(versions: FlinkVersions, why: str) -> None:
        nonlocal found
        narrower = found & versions
        if narrower != found:
            found = narrower
            because.append(f"{why}: Flink {versions}")
        elif not found.overlaps(versions):
            because.append(f"but {why}: Flink {versions}, and older")

    for _, versions, why in sorted(_written(cluster), key=lambda each: -each[0]):
        narrow(versions, why)
    if any(file.kind == "execution plan" for file in cluster.loose):
        narrow(FlinkVersions("2.0"), "files of execution plans")
    settings = cluster.settings
    if settings.source is not None:
        if any(key in settings.values for key in _ONLY_1_20):
            narrow(FlinkVersions("1.20"), "option names of the configuration")
        elif settings.source.endswith("config.yaml"):
            narrow(FlinkVersions("1.19"), "config.yaml")
    graphs = [graph for job in cluster.jobs.values() for graph in job.graphs]
    if graphs and not any(graph.plan for graph in graphs) and not found.first.startswith("2."):
        narrow(FlinkVersions(last="1.20"), "job graphs, not execution plans")
    uids = {stored.pointer.serial_version_uid for stored in cluster.pointers
            if stored.pointer is not None}  # fmt: skip
    # A pointer that contradicts everything else is not the release's: it is invisible to it.
    if MARKER_UID_1_19 in uids and (found.last is None or "1.19" in found or "1.20" in found):
        narrow(FlinkVersions("1.19"), "serialVersionUID of pointers")
    elif uids == {MARKER_UID_1_15} and "1.18" in found:
        narrow(FlinkVersions("1.15", "1.18"), "serialVersionUID of pointers")
    return found, because
