"""The inspector: from sources to what is wrong, what Flink will do, and what may be done.

The one way in. It reads, and never writes.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hawork.inspect.cluster import Cluster, Moment
from hawork.inspect.evidence import find_moment, find_store_moment, find_versions
from hawork.inspect.finding import Object
from hawork.inspect.follow import Progress, follow
from hawork.inspect.inspection import Inspection
from hawork.inspect.moments import files_are_missing, mark_tears
from hawork.inspect.questions.facts import Facts
from hawork.inspect.questions.table import answers, ask
from hawork.inspect.recovery import predict, running_versions
from hawork.inspect.report import as_text
from hawork.inspect.report_html import as_fragment
from hawork.inspect.savepoints import follow_savepoints
from hawork.inspect.sources import Sources, read_sources

__all__ = ["ShownInspection", "Sources", "inspect", "inspect_paths", "judge"]


_LOOKS = 3
"""How often a living cluster is looked at until its store and its files agree, or do not twice."""


_OBJECTS = 50_000


class ShownInspection(Inspection):
    """An inspection that shows itself, in a terminal and in a notebook."""

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_fragment(self)


def inspect(
    sources: Sources,
    *,
    target_version: str | None = None,
    at: float | None = None,
    progress: Progress | None = None,
) -> ShownInspection:
    """Look at everything in ``sources``.

    ``target_version``, such as ``2.1.1``: what that release would do with the data. ``at``: the
    moment of the data, in seconds since 1970, when it is known. ``ConfigurationError`` for a
    source that is not there at all; whatever else cannot be read is in ``not_looked_at``.
    """
    started = time.monotonic()
    with _rare_collections():
        found = _look(sources, target_version, at, progress)
        for _ in range(_LOOKS - 1):
            before = _gone(found.cluster)
            if not found.cluster.live or not before:
                break
            found = _look(sources, target_version, at, progress)
            if before & _gone(found.cluster):
                break
    return replace(found, seconds=time.monotonic() - started)


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for circles of objects less often: a stream makes thousands of objects at a time."""
    before = gc.get_threshold()
    if 0 < before[0] < _OBJECTS:
        gc.set_threshold(_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _look(
    sources: Sources, target_version: str | None, at: float | None, progress: Progress | None
) -> ShownInspection:
    if progress is not None and sources.live:
        progress("asking the HA store", 0, 0)
    cluster = read_sources(sources)
    latest = at if at is not None else min(time.time(), sources.newest_change())
    if at is not None or cluster.live:
        cluster.moment = Moment(latest, latest)
        cluster.store_moment = latest
    return judge(cluster, latest, target_version, progress)


def _gone(cluster: Cluster) -> set[Object]:
    """Pointers without their files: a leader may have removed both while we looked."""
    own = {
        each.entry.object
        for job in cluster.own.values()
        for each in job.checkpoints
        if each.damage is not None and each.damage.missing
    }
    return own | {
        each.entry.object
        for job in cluster.jobs.values()
        for each in job.checkpoints
        if each.moment == "of its files"
        and (files_are_missing(each) or (each.file is not None and not each.file.looked))
    }


def _miss_what_was_torn(cluster: Cluster) -> None:
    """Checkpoints of which neither the store nor the files tell the newest."""
    for job in cluster.jobs.values():
        if job.torn and job.replaced_by is None:
            cluster.miss(
                f"checkpoints of job {job.job_id}",
                "a leader replaced them while they were dumped: dump the store again",
            )


def judge(
    cluster: Cluster,
    latest: float,
    target_version: str | None = None,
    progress: Progress | None = None,
) -> ShownInspection:
    """Follow the pointers of a cluster, and say what follows; it was taken before ``latest``."""
    if cluster.store_read is None:
        cluster.store_read = latest
    mark_tears(cluster)
    follow(cluster, progress)
    _miss_what_was_torn(cluster)
    follow_savepoints(cluster)
    if cluster.moment.earliest is None:
        cluster.moment = find_moment(cluster, latest)
    cluster.store_moment = find_store_moment(cluster, cluster.moment.latest or latest)
    cluster.versions, cluster.versions_because = find_versions(cluster)
    recovery = predict(cluster, target_version)
    facts = Facts(cluster, recovery, running_versions(cluster, target_version))
    findings = ask(facts)
    return ShownInspection(cluster, recovery, findings, answers(facts, findings), target_version)


def inspect_paths(
    *,
    config: Path | str | None = None,
    configmaps: Path | str | None = None,
    zookeeper_dump: Path | str | None = None,
    zookeeper_data: Path | str | None = None,
    storage: Path | str | None = None,
    mapping: Mapping[str, str] | None = None,
    target_version: str | None = None,
    at: float | None = None,
) -> ShownInspection:
    """``inspect`` for files, in a notebook: what the command line takes, by the same names."""
    sources = Sources(config, configmaps, zookeeper_dump, zookeeper_data, storage, mapping or {})
    return inspect(sources, target_version=target_version, at=at)
