"""A store and a storage that were dumped one after the other, while a JobManager went on.

It adds a checkpoint (file, then pointer) and then removes the oldest (pointer, then its files): a
pointer without its files, beside newer checkpoints that no pointer names, is not damaged but
older than the storage; and the reverse. Only where a leader was there at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from hawork.inspect.cluster import Checkpoint, Cluster, JobView, LooseFile, StoredPointer
from hawork.inspect.evidence import find_store_moment

__all__ = [
    "files_are_missing",
    "is_led",
    "mark_later",
    "mark_moments",
    "mark_tears",
    "times_are_original",
]

_UNDER_WAY: Final = 2.0
"""Seconds from a checkpoint's file to its pointer, and for the clocks of those who wrote them."""
_APART: Final = 120.0
"""Seconds by which a storage is copied before its store, or both are not of one incident."""
_ORIGINAL: Final = 60.0
"""Seconds that a checkpoint's file is written after its completion, with the clocks' difference."""
_SECOND: Final = 1.0
"""Kubernetes tells when an object was made to the second."""


def times_are_original(cluster: Cluster) -> bool:
    """Whether the times of the files may be compared with that of the store.

    A checkpoint says itself when it was completed, if it is not a savepoint that a job began with,
    and the store when a job came. A copy that is not told to keep them ('cp -r') gives all files
    its own time, and each would seem to have come after the store was dumped.
    """
    files = cluster.files
    if files is None:
        return False
    written: list[tuple[str, float | None]] = []
    contents = [(each.name, each.content) for each in cluster.loose]
    for job in cluster.jobs.values():
        written += [(each.file.name, _born(cluster, job, each)) for each in job.graphs if each.file]
        contents += [(each.file.name, each.content) for each in job.checkpoints if each.file]
    written += [(name, content.completion_timestamp / 1000) for name, content in contents
                if content is not None and content.restored_properties is None]  # fmt: skip
    apart = [
        abs(found.modified - when)
        for name, when in written
        if when is not None
        and (found := files.get(name)) is not None and found.modified is not None
    ]  # fmt: skip
    return all(each <= _ORIGINAL for each in apart) if apart else cluster.live


def _born(cluster: Cluster, job: JobView, stored: StoredPointer) -> float | None:
    """When a pointer came; on Kubernetes a job's with its ConfigMap, and a checkpoint's at any time
    until the lease of its leader runs out.
    """
    if stored.entry.place != "kubernetes":
        return stored.entry.created
    if isinstance(stored, Checkpoint):
        return None if cluster.leadership is None else cluster.leadership.lease_end
    place = None if job.place is None else job.place.name
    made = next((each.created for each in cluster.maps if each.name == place), None)
    return None if made is None else made + _SECOND


def mark_moments(cluster: Cluster) -> None:
    """Say of every checkpoint whose files are of another moment than its pointer."""
    if cluster.files is None or not is_led(cluster):
        return
    for job in cluster.jobs.values():
        _mark_end(cluster, job)
    numbered = {job.job_id: _numbered(job) for job in cluster.jobs.values() if not job.ended}
    running = [job for job in cluster.jobs.values() if not job.ended]
    went_on = any(_went_on(cluster, job, numbered[job.job_id]) for job in running)
    newest = max((file.modified or 0.0 for file in cluster.files), default=0.0)
    for job in running:
        _mark_after(cluster, job, newest)
        if pointers := numbered[job.job_id]:
            _of_job(cluster, job, pointers, went_on=went_on)
        elif known := _known(cluster, job):
            following = 1 if job.counter is None else job.counter.value
            # The one before the next id may have been under way. Without a counter none was: all of
            # them came when the store had been read.
            margin = 0.0 if job.counter is None else _UNDER_WAY
            early = 1 if _was_under_way(cluster, job, margin=margin) else 0
            if job.torn or (following is not None and min(known) >= following - early
                            and (early or job.counter is not None)):  # fmt: skip
                job.replaced_by = max(known)


def _mark_end(cluster: Cluster, job: JobView) -> None:
    """A result says that it ended, and its job graph, or all of a checkpoint, is gone already.

    Where no result is kept all of its files have to be gone, and others be younger than the dump.
    Where the result came when the store was dumped a file of a checkpoint is enough: its folder may
    have been copied earlier.
    """
    result = job.clean or job.dirty
    if result is None:
        pointers = (*job.graphs, *job.checkpoints)
        if (
            job.graphs
            # A leader certainly went on: something is younger than the store's dump.
            and any(_is_as_young(cluster, each.modified, 0.0) for each in cluster.files or ())
            and all(each.file is not None and each.file.missing for each in pointers)
        ):
            _end(job)
        return
    if result.dirty and result.error:
        return
    folders = _folders(cluster, job)
    if _is_as_young(cluster, result.modified):
        folders = set()
    gone = [*job.graphs, *(each for each in job.checkpoints if each.checkpoint_id not in folders)]
    if any(each.file is not None and each.file.missing for each in gone):
        _end(job)


def _mark_after(cluster: Cluster, job: JobView, newest: float) -> None:
    """Pointers that came when the storage had been copied: it has nothing as new of their job.

    Either they are younger than the newest file of all, not by more than a minute or two since a
    storage may have been put back to what it was before; or there still are as many files of
    checkpoints that they replaced.
    """
    folders, loose = _folders(cluster, job), _loose(cluster, job)
    oldest = min((each.checkpoint_id or 0 for each in job.checkpoints), default=0)
    replaced = sum(each < oldest for each in loose) if folders else 0
    known = max(folders | loose, default=-1)
    least = known + 1
    for stored in (*job.graphs, *reversed(job.checkpoints)):
        born = _born(cluster, job, stored) if cluster.original_times else None
        after = born is not None and 0 < born - newest <= _APART
        gone = stored.file is not None and stored.file.missing
        if isinstance(stored, Checkpoint):
            gone &= (stored.checkpoint_id or 0) >= least
            after |= replaced > 0
        if gone and after:
            stored.moment = "after its files"
            least = known  # its _metadata may have been copied, and its file not yet
            replaced -= isinstance(stored, Checkpoint)


def _end(job: JobView) -> None:
    job.ended = True
    for checkpoint in job.checkpoints:
        checkpoint.moment = "before its files"


def mark_later(cluster: Cluster) -> None:
    """Say of files of jobs that the store does not know that they came after it was dumped."""
    if not is_led(cluster):
        return
    stored = {job.job_id for job in cluster.stored_jobs}
    by_job: dict[str, list[LooseFile]] = {}
    for file in cluster.loose:
        if file.job_id and file.job_id not in stored:
            by_job.setdefault(file.job_id, []).append(file)
    for files in by_job.values():
        if all(_is_as_young(cluster, file.modified) for file in files):
            for file in files:
                file.later = True


def mark_tears(cluster: Cluster) -> None:
    """Say of jobs without checkpoint pointers what the znode of their checkpoints tells.

    It counts its children, and how often one came or went. A tree is dumped a znode after the
    other: a leader may have replaced all that were listed before they were read. Where these
    numbers are not told, as in dumps of zk-shell, nothing is known.
    """
    without = {
        f"{cluster.place_of(job.job_id).name}/checkpoints": job
        for job in cluster.jobs.values()
        if job.graphs and not job.checkpoints
    }
    led = is_led(cluster)
    for node in cluster.tree.znodes if cluster.tree is not None and without else ():
        if node.path in without and node.czxid > 0:
            without[node.path].never_pointed = node.cversion == 0
            without[node.path].torn = led and node.num_children > 0


def _was_under_way(
    cluster: Cluster,
    job: JobView,
    ids: Collection[int] | None = None,
    margin: float = _UNDER_WAY,
) -> bool:
    """Whether its checkpoint files, or those of ``ids``, may be younger than the store's dump."""
    if job.never_pointed:
        return True
    return all(
        _is_as_young(cluster, file.modified, margin)
        for file in cluster.loose_of(job.job_id, graphs=False)
        if ids is None or file.checkpoint_id in ids
    )


def _has_just_come(cluster: Cluster, checkpoint: Checkpoint) -> bool:
    """Whether the file of a checkpoint came when the store was dumped."""
    if checkpoint.file is None or cluster.files is None:
        return False
    file = cluster.files.get(checkpoint.file.name)
    return file is not None and _is_as_young(cluster, file.modified)


def _is_as_young(cluster: Cluster, time: float | None, margin: float = _UNDER_WAY) -> bool:
    """Whether what was written then may have come while, or after, the store was dumped."""
    if time is None or cluster.store_read is None or not cluster.original_times:
        return False
    return time >= cluster.store_read - margin


def is_led(cluster: Cluster) -> bool:
    """Whether a leader may have gone on: not one whose lease had run out by then."""
    leadership = cluster.leadership
    moment = find_store_moment(cluster, cluster.store_read)
    return leadership is not None and leadership.held and leadership.expired(moment) is None


def _numbered(job: JobView) -> Mapping[int, Checkpoint]:
    """Its checkpoints by id, the oldest first."""
    found = {each.checkpoint_id: each for each in job.checkpoints if each.checkpoint_id is not None}
    return dict(sorted(found.items()))


def _went_on(cluster: Cluster, job: JobView, pointers: Mapping[int, Checkpoint]) -> bool:
    """Whether a leader replaced a checkpoint of this job after the store was dumped: of the older
    one is nothing left, and the newer one is whole but for its pointer."""
    folders = _folders(cluster, job)
    newer = {each for each in folders & _loose(cluster, job) if each > max(pointers, default=each)}
    replaced = list(pointers.items())[: len(newer)]
    return any(
        each.file is not None and each.file.missing and number not in folders
        for number, each in replaced
    )


def _of_job(
    cluster: Cluster, job: JobView, pointers: Mapping[int, Checkpoint], *, went_on: bool
) -> None:
    folders, loose = _folders(cluster, job), _loose(cluster, job)
    newest = max(pointers)
    newer = {each for each in folders | loose if each > newest}
    surplus = max(0, len(pointers) - (cluster.settings.retained or len(pointers)))
    if newer:
        came = _was_under_way(cluster, job, newer)
    else:  # the newest one is in the store, and the one that it replaces is, too
        came = surplus > 0 and _has_just_come(cluster, pointers[newest])
    for at, (number, checkpoint) in enumerate(pointers.items()):
        # The one that is just being removed, besides those that newer ones replaced.
        going = at < len(newer) + surplus and bool(folders) and (number not in folders or came)
        # Of one that is removed _metadata goes before the files of state. It is there though those
        # of all newer ones are, too: nothing is being removed, its file is missing. Unless the
        # folders were listed earlier than the files, as other jobs show, or the newer ones came
        # when the store was dumped: the file in storageDir goes first of all.
        kept = number in folders and newer <= folders and not went_on and not came
        gone_with_it = files_are_missing(checkpoint) and not kept
        if (at < len(newer) or going) and (checkpoint.marked or gone_with_it):
            checkpoint.moment = "before its files"
            job.replaced_by = max(newer, default=newest)


def _known(cluster: Cluster, job: JobView) -> set[int]:
    return _folders(cluster, job) | _loose(cluster, job)


def _folders(cluster: Cluster, job: JobView) -> set[int]:
    return set(cluster.checkpoint_folders.get(job.job_id, ()))


def _loose(cluster: Cluster, job: JobView) -> set[int]:
    files = cluster.loose_of(job.job_id, graphs=False)
    return {file.checkpoint_id for file in files if file.checkpoint_id is not None}


def files_are_missing(checkpoint: Checkpoint) -> bool:
    """Whether a file that the checkpoint names is not there, its ``_metadata`` included."""
    return (
        (checkpoint.file is not None and checkpoint.file.missing)
        or bool(checkpoint.missing)
        or checkpoint.metadata == "missing"
    )
