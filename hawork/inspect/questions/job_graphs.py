"""Job graphs, or the execution plans of Flink 2: will every job be recovered (questions 3, 10)?"""

from __future__ import annotations

from collections.abc import Iterator

from hawork.inspect.cluster import JobView, LooseFile
from hawork.inspect.finding import Finding, Object, Severity
from hawork.inspect.questions.facts import (
    Check,
    Facts,
    job_name,
    named,
    on_kubernetes,
    perhaps_unlabelled,
    several,
)
from hawork.inspect.recovery import reads_plans

__all__ = ["CHECKS"]


def _recovers(facts: Facts, job: JobView) -> bool:
    """Whether its job graph is read at all: not when a dirty result says that it ended."""
    return job.dirty is None or bool(job.dirty.error)


def graph_files(facts: Facts) -> Iterator[Finding]:
    """Does every job graph pointer lead to a file that can be loaded?"""
    for job in facts.cluster.jobs.values():
        for graph in job.graphs:
            file = graph.file
            if file is None or not facts.leads(graph) or not file.looked or job.ended:
                continue
            if graph.moment != "of its files":
                continue
            assert graph.pointer is not None
            what = "execution plan" if graph.plan else "job graph"
            wanted, inside = graph.pointer.size, graph.content
            questions: tuple[int, ...] = (3, 11)
            what_of = f"the {what} of {job_name(job)}"
            objects: tuple[Object, ...] = (graph.entry.object, file.object, job.object)
            severity: Severity = "fatal" if facts.ends_it(graph) else "warning"
            cause = f"one {what} that cannot be loaded stops the recovery of every job"
            if file.missing:
                name, title = "job-graph-file-missing", f"{what_of} is missing"
                evidence = f"the pointer says {wanted} bytes at {file.name}; there is no such file"
            elif file.error and file.size is not None and file.size < wanted:
                name, title = "job-graph-file-truncated", f"{what_of} is cut off"
                evidence = f"the pointer says {wanted} bytes, the file has {file.size}"
                questions = (3, 11, 24)
            elif file.error:
                name, title = "job-graph-file-corrupt", f"{what_of} is damaged"
                evidence = file.error
            elif inside is not None and inside.job_id != job.job_id:
                name = "job-graph-of-another-job"
                title = f"the {what} of job {job.job_id} is that of job {inside.job_id}"
                evidence = f"{file.name} says so itself"
                objects = (*objects, Object("job", inside.job_id))
                twice = any(each.job_id == job.job_id for each in facts.recovery.blockers)
                severity = "fatal" if twice else "data-loss"
                if facts.fate(graph) != "read" or not _recovers(facts, job):
                    severity = "warning"
                cause = (
                    "two pointers lead to one job: it is started twice, which ends the JobManager"
                    if twice else "the other job is started under this pointer, and this one is not"
                )  # fmt: skip
            else:
                continue
            loose = facts.cluster.loose_of(job.job_id, graphs=True)
            again = f", or write it again from {loose[0].name}" if loose else ""
            yield Finding(
                name, severity, questions, objects, title, (evidence,), cause,
                safe=f"while no JobManager runs: back up, then remove this pointer only{again}; "
                "the other jobs recover; submit this job again under the same job id, or from its "
                "newest checkpoint",
                unsafe="delete the checkpoints of this job, or the ConfigMap of the cluster",
                job_id=job.job_id,
            )  # fmt: skip


def graph_pointers(facts: Facts) -> Iterator[Finding]:
    """Can every job graph pointer be read, and is none marked for deletion by mistake?"""
    for job in facts.cluster.jobs.values():
        for graph in job.graphs:
            fate = facts.fate(graph)
            what = "execution plan" if graph.plan else "job graph"
            loose = facts.cluster.loose_of(job.job_id, graphs=True)
            if graph.fault is not None and fate in ("fatal", "passed over"):
                fatal = facts.ends_it(graph)
                ended = job.dirty is not None or job.clean is not None
                unread = fate == "fatal" or reads_plans(facts.versions) not in (None, graph.plan)
                again = _submitted_again(facts, [job.job_id])
                severity: Severity = "warning" if ended or unread or again else "data-loss"
                if fatal:
                    severity = "fatal"
                how = "it ends the JobManager before it leads"
                if fate == "passed over":
                    how = (
                        "on Kubernetes the key is passed over without a line in the log, and the "
                        + ("job is submitted again by main()" if again else "job is gone")
                    )
                anew = f" from {loose[0].name}" if loose else ", or remove it"
                yield Finding(
                    "pointer-unreadable", severity, (3, 22, 11),
                    (graph.entry.object, *(file.object for file in loose), job.object),
                    f"the pointer of the {what} of {job_name(job)} cannot be read",
                    (graph.reason,), how,
                    safe=f"while no JobManager runs: back up, then write the pointer again{anew}",
                    unsafe="start the cluster and see" if not fatal
                    else "delete the ConfigMap or znode that it is in", job_id=job.job_id,
                )  # fmt: skip
            elif facts.is_marked(graph) and job.dirty is None and job.clean is None:
                how = (
                    "the marker in the pointer is set" if on_kubernetes(facts)
                    else "no 'locks' child: Flink takes such a node for marked for deletion"
                )  # fmt: skip
                again = _submitted_again(facts, [job.job_id])
                then = (
                    "main() submits the job again" if again
                    else "the job is not recovered, and INFO says 'because it already finished in "
                    "a previous execution', which is not so"
                )  # fmt: skip
                yield Finding(
                    "marked-for-deletion", "warning" if again else "data-loss", (3, 4, 11),
                    (graph.entry.object, job.object),
                    f"the {what} of {job_name(job)} is marked for deletion, and no result says "
                    "that the job ended",
                    (how,),
                    f"its removal was under way, or a copy tool left something out; {then}",
                    safe="if the job should run: while no JobManager runs, back up and put "
                    + ("the marker back" if on_kubernetes(facts) else "the 'locks' child back"),
                    unsafe="start the cluster and see", job_id=job.job_id,
                )  # fmt: skip


def without_pointer(facts: Facts) -> Iterator[Finding]:
    """Is there a job whose job graph pointer is gone?"""
    cluster = facts.cluster
    if not cluster.store_looked:
        return
    lost = [job for job in cluster.jobs.values()
            if not job.graphs
            and (job.checkpoints or job.counter or job.place_exists or job.lost)
            and job.dirty is None and job.clean is None]  # fmt: skip
    if not cluster.graphs_place_exists or not cluster.stored_jobs:
        yield from _all_lost(facts, lost)
        return
    for job in lost:
        files = cluster.loose_of(job.job_id, graphs=True)
        evidence = [_kept(job)]
        if files:
            evidence.append(f"{files[0].name} is its job graph, and nothing points to it")
        elif not cluster.storage_looked:
            evidence.append("storageDir was not looked at: its job graph may be there")
        else:
            evidence.append("its job graph file is gone, too")
        again = _submitted_again(facts, [job.job_id])
        then = "main() submits it again" if again else "it is not recovered, and nothing says so"
        yield Finding(
            "job-graph-pointer-missing", "warning" if again else "data-loss", (3, 10, 11),
            (*(file.object for file in files), job.object),
            f"no pointer leads to the job graph of {job_name(job)}, and no result says that it "
            f"ended: {then}",
            tuple(evidence),
            "the pointer was deleted, or the removal of the job was cut short",
            safe="back up, write the pointer again (size and URI of the file), or submit the job "
            "again under the same job id",
            unsafe="collect the file as an orphan", job_id=job.job_id,
        )  # fmt: skip


def _submitted_again(facts: Facts, job_ids: list[str]) -> bool:
    """Whether they run all the same: in application mode, and from a checkpoint."""
    outcomes = [facts.recovery.jobs.get(job_id) for job_id in job_ids]
    return all(each is not None and each.outcome == "restored" for each in outcomes)


def _kept(job: JobView) -> str:
    parts = []
    if job.checkpoints:
        parts.append(several(len(job.checkpoints), "checkpoint pointer"))
    if job.counter is not None:
        parts.append(f"a counter of {job.counter.value}")
    if not parts and job.lost:
        return "the store has nothing of it, and its files are those of this cluster"
    return f"the job has {' and '.join(parts) or 'a place in the store'}"


def _all_lost(facts: Facts, lost: list[JobView]) -> Iterator[Finding]:
    """No job graph pointer at all: the ConfigMap of the cluster, or the znode, was deleted."""
    cluster = facts.cluster
    ids = [job.job_id for job in lost]
    files: list[LooseFile] = [file for job_id in ids
                              for file in cluster.loose_of(job_id, graphs=True)]  # fmt: skip
    if not cluster.stored_jobs:
        ended = {job.job_id for job in cluster.jobs.values() if job.clean or job.dirty}
        files = [file for file in cluster.loose
                 if file.job_id and file.job_id not in ended and not file.later]  # fmt: skip
        ids = list(dict.fromkeys(file.job_id for file in files if file.job_id))
    if not ids:
        return
    place = cluster.graphs_place
    assert place is not None
    if not on_kubernetes(facts) and not cluster.graphs_place_exists and reads_plans(facts.versions):
        place = Object("znode", f"{cluster.root}/execution-plans")
    what = "ConfigMap of the cluster" if on_kubernetes(facts) else "parent of the job graphs"
    there = "empty" if cluster.graphs_place_exists else "not there"
    evidence = [f"{what} {place.name} is {there}"]
    if not cluster.graphs_place_exists:
        evidence += perhaps_unlabelled(cluster, place)
    if kept := [job for job in lost if not job.lost]:
        have = "has" if len(kept) == 1 else "have"
        evidence.append(f"{several(len(kept), 'job')} still {have} checkpoints")
    if files:
        evidence.append(f"{several(len(files), 'file')} of {'it' if len(ids) == 1 else 'them'} "
                        f"lie unreferenced: {named(file.name for file in files)}")  # fmt: skip
    again = _submitted_again(facts, ids)
    then = "a JobManager starts, leads, and runs nothing"
    if again:
        then = "a JobManager starts, and main() submits the job again"
    yield Finding(
        "job-graphs-lost", "warning" if again else "data-loss", (10, 3, 2, 11),
        (place, *(Object("job", job_id) for job_id in ids), *(file.object for file in files)),
        f"no job graph pointer is left, but there is data of {several(len(ids), 'job')}: {then}",
        tuple(evidence),
        "it was deleted, often to get rid of a bad entry or of a dead leader's address",
        safe="while no JobManager runs: back up, write the pointers again from the files",
        unsafe="collect what is unreferenced",
    )  # fmt: skip


def versions(facts: Facts) -> Iterator[Finding]:
    """Can the release that is started read what is stored?"""
    cluster, shown = facts.cluster, facts.recovery.flink_version
    unseen = [stored for stored in cluster.pointers if facts.fate(stored) == "invisible"]
    if unseen:
        jobs = [job for job in cluster.jobs.values()
                if any(each in unseen for each in (*job.graphs, *job.checkpoints))]  # fmt: skip
        first = unseen[0].pointer
        assert first is not None and first.serial_version_uid is not None
        yield Finding(
            "pointer-of-another-version", "data-loss", (22, 11),
            (*(each.entry.object for each in unseen), *(job.object for job in jobs)),
            f"{several(len(unseen), 'pointer')} of {several(len(jobs), 'job')} cannot be seen by "
            f"Flink {shown}",
            (f"serialVersionUID {first.serial_version_uid & (2**64 - 1):016x} of "
             "StateHandleWithDeleteMarker: Flink 1.15 to 1.18 writes 9f813bf39965437f, 1.19 and "
             "later 1bad4480ef860d7c",),
            "the class declares no serialVersionUID, and Java's own changed with Flink 1.19: such "
            "pointers are passed over without a line in the log",
            safe="stop each job with a savepoint on the old release and start it from there on the "
            "new one; or, while no JobManager runs: back up and write the pointers again",
            unsafe="start the new release: it leads with no jobs, and nothing says why",
        )  # fmt: skip
    plans = reads_plans(facts.versions)
    of_other = [(job.job_id, graph) for job in cluster.jobs.values() for graph in job.graphs
                if plans is not None and graph.plan != plans
                and not any(each.plan == plans for each in job.graphs)]  # fmt: skip
    if of_other:
        other = [graph for _, graph in of_other]
        jobs_of_other = dict.fromkeys(job_id for job_id, _ in of_other)
        stored = "execution plans" if other[0].plan else "job graphs"
        yield Finding(
            "stored-for-another-version", "data-loss", (22, 11),
            (*(graph.entry.object for graph in other),
             *(Object("job", job_id) for job_id in jobs_of_other)),
            f"{several(len(other), 'job')} {'is' if len(other) == 1 else 'are'} stored as "
            f"{stored}, which Flink {shown} does not look for",
            (f"{other[0].entry.object}",),
            "Flink 1 keeps job graphs (jobgraphs, jobGraph-), Flink 2 execution plans "
            "(execution-plans, executionPlan-); neither looks at the other's",
            safe="stop each job with a savepoint on the old release and start it from there on the "
            "new one",
            unsafe="start the other release: it leads with no jobs, and nothing says why",
        )  # fmt: skip
    lacking = [each for each in facts.recovery.blockers if "lacks a class" in each.why]
    if lacking:
        jobs_of_lacking = dict.fromkeys(each.job_id for each in lacking if each.job_id)
        yield Finding(
            "stored-for-another-version",
            "fatal",
            (22, 11),
            (
                *(each.decided_by for each in lacking),
                *(Object("job", job_id) for job_id in jobs_of_lacking),
            ),
            f"Flink {shown} cannot load {several(len(lacking), 'job graph')}",
            (lacking[0].why,),
            "the class RestoreMode has another package since Flink 1.20, another name since 2.0: "
            "ClassNotFoundException",
            safe="stop each job with a savepoint on the old release, start it from there",
            unsafe="delete the job graphs to make it start",
        )
    moved = [each for each in facts.recovery.blockers if "without its files" in each.why]
    if moved:
        yield Finding(
            "stored-for-another-version", "fatal", (22, 11),
            (*(each.decided_by for each in moved),
             *(Object("job", job_id)
               for job_id in dict.fromkeys(each.job_id for each in moved if each.job_id))),
            f"Flink {shown} cannot restore {several(len(moved), 'incremental checkpoint')}",
            tuple(each.why for each in moved[:3]),
            "the fields of IncrementalRemoteKeyedStateHandle moved to a superclass with Flink "
            "1.19, and Java leaves what moved null: registering shared state ends the JobManager",
            safe="stop each job with a savepoint on the old release and start it from there on the "
            "new one",
            unsafe="delete the checkpoint pointers to make it start: the job begins from nothing",
        )  # fmt: skip


CHECKS: tuple[Check, ...] = (graph_files, graph_pointers, without_pointer, versions)
