"""Which changes answer which finding. Pure: a plan is made from what was looked at.

Each repair is the *safe* action of its finding: one pointer, one lock, one counter, one result.
Where the right action depends on what only an operator knows, or would lose the last whole
checkpoint of a job, there is none, and the plan says why.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from hawork.backends.kubernetes.layout import LOCK, Names
from hawork.core.errors import HaworkError
from hawork.inspect.cluster import (
    Checkpoint,
    Cluster,
    JobGraph,
    JobView,
    LooseFile,
    StoredPointer,
)  # fmt: skip
from hawork.inspect.entries import Entry, Place
from hawork.inspect.finding import Finding, Object
from hawork.inspect.follow import follow_pointer
from hawork.inspect.inspection import Inspection
from hawork.inspect.pointers import FlinkPointer, encode_counter, encode_pointer, marker_uid
from hawork.inspect.recovery import reads_plans, running_versions
from hawork.inspect.repair.changes import ANNOTATION, CONFIGMAP, FILE, KEY, ZNODE, Change, Repair
from hawork.inspect.repair.image import Image
from hawork.inspect.repair.plans import ASKED, Plan
from hawork.inspect.repair.released_lock import released_lock
from hawork.inspect.stored_files import comparable_url

__all__ = ["plan"]

_ALL_GONE: Final = (
    "none of the files that the pointers name is in the storage: mount it, or map it, first"
)


class _NotRepairableError(HaworkError):
    """Why there is no repair."""


def plan(
    inspection: Inspection,
    image: Image,
    only: Collection[str] = (),
    skip: Collection[str] = (),
) -> Plan:
    """The repairs for an inspection's findings; ``only`` and ``skip`` are codes."""
    planner = _Planner(inspection, image)
    repairs: list[Repair] = []
    left: list[tuple[Finding, str]] = []
    for finding in inspection.alarms:
        if finding.code in skip or (only and finding.code not in only):
            left.append((finding, "it was not asked for"))
        elif finding.code in ASKED and finding.code not in only:
            left.append((finding, ASKED[finding.code]))
        else:
            try:
                repairs += planner.repairs(finding)
            except _NotRepairableError as error:
                left.append((finding, str(error)))
    return Plan(tuple(repairs), tuple(left))


@dataclass
class _Planner:
    inspection: Inspection
    image: Image
    _touched: set[Object] = field(default_factory=set)
    _removed: set[Object] = field(default_factory=set)

    def repairs(self, finding: Finding) -> list[Repair]:
        """What answers one finding. ``_NotRepairableError`` says why nothing does."""
        action = _ACTIONS.get(finding.name)
        if action is None:
            raise _NotRepairableError(f"no single change mends it: {finding.safe}")
        repairs = []
        fixed = {each.name for each in self.cluster.maps if each.immutable}
        for why, changes in action(self, finding):
            if held := [each for each in changes if each.object.kind == KEY
                        and each.object.name in fixed]:  # fmt: skip
                raise _NotRepairableError(f"{held[0].object.name} is immutable: see HA607 first")
            fresh = tuple(each for each in changes if each.object not in self._touched)
            if fresh:
                self._touched.update(each.object for each in fresh)
                repairs.append(Repair(finding.code, why, fresh, finding.job_id))
        return repairs

    # --- what there is -------------------------------------------------------------------

    @property
    def cluster(self) -> Cluster:
        return self.inspection.cluster

    @property
    def on_kubernetes(self) -> bool:
        return self.cluster.backend == "kubernetes"

    def job(self, finding: Finding) -> JobView:
        if finding.job_id is None or finding.job_id not in self.cluster.jobs:
            raise _NotRepairableError("it belongs to no job of this cluster")
        return self.cluster.jobs[finding.job_id]

    def pointers(self, finding: Finding) -> list[StoredPointer]:
        """The pointers that a finding names."""
        return [each for each in self.cluster.pointers if each.entry.object in finding.objects]

    def check_files(self) -> None:
        """``_NotRepairableError`` unless the storage was seen, so that *missing* means missing."""
        if not self.cluster.storage_looked:
            raise _NotRepairableError("storageDir was not looked at: nothing is certain without it")
        looked = [each.file for each in self.cluster.pointers if each.file is not None]
        if len(looked) > 1 and all(file.missing for file in looked):
            raise _NotRepairableError(_ALL_GONE)

    def change(self, thing: Object, after: bytes | None) -> Change:
        held = self.image.get(thing)
        if held is None:
            return Change(thing, None, after)
        return Change(thing, held.value, after, held.version)

    # --- parts of repairs ----------------------------------------------------------------

    def removal(self, entry: Entry) -> list[Change]:
        """Remove an entry, with what stands below a znode."""
        if entry.place == "kubernetes":
            return [self.change(entry.object, None)]
        prefix = f"{entry.name}/"
        below = [each for each in self.image if each.kind == ZNODE and each.name.startswith(prefix)]
        if any(self.image[each].session for each in below):
            raise _NotRepairableError(
                f"{entry.name} is locked by a session that lives: stop it, wait for its timeout"
            )
        ordered = sorted(below, key=lambda each: each.name, reverse=True)
        return [self.change(each, None) for each in (*ordered, entry.object)]

    def remove_checkpoints(self, job: JobView, bad: Sequence[Checkpoint]) -> list[Change]:
        """Remove the pointers to checkpoints, if a whole one stays."""
        self._removed.update(each.entry.object for each in bad)
        stays = [each for each in job.checkpoints
                 if each.whole and each.state_looked and not each.marked
                 and each.entry.object not in self._removed]  # fmt: skip
        if not stays:
            raise _NotRepairableError(
                "no whole checkpoint of the job would stay, and it would start from nothing: bring "
                "the file back from a backup of the storage, or submit the job from a savepoint"
            )
        return [change for each in bad for change in self.removal(each.entry)]

    def pointer_to(self, url: str, size: int) -> bytes:
        """A pointer as the release writes it that will read it."""
        if not self.on_kubernetes:
            return encode_pointer(url, size, "zookeeper")
        target = self.inspection.target_version
        seen = {each.pointer.serial_version_uid for each in self.cluster.pointers
                if each.pointer is not None}  # fmt: skip
        versions = running_versions(self.cluster, target)
        uid = seen.pop() if len(seen) == 1 and target is None else None
        uid = uid if uid is not None else marker_uid(f"{versions.first}.0")
        return encode_pointer(url, size, "kubernetes", serial_version_uid=uid)

    def write_pointer(self, thing: Object, loose: LooseFile) -> list[Change]:
        """Write a pointer to a file that none leads to, and what it stands in."""
        return self.write(thing, self.pointer_to(self.url_of(loose.name), loose.size), locked=True)

    def write(self, thing: Object, value: bytes, *, locked: bool = False) -> list[Change]:
        """Write a value, with what has to be there around it.

        ``locked``: it is a pointer, which on ZooKeeper has a child ``locks``; without it Flink
        takes the pointer for one that is marked for deletion.
        """
        changes = []
        if thing.kind == KEY:
            whole = Object(CONFIGMAP, thing.name)
            if whole not in self.image and whole not in self._touched:
                names = Names(self.cluster.cluster_id)
                labels = dict(sorted(names.labels.items()))
                changes.append(self.change(whole, json.dumps(labels).encode()))
                if thing.name == names.cluster_map:
                    changes.append(self.free_record())
        else:
            changes += list(self._parents(thing.name))
        changes.append(self.change(thing, value))
        lock = Object(ZNODE, f"{thing.name}/locks")
        if locked and thing.kind == ZNODE and lock not in self.image:
            changes.append(self.change(lock, b""))
        return changes

    def free_record(self) -> Change:
        """The record of a free lock, in the cluster's ConfigMap."""
        lock = Object(ANNOTATION, Names(self.cluster.cluster_id).cluster_map, LOCK)
        return self.change(lock, released_lock(self.inspection))

    def _parents(self, path: str) -> Iterator[Change]:
        parts = path.split("/")
        for end in range(2, len(parts)):
            parent = Object(ZNODE, "/".join(parts[:end]))
            above_root = len(parent.name) < len(self.cluster.root)
            if parent not in self.image and parent not in self._touched and not above_root:
                yield self.change(parent, b"")

    def url_of(self, name: str) -> str:
        """How the data name a file of the storage."""
        folder, base = posixpath.split(name)
        candidates = [
            posixpath.dirname(each.pointer.path)
            for each in self.cluster.pointers
            if each.pointer is not None
            and each.file is not None
            and posixpath.dirname(each.file.name) == folder
        ]
        given = self.cluster.settings.ha_directory
        if given is not None:
            candidates.append(comparable_url(given) if given.startswith(("/", "file:")) else given)
        for candidate in candidates:
            url = f"{candidate}/{base}"
            if self.cluster.files is not None and self.cluster.files.name_of(url) == name:
                return url
        raise _NotRepairableError(
            f"how the data name {name} is not known: give the configuration with --config"
        )

    def checkpoint_entry(self, job: JobView, checkpoint_id: int) -> Object:
        """Where the pointer to a checkpoint stands."""
        assert job.place is not None
        if self.on_kubernetes:
            return Object(KEY, job.place.name, f"checkpointID-{checkpoint_id:019d}")
        return Object(ZNODE, f"{job.place.name}/checkpoints/{checkpoint_id:019d}")

    def graph_entry(self, job_id: str) -> Object:
        """Where the pointer to a job's graph stands."""
        if self.on_kubernetes:
            plans = reads_plans(running_versions(self.cluster, None))
            key = f"{'executionPlan' if plans else 'jobGraph'}-{job_id}"
            return Object(KEY, Names(self.cluster.cluster_id).cluster_map, key)
        assert self.cluster.graphs_place is not None
        return Object(ZNODE, f"{self.cluster.graphs_place.name}/{job_id}")

    def counter(self, job: JobView, newest: int) -> list[Change]:
        """Set the counter beyond every checkpoint that there is, if it is not."""
        folders = self.cluster.checkpoint_folders.get(job.job_id, [])
        wanted = max([newest, *folders]) + 1
        if job.counter is not None and (job.counter.value or 0) >= wanted:
            return []
        assert job.place is not None
        if self.on_kubernetes:
            return self.write(Object(KEY, job.place.name, "counter"), str(wanted).encode())
        thing = Object(ZNODE, f"{job.place.name}/checkpoint_id_counter")
        return self.write(thing, encode_counter(wanted, "zookeeper"))

    def loose_graph(self, job_id: str) -> LooseFile:
        """The one file of a job graph that no pointer leads to."""
        found = [each for each in self.cluster.loose_of(job_id, graphs=True) if not each.error]
        if len(found) == 1:
            return found[0]
        if not found:
            raise _NotRepairableError(
                "no other file of its job graph is in storageDir: submit the job again"
            )
        names = ", ".join(each.name for each in found)
        raise _NotRepairableError(f"several files hold its job graph ({names}): choose one by hand")

    def loose_checkpoints(self, job: JobView) -> list[tuple[LooseFile, Checkpoint]]:
        """Whole checkpoints of a job that no pointer leads to, the oldest first."""
        whole = []
        assert self.cluster.files is not None
        for loose in self.cluster.loose_of(job.job_id, graphs=False):
            if loose.error or loose.checkpoint_id is None:
                continue
            url = self.url_of(loose.name)
            pointer = FlinkPointer(url, loose.size, None, None, "", url)
            thing = self.checkpoint_entry(job, loose.checkpoint_id)
            place: Place = "kubernetes" if self.on_kubernetes else "zookeeper"
            entry = Entry(place, thing.name, b"", thing.key)
            checkpoint = Checkpoint(entry, pointer, checkpoint_id=loose.checkpoint_id)
            follow_pointer(self.cluster, self.cluster.files, checkpoint)
            if checkpoint.whole and checkpoint.state_looked:
                whole.append((loose, checkpoint))
        return sorted(whole, key=lambda pair: pair[1].checkpoint_id or 0)

    # --- repairs -------------------------------------------------------------------------

    def unreadable_checkpoint(self, finding: Finding) -> Iterator[_Part]:
        """Its file is gone or damaged: recovery does without it."""
        self.check_files()
        job = self.job(finding)
        bad = [each for each in job.checkpoints if each.entry.object in finding.objects]
        yield _removed(bad), self.remove_checkpoints(job, bad)

    def missing_state(self, finding: Finding) -> Iterator[_Part]:
        """Every checkpoint that lacks a file of state goes: they share files."""
        self.check_files()
        job = self.job(finding)
        bad = [each for each in job.checkpoints if each.missing]
        yield _removed(bad), self.remove_checkpoints(job, bad)

    def misdirected_checkpoint(self, finding: Finding) -> Iterator[_Part]:
        """Point to the job's own file again, or do without the checkpoint."""
        self.check_files()
        job = self.job(finding)
        loose = {each.checkpoint_id: file for file, each in self.loose_checkpoints(job)}
        for stored in self.pointers(finding):
            if not isinstance(stored, Checkpoint):
                continue
            file = loose.get(stored.checkpoint_id)
            if file is None:
                yield _removed([stored]), self.remove_checkpoints(job, [stored])
            else:
                why = f"point to checkpoint {stored.checkpoint_id} of the job again, in {file.name}"
                yield why, self.write_pointer(stored.entry.object, file)

    def unreadable_pointer(self, finding: Finding) -> Iterator[_Part]:
        """Write the pointer again from its file; without one, remove it."""
        self.check_files()
        if any(isinstance(each, Checkpoint) for each in self.pointers(finding)):
            yield from self.misdirected_checkpoint(finding)
        else:
            yield from self.graph_without_file(finding)

    def graph_without_file(self, finding: Finding) -> Iterator[_Part]:
        """Write the pointer of a job graph again, or let the other jobs recover without it."""
        self.check_files()
        job = self.job(finding)
        for stored in self.pointers(finding):
            if not isinstance(stored, JobGraph):
                continue
            try:
                file = self.loose_graph(job.job_id)
            except _NotRepairableError:
                if self.inspection.recovery.jobmanager != "crash-loops":
                    raise
                why = "remove the pointer: the other jobs recover; submit this one again by its id"
                yield why, self.removal(stored.entry)
            else:
                why = f"write the pointer of the job graph again from {file.name}"
                yield why, self.write_pointer(stored.entry.object, file)

    def lost_graphs(self, finding: Finding) -> Iterator[_Part]:
        """Write the pointers of job graphs again, from the files that are left."""
        self.check_files()
        named = [each.name for each in finding.objects if each.kind == "job"]
        for job_id in named:
            file = self.loose_graph(job_id)
            why = f"write the pointer of the job graph again from {file.name}"
            yield why, self.write_pointer(self.graph_entry(job_id), file)

    def lost_checkpoints(self, finding: Finding) -> Iterator[_Part]:
        """Write the pointers of the newest whole checkpoints again, and the counter."""
        self.check_files()
        job = self.job(finding)
        whole = self.loose_checkpoints(job)[-(self.cluster.settings.retained or 1) :]
        if not whole:
            raise _NotRepairableError(
                "no whole completedCheckpoint file of the job is left: submit it from a retained "
                "checkpoint or a savepoint"
            )
        changes = [each for file, checkpoint in whole
                   for each in self.write_pointer(checkpoint.entry.object, file)]  # fmt: skip
        changes += self.counter(job, whole[-1][1].checkpoint_id or 0)
        changes = list({each.object: each for each in changes}.values())  # parents but once
        ids = ", ".join(str(checkpoint.checkpoint_id) for _, checkpoint in whole)
        yield f"write the pointers of the checkpoints {ids} and the counter again", changes

    def unmark(self, finding: Finding) -> Iterator[_Part]:
        """Take the mark for deletion from a pointer whose file is there."""
        self.check_files()
        for stored in self.pointers(finding):
            if stored.file is None or stored.file.missing or stored.pointer is None:
                raise _NotRepairableError("its file is gone: the deletion had come that far")
            why = "take the mark for deletion away: no result says that the job is done"
            if not self.on_kubernetes:
                yield why, [self.change(Object(ZNODE, f"{stored.entry.name}/locks"), b"")]
                continue
            pointer = stored.pointer
            assert pointer.serial_version_uid is not None
            value = encode_pointer(
                pointer.path, pointer.size, "kubernetes",
                serial_version_uid=pointer.serial_version_uid,
            )  # fmt: skip
            yield why, [self.change(stored.entry.object, value)]

    def other_version(self, finding: Finding) -> Iterator[_Part]:
        """Write every pointer as the release that is started reads it."""
        versions = running_versions(self.cluster, self.inspection.target_version)
        uid = marker_uid(f"{versions.first}.0")
        changes = []
        for stored in self.pointers(finding):
            if stored.pointer is not None and stored.pointer.serial_version_uid != uid:
                pointer = stored.pointer
                value = encode_pointer(
                    pointer.path, pointer.size, "kubernetes",
                    marked_for_deletion=bool(pointer.marked_for_deletion), serial_version_uid=uid,
                )  # fmt: skip
                changes.append(self.change(stored.entry.object, value))
        yield f"write {len(changes)} pointers as Flink {versions.first} reads them", changes

    def behind(self, finding: Finding) -> Iterator[_Part]:
        """Set the counter beyond the newest checkpoint."""
        job = self.job(finding)
        newest = max((each.checkpoint_id or 0 for each in job.checkpoints), default=0)
        yield "set the counter beyond the newest checkpoint", self.counter(job, newest)

    def unreadable_result(self, finding: Finding) -> Iterator[_Part]:
        """Move a result away that belongs to no job that is left."""
        job = self.cluster.jobs.get(finding.job_id or "")
        if job is not None and (job.graphs or job.checkpoints):
            raise _NotRepairableError(
                "pointers of the job are left: write a whole result in its place (status by REST, "
                "history server or log), so that Flink cleans up behind it"
            )
        yield from self.move_result(finding)

    def move_result(self, finding: Finding) -> Iterator[_Part]:
        """Give the file of a result a name that Flink does not look at."""
        files, folder = self.cluster.files, self.cluster.settings.job_result_directory
        for thing in finding.objects:
            if thing.kind != "file" or not thing.name.endswith(".json"):
                continue
            if files is None or folder is None:
                raise _NotRepairableError(
                    "give the configuration with --config, which says where results are"
                )
            url = f"{folder.rstrip('/')}/{posixpath.basename(thing.name)}"
            if files.name_of(url) != thing.name:
                raise _NotRepairableError(
                    f"{thing.name} is not where the configuration says results are"
                )
            content = files.read(thing.name)
            aside = Change(Object(FILE, f"{url}.set-aside"), None, content)
            gone = Change(Object(FILE, url), content, None)
            yield f"move the result aside, to {thing.name}.set-aside", [aside, gone]

    def no_session(self, finding: Finding) -> Iterator[_Part]:
        """Delete znodes that only a session may have, and that belong to none."""
        for thing in finding.objects:
            held = self.image.get(thing)
            if thing.kind == ZNODE and held is not None and not held.session:
                yield f"delete {thing.name}: no session owns it", [self.change(thing, None)]

    def write_lock(self, finding: Finding) -> Iterator[_Part]:
        """Make the cluster's ConfigMap a lock that is free."""
        yield "write the leader annotation of a free lock", [self.free_record()]

    def free_lock(self, finding: Finding) -> Iterator[_Part]:
        """Empty the holder of a lease that lies in the future."""
        name = Names(self.cluster.cluster_id).cluster_map
        thing = Object(ANNOTATION, name, LOCK)
        record = json.loads(self.image[thing].value)
        value = json.dumps({**record, "holderIdentity": ""}, separators=(",", ":")).encode()
        why = "empty the holder of the lock: its lease lies in the future"
        yield why, [self.change(thing, value)]


_Part = tuple[str, list[Change]]


def _removed(bad: Sequence[Checkpoint]) -> str:
    ids = ", ".join(str(each.checkpoint_id) for each in bad)
    return f"remove the pointer of checkpoint {ids}; its files stay"


_ACTIONS: Final[dict[str, Callable[[_Planner, Finding], Iterator[_Part]]]] = {
    "checkpoint-file-missing": _Planner.unreadable_checkpoint,
    "checkpoint-file-truncated": _Planner.unreadable_checkpoint,
    "checkpoint-file-corrupt": _Planner.unreadable_checkpoint,
    "pointer-to-another-job": _Planner.misdirected_checkpoint,
    "pointer-to-another-checkpoint": _Planner.misdirected_checkpoint,
    "pointer-unreadable": _Planner.unreadable_pointer,
    "pointer-of-another-version": _Planner.other_version,
    "state-file-missing": _Planner.missing_state,
    "state-file-too-short": _Planner.missing_state,
    "job-graph-file-missing": _Planner.graph_without_file,
    "job-graph-file-truncated": _Planner.graph_without_file,
    "job-graph-file-corrupt": _Planner.graph_without_file,
    "job-graph-of-another-job": _Planner.graph_without_file,
    "job-graph-pointer-missing": _Planner.lost_graphs,
    "job-graphs-lost": _Planner.lost_graphs,
    "checkpoints-lost": _Planner.lost_checkpoints,
    "marked-for-deletion": _Planner.unmark,
    "checkpoint-marked-for-deletion": _Planner.unmark,
    "counter-behind": _Planner.behind,
    "counter-unreadable": _Planner.behind,
    "dirty-result-unreadable": _Planner.unreadable_result,
    "clean-result-with-job-graph": _Planner.move_result,
    "latch-without-session": _Planner.no_session,
    "persistent-lock": _Planner.no_session,
    "persistent-leader-address": _Planner.no_session,
    "lease-in-the-future": _Planner.free_lock,
    "lock-record-missing": _Planner.write_lock,
    "lock-record-unreadable": _Planner.write_lock,
}
