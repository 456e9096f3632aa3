"""What no live cluster or job refers to: whose is it, and how old (questions 2, 15, 20, 24)?

That nothing here points to a file does not make it garbage: two clusters may share a directory.
A file says itself whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from hawork.inspect.cluster import Cluster, JobView, LooseFile
from hawork.inspect.finding import Finding, Object
from hawork.inspect.questions.facts import Check, Facts, age, named, several

__all__ = ["CHECKS"]

_YOUNG = 86400.0
"""Seconds within which a file of an unknown job may be that of a cluster that runs."""
_UNDER_WAY = 3600.0
"""Seconds within which a file may be one whose pointer was about to be written."""


def loose_files(facts: Facts) -> Iterator[Finding]:
    """Whose are the files in storageDir that nothing points to?"""
    cluster = facts.cluster
    if not cluster.store_looked:
        return
    orphans: list[LooseFile] = []
    half: list[LooseFile] = []
    foreign: list[LooseFile] = []
    later: list[LooseFile] = []
    known = {job.job_id for job in cluster.jobs.values()}
    explained = not cluster.stored_jobs  # all of them are lost, which is said elsewhere
    for file in cluster.loose:
        if file.later:
            later.append(file)
        elif file.error:
            (half if _within(facts, file, _UNDER_WAY) else orphans).append(file)
        elif file.job_id in known:
            job = cluster.jobs[file.job_id or ""]
            if _needed(facts, job, file):
                continue
            newer = file.checkpoint_id is not None and file.checkpoint_id > _newest(job)
            (half if newer and _within(facts, file, _UNDER_WAY) else orphans).append(file)
        elif not explained:
            (foreign if _within(facts, file, _YOUNG) else orphans).append(file)
    if half:
        yield Finding(
            "half-written", "info", (24, 20), tuple(file.object for file in half),
            f"{several(len(half), 'file')} without a pointer, as young as the newest data",
            tuple(f"{file.name}, {file.size} bytes" for file in half[:3]),
            "a checkpoint was being added when the process died: the file comes first, then the "
            "pointer; harmless",
            safe="leave it until the cluster runs again", unsafe="point to it",
        )  # fmt: skip
    if later:
        jobs = list(dict.fromkeys(file.job_id for file in later if file.job_id))
        yield Finding(
            "dump-of-two-moments", "info", (24, 3),
            (*(file.object for file in later), *(Object("job", job) for job in jobs)),
            f"{several(len(jobs), 'job')} came after the store was dumped",
            tuple(_described(facts, file) for file in later[:3]),
            "a leader went on between the dumps of store and storage",
            safe="stop the JobManagers, or look at the living cluster, to see one moment",
            unsafe="take the files for garbage",
        )  # fmt: skip
    if orphans:
        yield Finding(
            "orphan-files", "info", (20, 3), tuple(file.object for file in orphans),
            f"{several(len(orphans), 'file')} in storageDir that no pointer names, "
            f"{sum(file.size for file in orphans)} bytes",
            tuple(_described(facts, file) for file in orphans[:10]),
            "left by a crash between file and pointer; Flink never collects them",
            safe="move them away after a backup, when they are older than a day and every pointer "
            "of their job is whole",
            unsafe="delete by age alone",
        )  # fmt: skip
    if foreign:
        jobs = list(dict.fromkeys(file.job_id for file in foreign if file.job_id))
        yield Finding(
            "files-of-another-cluster", "warning", (15, 20, 3),
            (*(file.object for file in foreign), *(Object("job", job) for job in jobs)),
            f"{several(len(foreign), 'file')} of {several(len(jobs), 'job')} that this HA store "
            "does not know, as young as our own",
            tuple(_described(facts, file) for file in foreign[:10]),
            "another cluster may use the same high-availability.cluster-id and storageDir; that "
            "nothing here points to the files does not make them garbage",
            safe="find the other cluster; give each its own high-availability.cluster-id",
            unsafe="delete unreferenced files: it destroys the other cluster's HA data",
        )  # fmt: skip


def _newest(job: JobView) -> int:
    ids = [each.checkpoint_id for each in job.checkpoints if each.checkpoint_id is not None]
    return max(ids, default=0)


def _needed(facts: Facts, job: JobView, file: LooseFile) -> bool:
    """Whether another finding names this file as what a broken pointer should lead to."""
    if file.kind != "completed checkpoint":
        whole = any(facts.fate(graph) == "read" for graph in job.graphs)
        return not whole
    if not job.checkpoints:
        return job.clean is None and job.dirty is None and not job.never_pointed
    for each in job.checkpoints:
        if each.checkpoint_id != file.checkpoint_id:
            continue
        wrong = each.content is not None and each.content.job_id != job.job_id
        if each.fault is not None or wrong:
            return True
    return False


def _within(facts: Facts, file: LooseFile, seconds: float) -> bool:
    """Whether a file is not much older than the newest data; unknown ages count as young."""
    if file.modified is None or facts.now is None:
        return True
    return facts.now - file.modified <= seconds


def _described(facts: Facts, file: LooseFile) -> str:
    whose = f"of job {file.job_id}" if file.job_id else f"unreadable ({file.error})"
    if file.checkpoint_id is not None:
        whose = f"checkpoint {file.checkpoint_id} {whose}"
    old = ""
    if file.modified is not None and facts.now is not None:
        old = f", {age(max(0.0, facts.now - file.modified))} old"
    return f"{file.name}: {whose}, {file.size} bytes{old}"


def other_clusters(facts: Facts) -> Iterator[Finding]:
    """Which other clusters are in the same dump, and do they live?"""
    cluster = facts.cluster
    for other in cluster.others:
        reachable = _reachable(cluster, other.urls)
        old = (
            other.renewed is not None and facts.now is not None
            and facts.now - other.renewed > _YOUNG
        )  # fmt: skip
        dead = cluster.backend == "kubernetes" and old and not reachable
        if dead:
            assert other.renewed is not None and facts.now is not None
            yield Finding(
                "abandoned-configmaps", "info", (2,), other.objects,
                f"{several(len(other.objects), 'ConfigMap')} of cluster-id {other.cluster_id}, "
                "which seems to be gone",
                (f"its lease was renewed last {age(facts.now - other.renewed)} ago",
                 f"{several(len(other.urls), 'pointer')} of it, none to a file in this storage"),
                "HA ConfigMaps have no owner: deleting a deployment leaves them",
                safe="ask whose cluster it was; export them, then delete them by label "
                f"app={other.cluster_id}",
                unsafe="delete everything of configmap-type=high-availability",
            )  # fmt: skip
        else:
            yield Finding(
                "another-cluster", "info", (2, 15), other.objects,
                f"cluster {other.cluster_id} is in the same store and was not looked at",
                (f"{several(reachable, 'file')} of it in this storage",) if reachable else (),
                "several clusters share a namespace or a ZooKeeper, which is normal",
                safe="name it with --config to look at it", unsafe="",
            )  # fmt: skip


def _reachable(cluster: Cluster, urls: list[str]) -> int:
    if cluster.files is None:
        return 0
    names = [cluster.files.name_of(url) for url in urls]
    return sum(name is not None and cluster.files.get(name) is not None for name in names)


def shared_place(facts: Facts) -> Iterator[Finding]:
    """Do pointers lead to files of another cluster's directory?"""
    cluster = facts.cluster
    own = cluster.settings.ha_directory
    if own is None or cluster.files is None:
        return
    place = cluster.files.name_of(own)
    odd = [stored for stored in cluster.pointers if stored.file is not None
           and place is not None and stored.file.looked
           and not stored.file.name.startswith(f"{place}/")]  # fmt: skip
    if odd:
        yield Finding(
            "another-cluster", "info", (15, 22), tuple(each.entry.object for each in odd),
            f"{several(len(odd), 'pointer')} lead out of {own}",
            (named(each.file.name for each in odd if each.file is not None),),
            "storageDir or high-availability.cluster-id was changed while jobs ran",
            safe="nothing", unsafe="remove the old directory",
        )  # fmt: skip


CHECKS: tuple[Check, ...] = (loose_files, other_clusters, shared_place)
