"""Checkpoint pointers, the files they lead to, and the counter (questions 1, 10, 11, 22, 23)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hawork.inspect.cluster import Checkpoint, JobView
from hawork.inspect.finding import Finding, Object, Severity
from hawork.inspect.fitting import same_operators, same_state_backend
from hawork.inspect.questions.facts import (
    Check,
    Facts,
    job_name,
    loose_checkpoints,
    named,
    on_kubernetes,
    perhaps_unlabelled,
    several,
)

__all__ = ["CHECKS"]

_FATAL_CAUSE = (
    "Flink loads every retained checkpoint of a job and passes over none (FLINK-22502); in "
    "recovery one that cannot be loaded ends the JobManager: 'Could not retrieve checkpoint ... "
    "Try cleaning the state handle store'"
)
_REMOVE_ONE = "while no JobManager runs: back up, then remove this one pointer"
_NEVER_ALL = "delete the job's {place}: the job would start from nothing"


def _place(facts: Facts) -> str:
    return "ConfigMap" if on_kubernetes(facts) else "znode below /jobs"


def _severity(facts: Facts, checkpoint: Checkpoint) -> Severity:
    """How bad a checkpoint that cannot be loaded is: of a job that ended its files are left."""
    return "fatal" if facts.ends_it(checkpoint) else "warning"


def _has_ended(job: JobView) -> bool:
    """Whether a result says so: nothing that the store lost of it is missed."""
    return job.clean is not None or (job.dirty is not None and not job.dirty.error)


def _after_repair(job: JobView, without: Checkpoint) -> str:
    for other in reversed(job.checkpoints):
        if other is not without and other.whole:
            return f": recovery takes checkpoint {other.checkpoint_id}"
    return "; this job has no other whole checkpoint among its pointers"


def checkpoint_files(facts: Facts) -> Iterator[Finding]:
    """Does every checkpoint pointer lead to a file that can be loaded?"""
    for job in facts.cluster.jobs.values():
        for checkpoint in job.checkpoints:
            file = checkpoint.file
            if file is None or not facts.leads(checkpoint) or not file.looked:
                continue
            if checkpoint.moment != "of its files":
                continue
            number, what = checkpoint.checkpoint_id, job_name(job)
            assert checkpoint.pointer is not None
            wanted = checkpoint.pointer.size
            questions: tuple[int, ...] = (1, 11)
            if file.missing:
                name, how = "checkpoint-file-missing", "missing"
                evidence = f"the pointer says {wanted} bytes at {file.name}; there is no such file"
            elif file.error and file.size is not None and file.size < wanted:
                name, how = "checkpoint-file-truncated", "cut off"
                evidence = f"the pointer says {wanted} bytes, the file has {file.size}"
                questions = (1, 11, 24)
            elif file.error:
                name, how = "checkpoint-file-corrupt", "damaged"
                evidence = f"{file.error}; its size is {file.size}, the pointer says {wanted}"
            else:
                continue
            which = "it is the newest"
            if checkpoint is not job.checkpoints[-1]:
                which = "it is not the newest, and stops recovery all the same"
            yield Finding(
                name, _severity(facts, checkpoint), questions,
                (checkpoint.entry.object, file.object, job.object),
                f"the file of checkpoint {number} of {what} is {how}",
                (evidence, which), _FATAL_CAUSE,
                safe=_REMOVE_ONE + _after_repair(job, checkpoint),
                unsafe=_NEVER_ALL.format(place=_place(facts)), job_id=job.job_id,
            )  # fmt: skip


def checkpoint_pointers(facts: Facts) -> Iterator[Finding]:
    """Can every checkpoint pointer be read?"""
    for job in facts.cluster.jobs.values():
        for checkpoint in job.checkpoints:
            if checkpoint.fault is None or facts.fate(checkpoint) == "marked":
                continue
            fatal = facts.fate(checkpoint) == "fatal"
            newest = all(_unread(facts, other) for other in _later(job, checkpoint))
            severity: Severity = "data-loss" if newest and job.dirty is None else "warning"
            if fatal:
                severity = _severity(facts, checkpoint)
            files = [file for file in loose_checkpoints(facts.cluster, job.job_id)
                     if file.checkpoint_id == checkpoint.checkpoint_id]  # fmt: skip
            how = (
                "the value is not base64: unlike bytes that are not Java's, it is not passed "
                "over, it ends the JobManager" if fatal
                else "Flink logs one warning and goes on without it"
            )  # fmt: skip
            safe = "while no JobManager runs: back up, then write the pointer again"
            safe += f" from {files[0].name}, which is whole" if files else ", or remove it"
            yield Finding(
                "pointer-unreadable", severity, (1, 22, 11),
                (checkpoint.entry.object, *(file.object for file in files), job.object),
                f"the pointer of checkpoint {checkpoint.checkpoint_id} of {job_name(job)} cannot "
                "be read",
                (checkpoint.reason,), how, safe=safe,
                unsafe="start the cluster: the checkpoint is passed over without an error"
                if not fatal else _NEVER_ALL.format(place=_place(facts)),
                job_id=job.job_id,
            )  # fmt: skip


def _later(job: JobView, checkpoint: Checkpoint) -> list[Checkpoint]:
    return job.checkpoints[job.checkpoints.index(checkpoint) + 1 :]


def _unread(facts: Facts, checkpoint: Checkpoint) -> bool:
    return not facts.leads(checkpoint) and facts.fate(checkpoint) != "fatal"


def marked_checkpoints(facts: Facts) -> Iterator[Finding]:
    """Is a checkpoint pointer marked for deletion that should be the newest?"""
    cluster = facts.cluster
    for job in cluster.jobs.values():
        marked = [each for each in job.checkpoints if facts.is_marked(each)
                  and each.moment == "of its files"]  # fmt: skip
        if not marked or not cluster.store_looked or _has_ended(job):
            continue
        # Flink removes the oldest first: a marked one behind which nothing is kept is abnormal.
        lost = [each for each in marked
                if all(_unread(facts, other) for other in _later(job, each))]  # fmt: skip
        chosen = lost or marked
        yield Finding(
            "checkpoint-marked-for-deletion", "data-loss" if lost else "info", (1, 10, 11),
            (*(each.entry.object for each in chosen), job.object),
            f"{several(len(chosen), 'checkpoint pointer')} of {job_name(job)} "
            f"{'is' if len(chosen) == 1 else 'are'} marked for deletion",
            tuple(f"checkpoint {each.checkpoint_id}" for each in chosen[:3]),
            "their removal was under way, or a copy of the tree left out the 'locks' children; "
            "recovery passes over them",
            safe="if it is the newest: while no JobManager runs, back up and put the mark back",
            unsafe="start the cluster and see", job_id=job.job_id,
        )  # fmt: skip


def other_content(facts: Facts) -> Iterator[Finding]:
    """Is the checkpoint that a pointer leads to the one that it names?"""
    for job in facts.cluster.jobs.values():
        for checkpoint in job.checkpoints:
            if checkpoint.content is None or not facts.leads(checkpoint):
                continue
            if checkpoint.content.job_id != job.job_id:
                yield _another_job(facts, job, checkpoint)
            elif checkpoint.content.checkpoint_id != checkpoint.checkpoint_id:
                yield _another_checkpoint(facts, job, checkpoint)


def _another_checkpoint(facts: Facts, job: JobView, checkpoint: Checkpoint) -> Finding:
    """State is lost only when it is the one that recovery takes, and leads to an older one."""
    assert checkpoint.content is not None and checkpoint.file is not None
    inside, number = checkpoint.content.checkpoint_id, checkpoint.checkpoint_id
    readable = [each for each in job.checkpoints if facts.fate(each) == "read"]
    taken = job.job_id in facts.recovery.loading and readable and readable[-1] is checkpoint
    known = [each.checkpoint_id or 0 for each in job.checkpoints]
    back = taken and inside < max(known)
    named = f"a pointer without a number, {checkpoint.entry.key or checkpoint.entry.name}," if (
        number is None) else f"the pointer of checkpoint {number}"  # fmt: skip
    return Finding(
        "pointer-to-another-checkpoint", "data-loss" if back else "warning", (1, 11),
        (checkpoint.entry.object, checkpoint.file.object, job.object),
        f"{named} of {job_name(job)} leads to checkpoint {inside}",
        (f"{checkpoint.file.name} says so itself",),
        f"the pointer was written by hand, or copied; recovery takes checkpoint {inside}, the "
        "state since then is lost" if back
        else "the pointer was written by hand, or copied; recovery does not go by it, and when a "
        "checkpoint is removed for a newer one, the wrong pointer and file are",
        safe="back up, then point to the right file again, or remove this pointer",
        unsafe="let it run: removing one checkpoint deletes the other's file, and the pointer that "
        "is left ends the next JobManager",
        job_id=job.job_id,
    )  # fmt: skip


def _another_job(facts: Facts, job: JobView, checkpoint: Checkpoint) -> Finding:
    assert checkpoint.content is not None and checkpoint.file is not None
    content = checkpoint.content
    readable = [each for each in job.checkpoints if facts.fate(each) == "read"]
    graph = job.graphs[-1] if job.graphs else None
    severity: Severity = "warning"
    if job.job_id in facts.recovery.loading and readable and readable[-1] is checkpoint:
        if graph is not None and not same_operators(facts.cluster, job, graph, checkpoint):
            severity = "fatal"
        elif graph is not None and not same_state_backend(facts.cluster, job, graph, checkpoint):
            severity = "stuck"
        else:
            severity = "data-loss"
    causes = {
        "fatal": "recovery ends with 'There is no operator for the state'",
        "stuck": "another state backend wrote it: every attempt of the job fails to read it",
    }
    right = [file for file in loose_checkpoints(facts.cluster, job.job_id)
             if file.checkpoint_id == checkpoint.checkpoint_id]  # fmt: skip
    where = f"point to {right[0].name} again" if right else "remove this one pointer"
    return Finding(
        "pointer-to-another-job", severity, (1, 11),
        (checkpoint.entry.object, checkpoint.file.object, job.object,
         Object("job", content.job_id)),
        f"the pointer of checkpoint {checkpoint.checkpoint_id} of {job_name(job)} leads to "
        f"checkpoint {content.checkpoint_id} of another job, {content.job_id}",
        (f"{checkpoint.file.name} says so itself",),
        causes.get(severity, "the file would be restored, and removed, as if it were this job's "
                             "own"),
        safe=f"while no JobManager runs: back up, then {where}",
        unsafe="let it run: removing the checkpoint later deletes the other job's file",
        job_id=job.job_id,
    )  # fmt: skip


def operators(facts: Facts) -> Iterator[Finding]:
    """Does the job have an operator for every state of the checkpoint it would take?"""
    for job in facts.cluster.jobs.values():
        readable = [each for each in job.checkpoints if facts.fate(each) == "read"]
        if job.job_id not in facts.recovery.loading or not readable or not job.graphs:
            continue
        chosen, graph = readable[-1], job.graphs[-1]
        if chosen.content is None or chosen.content.job_id != job.job_id or graph.content is None:
            continue
        if not same_operators(facts.cluster, job, graph, chosen):
            known = graph.content.operator_ids
            unknown = [each.operator_id for each in chosen.content.operators
                       if each.operator_id not in known]  # fmt: skip
            assert chosen.file is not None
            yield Finding(
                "operators-do-not-match", "fatal", (1, 11),
                (chosen.entry.object, chosen.file.object, graph.entry.object, job.object),
                f"checkpoint {chosen.checkpoint_id} of {job_name(job)} has state of operators "
                "that its job graph does not have",
                (f"operators {named(unknown)}",),
                "the job graph was replaced by one of a changed job; recovery ends with 'There is "
                "no operator for the state', and allowNonRestoredState does not count there",
                safe="submit the changed job from the newest checkpoint with "
                "--allowNonRestoredState, after this one was removed",
                unsafe="delete the checkpoint pointers", job_id=job.job_id,
            )  # fmt: skip


def state_files(facts: Facts) -> Iterator[Finding]:
    """Is every file of state there that a checkpoint names?"""
    for job in facts.cluster.jobs.values():
        affected = [each for each in job.checkpoints if each.missing
                    and each.moment == "of its files"]  # fmt: skip
        if not affected:
            continue
        readable = [each for each in job.checkpoints if facts.fate(each) == "read"]
        hit = bool(readable) and readable[-1] in affected
        severity: Severity = "stuck" if hit and job.job_id in facts.recovery.loading else "warning"
        gone = {missing.name: missing for each in affected for missing in each.missing}
        shorter = all(missing.size is not None for missing in gone.values())
        differs = [each.metadata_differs for each in affected if each.metadata_differs]
        # What _metadata names in its place is there: the name is wrong, not the file missing.
        meant = [name for each in affected for name in each.only_in_metadata]
        objects: list[Object] = [Object("file", name) for name in dict.fromkeys(meant or gone)]
        for each in affected:
            assert each.file is not None
            objects += [each.file.object, each.entry.object]
        ids = [each.checkpoint_id for each in affected]
        newest = next((each for each in reversed(job.checkpoints) if each.whole), None)
        after = f": recovery takes {newest.checkpoint_id}" if newest else (
            "; no checkpoint of this job is whole: look for a savepoint")  # fmt: skip
        evidence = [
            f"{missing.name} is missing" if missing.size is None
            else f"{missing.name} has {missing.size} bytes, {missing.wanted} are needed"
            for missing in list(gone.values())[:3]
        ]  # fmt: skip
        them = "it" if len(gone) == 1 else "them"
        evidence.append(f"checkpoints {ids} of this job reference {them}")
        evidence += [f"_metadata of the same checkpoint disagrees: {each}" for each in differs[:2]]
        yield Finding(
            "state-file-too-short" if shorter else "state-file-missing", severity,
            (1, 11, 20) if differs else (1, 11), (*objects, job.object),
            f"{several(len(gone), 'file')} of state of {job_name(job)} "
            f"{'is' if len(gone) == 1 else 'are'} {'too short' if shorter else 'missing'}",
            tuple(evidence),
            "the JobManager starts, and the TaskManager fails to open the file on every attempt: "
            "the job restarts for ever" if severity == "stuck"
            else "recovery does not take these checkpoints; a JobManager cannot restore them",
            safe=f"while no JobManager runs: back up, then remove the pointers of {ids}{after}",
            unsafe="create an empty file in its place, or delete what seems unreferenced",
            job_id=job.job_id,
        )  # fmt: skip


def metadata_files(facts: Facts) -> Iterator[Finding]:
    """Is ``_metadata`` there, and does it say the same?"""
    for job in facts.cluster.jobs.values():
        for checkpoint in job.checkpoints:
            if checkpoint.content is None or checkpoint.content.job_id != job.job_id:
                continue
            if checkpoint.moment != "of its files":
                continue
            objects: tuple[Object, ...] = (Object("file", checkpoint.metadata_name), job.object)
            what = f"checkpoint {checkpoint.checkpoint_id} of {job_name(job)}"
            if checkpoint.metadata == "missing":
                name, title = "metadata-file-missing", f"_metadata of {what} is missing"
                evidence = ""
            elif checkpoint.metadata_error:
                name, title = "metadata-file-unreadable", f"_metadata of {what} cannot be read"
                evidence = checkpoint.metadata_error
            elif checkpoint.metadata_differs and not checkpoint.missing:
                name, title = "metadata-disagrees", f"_metadata and the HA file of {what} disagree"
                evidence = checkpoint.metadata_differs
                assert checkpoint.file is not None
                objects = (*objects, checkpoint.file.object)
            else:
                continue
            yield Finding(
                name, "warning", (1, 11), objects, title, (evidence,) if evidence else (),
                "HA recovery reads the file in storageDir and never _metadata; 'flink run -s', the "
                "Kubernetes operator and the state processor API read _metadata",
                safe="take a savepoint as soon as the job runs",
                unsafe="call the checkpoint bad: for HA it is not", job_id=job.job_id,
            )  # fmt: skip


def moments(facts: Facts) -> Iterator[Finding]:
    """Were store and storage dumped one after the other, while a JobManager went on?"""
    for job in facts.cluster.jobs.values():
        apart = [each for each in job.checkpoints if each.moment != "of its files"]
        graphs = [each for each in job.graphs if each.moment != "of its files"]
        if graphs:
            yield _two_moments(
                job, (3, 24), [each.entry.object for each in graphs],
                f"job {job.job_id} was submitted after the storage was copied",
                "its pointer is younger than every file",
                "a storage that was copied before its store was dumped", "remove pointers",
            )  # fmt: skip
        if job.ended:
            yield _two_moments(
                job, (1, 5, 24), [each.entry.object for each in (*job.graphs, *job.checkpoints)],
                f"{job_name(job)} ended after the store was dumped, and a leader cleaned it up",
                "a result says that it ended, and files of it are gone",
                "a store and a storage that were dumped one after the other", "remove the result",
            )  # fmt: skip
        elif apart:
            ids = [each.checkpoint_id for each in apart]
            later = job.replaced_by is not None
            yield _two_moments(
                job, (1, 24), [each.entry.object for each in apart],
                f"store and storage of {job_name(job)} were dumped one after the other, and a "
                "leader went on in between",
                f"the files of checkpoints {ids} are gone, and those of {job.replaced_by} are there"
                if later else f"the files of checkpoints {ids} are not there yet, older ones are",
                "a leader adds a checkpoint and removes the oldest all the time; both are whole",
                "remove pointers",
            )  # fmt: skip
        elif job.torn and job.place is not None:
            yield _two_moments(
                job, (1, 24), [job.place],
                f"the checkpoints of {job_name(job)} were replaced while they were dumped",
                "their znode counts children, and none of them is in the dump",
                "a tree is dumped a znode after the other, and a leader went on meanwhile",
                "write pointers",
            )  # fmt: skip


def _two_moments(
    job: JobView, questions: tuple[int, ...], places: Sequence[Object], title: str, evidence: str,
    cause: str, unsafe: str,
) -> Finding:  # fmt: skip
    return Finding(
        "dump-of-two-moments", "info", questions, (*places, job.object), title, (evidence,), cause,
        safe="stop the JobManagers, or look at the living cluster, to see one moment; where none "
        "ran in between (on Kubernetes --at says that its lease was over), what is missing is lost",
        unsafe=f"{unsafe} because of it", job_id=job.job_id,
    )  # fmt: skip


def checkpoints_lost(facts: Facts) -> Iterator[Finding]:
    """Are a job's checkpoint pointers gone although it had checkpoints?"""
    cluster = facts.cluster
    for job in cluster.jobs.values() if cluster.stored_jobs else ():  # else: all of it is lost
        known = job.graphs or job.counter or job.place_exists or job.lost
        if job.checkpoints or not known or not cluster.store_looked or _has_ended(job):
            continue
        if job.replaced_by is not None or job.never_pointed or job.torn:
            continue  # they came after the store was dumped, were under way, or were replaced
        files = list(loose_checkpoints(cluster, job.job_id))
        begun = (job.counter.value or 1) - 1 if job.counter is not None else 0
        folders = cluster.checkpoint_folders.get(job.job_id, [])
        unseen = begun > 0 and not cluster.storage_looked
        if not files and not folders and not unseen:
            continue
        evidence = []
        if begun:
            evidence.append(f"the counter says that {several(begun, 'checkpoint')} were begun")
        if files:
            lie = several(len(files), "completedCheckpoint file")
            evidence.append(f"{lie} of it lie unreferenced")
        if folders:
            evidence.append(f"_metadata of checkpoints {folders[-3:]} is there")
        if unseen:
            evidence.append("storageDir was not looked at: a checkpoint may never have completed")
        assert job.place is not None
        if not job.place_exists:
            evidence += perhaps_unlabelled(facts.cluster, job.place)
        nothing = "from nothing"
        if job.savepoint is not None:
            nothing = f"from the savepoint it was first started from, {job.savepoint.url}"
        newest = files[-1].name if files else "its newest completedCheckpoint file"
        starts = f"it starts {nothing}, silently"
        if any(facts.ends_it(graph) for graph in job.graphs):
            starts = f"it is to start {nothing}, and cannot"
        if job.job_id not in facts.recovery.loading:
            starts = f"it would start {nothing}, were its job graph recovered"
        yield Finding(
            "checkpoints-lost", "data-loss", (10, 11, 3),
            (*(() if job.place_exists else (job.place,)), job.object,
             *(file.object for file in files)),
            f"no checkpoint pointer of {job_name(job)} is left: {starts}",
            tuple(evidence),
            "the ConfigMap or the znodes were deleted, often as the advice 'try cleaning the state "
            "handle store' is taken; INFO 'No checkpoint found during restore' is all one sees",
            safe=f"while no JobManager runs: back up, write the pointer of {newest} and the "
            "counter again, or submit the job with -s chk-N",
            unsafe="start the cluster: new checkpoints hide the loss within seconds",
            job_id=job.job_id,
        )  # fmt: skip


def counters(facts: Facts) -> Iterator[Finding]:
    """Is the checkpoint id counter ahead of every checkpoint?"""
    for job in facts.cluster.jobs.values():
        if job.dirty is not None or job.ended or (job.clean is not None and not job.graphs):
            continue
        counter = job.counter
        if counter is not None and counter.value is None:
            yield Finding(
                "counter-unreadable", "stuck", (23,), (counter.entry.object, job.object),
                f"the checkpoint id counter of {job_name(job)} cannot be read",
                (counter.reason,), "no checkpoint of the job can be triggered",
                safe="while no JobManager runs: back up, set it to one more than the newest id",
                unsafe="delete it: ids begin at 1 again", job_id=job.job_id,
            )  # fmt: skip
            continue
        ids = {each.checkpoint_id: each for each in job.checkpoints if each.checkpoint_id}
        if not ids:
            continue
        following = counter.value if counter is not None and counter.value is not None else 1
        newest = max(ids)
        if following > newest:
            continue
        if counter is not None:
            place = counter.entry.object
        elif on_kubernetes(facts):
            assert job.place is not None
            place = Object("configmap-key", job.place.name, "counter")
        else:
            assert job.place is not None
            place = Object("znode", f"{job.place.name}/checkpoint_id_counter")
        there = facts.cluster.checkpoint_folders.get(job.job_id, [])
        collides = [number for number in there if number >= following]
        yield Finding(
            "counter-behind", "data-loss", (23, 11),
            (place, job.object, ids[newest].entry.object),
            f"the next checkpoint id of {job_name(job)} is {following}, its newest checkpoint is "
            f"{newest}: ids are used again",
            (f"chk-{collides[0]} is there already" if collides else "no such folder is there yet",)
            if facts.cluster.files is not None else (),
            "the counter was set back, or restored from an older copy; a checkpoint whose folder "
            "exists fails ('Target file ... already exists') and the job restarts",
            safe=f"while no JobManager runs: back up, set the counter to {newest + 1}",
            unsafe="let it run: new checkpoints overwrite what older ones reference",
            job_id=job.job_id,
        )  # fmt: skip


CHECKS: tuple[Check, ...] = (
    checkpoint_files, checkpoint_pointers, marked_checkpoints, other_content, operators,
    state_files, metadata_files, moments, checkpoints_lost, counters,
)  # fmt: skip
