"""What Flink would do with this data if a JobManager were started now.

Pure. Source: ``SessionDispatcherLeaderProcess``, ``DefaultJobGraphStore``,
``DefaultCompletedCheckpointStoreUtils``, ``ZooKeeperStateHandleStore``,
``KubernetesStateHandleStore``, ``CheckpointCoordinator``, ``JobMasterServiceLeadershipRunner``
and ``CheckpointResourcesCleanupRunner`` of Flink 1.15 to 2.3; where reading them and starting
them differed, starting them was right.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from hawork.inspect.applications import is_of_application
from hawork.inspect.cluster import (
    Checkpoint,
    Cluster,
    JobGraph,
    JobView,
    Savepoint,
    StoredPointer,
)
from hawork.inspect.finding import Object
from hawork.inspect.fitting import same_operators, same_state_backend
from hawork.inspect.handles import INCREMENTAL
from hawork.inspect.job_graphs import JobGraphFacts
from hawork.inspect.leading import cannot_publish, never_leads
from hawork.inspect.outcomes import Blocker, JobRecovery, Outcome, Recovery
from hawork.inspect.own_recovery import own_outcome
from hawork.inspect.pointers import MARKER_UID_1_15, MARKER_UID_1_19
from hawork.inspect.versions import FlinkVersions

__all__ = [
    "Fate", "fate_of", "invisible", "predict", "reads_plans", "running_versions",
]  # fmt: skip

Fate: TypeAlias = Literal["read", "passed over", "marked", "invisible", "fatal"]
"""What happens to a pointer: only what is *read* counts; *invisible* ones leave no trace."""


def running_versions(cluster: Cluster, target: str | None) -> FlinkVersions:
    """The release that is started: the target's, or those that may have run this cluster."""
    if target is None:
        return cluster.versions
    minor = ".".join(target.split(".")[:2])
    return FlinkVersions(minor, minor)


def reads_plans(versions: FlinkVersions) -> bool | None:
    """Whether it looks for execution plans (Flink 2) and not for job graphs; ``None``: unknown."""
    if versions.first.startswith("2."):
        return True
    return False if versions.last is not None and versions.last.startswith("1.") else None


def invisible(stored: StoredPointer, versions: FlinkVersions) -> bool:
    """Whether a pointer on Kubernetes has the ``serialVersionUID`` of another release.

    ``StateHandleWithDeleteMarker`` declares none, and Java's own changed with Flink 1.19. Reading
    such a pointer is an ``InvalidClassException``, which Flink passes over.
    """
    if stored.pointer is None or stored.pointer.serial_version_uid is None:
        return False
    uid = stored.pointer.serial_version_uid
    old = _number(versions.last) < (1, 19) if versions.last is not None else False
    new = _number(versions.first) >= (1, 19)
    if uid == MARKER_UID_1_15:
        return new
    if uid == MARKER_UID_1_19:
        return old
    return True


def _number(version: str) -> tuple[int, int]:
    major, _, rest = version.partition(".")
    return int(major), int(rest.partition(".")[0] or 0)


def fate_of(stored: StoredPointer, versions: FlinkVersions) -> Fate:
    """What recovery does with a pointer. ZooKeeper and Kubernetes are opposite in places:
    a job graph's pointer that is not a Java stream ends the JobManager on ZooKeeper and is passed
    over on Kubernetes, where text that is not base64 ends it.
    """
    on_kubernetes = stored.entry.place == "kubernetes"
    if not on_kubernetes and stored.marked:
        return "marked"  # the lock is taken before the value is read
    if stored.fault == "not-base64":
        return "fatal"
    if stored.fault is not None:
        return "fatal" if isinstance(stored, JobGraph) and not on_kubernetes else "passed over"
    if on_kubernetes and invisible(stored, versions):
        return "invisible"
    return "marked" if stored.marked else "read"


def predict(cluster: Cluster, target: str | None = None) -> Recovery:
    """The prediction for the release that ran the cluster, or for ``target``, such as 2.1.1."""
    versions = running_versions(cluster, target)
    shown = target or str(versions)
    if not cluster.store_looked:
        return Recovery("unknown", because="the HA store was not looked at", flink_version=shown)
    recovery = Recovery("starts", flink_version=shown)
    if cluster.of_hawork:
        recovery.flink_version, recovery.because = "", "hawork passes over what is damaged"
    else:
        machine = _Machine(cluster, versions, target)
        recovery.jobs = machine.jobs()
        recovery.blockers = [*cannot_publish(cluster), *machine.blockers]
        recovery.loading = frozenset(machine.loading)
    for job in cluster.own.values():
        if (outcome := own_outcome(cluster, job)) is not None:
            recovery.jobs[job.job_id] = outcome
    if never := never_leads(cluster):
        recovery.jobmanager, recovery.because = "never-leads", never.why
        recovery.blockers.insert(0, never)
        _nothing_runs(recovery, "no JobManager ever leads")
    elif recovery.blockers:
        first = recovery.blockers[0]
        recovery.jobmanager, recovery.because = "crash-loops", first.why
        leads = "after it leads" if first.leads_first else "before it leads"
        _nothing_runs(recovery, f"the JobManager ends {leads}")
    return recovery


def _nothing_runs(recovery: Recovery, because: str) -> None:
    for job in recovery.jobs.values():
        job.outcome, job.checkpoint, job.savepoint = "not-recovered", None, None
        own = next((each for each in recovery.blockers if each.job_id == job.job_id), None)
        job.because = f"{because}: {own.why}" if own else because
        job.decided_by = (own or recovery.blockers[0]).decided_by


class _Machine:
    """Goes through the steps of a takeover, and notes what would end the JobManager."""

    def __init__(self, cluster: Cluster, versions: FlinkVersions, target: str | None) -> None:
        self._cluster = cluster
        self._versions = versions
        self._target = target
        self.blockers: list[Blocker] = []
        self.loading: set[str] = set()

    def jobs(self) -> dict[str, JobRecovery]:
        cluster = self._cluster
        self._dirty_results()
        plans = reads_plans(self._versions)
        found: dict[str, JobRecovery] = {}
        recovered: list[tuple[JobView, JobGraph]] = []
        for job in cluster.jobs.values():
            graphs = [graph for graph in job.graphs if plans is None or graph.plan == plans]
            for graph in graphs:
                self._keys(job, graph)
            if job.ended:
                found[job.job_id] = JobRecovery(
                    job.job_id, "cleaned-up", because="it ended while this data was dumped",
                    decided_by=job.graphs[-1].entry.object if job.graphs else job.place,
                )  # fmt: skip
            elif job.dirty is not None and not job.dirty.error:
                found[job.job_id] = self._cleaned_up(job, job.dirty.object)
                if graphs and cluster.backend == "zookeeper":
                    self._job_graph(job, graphs[-1])  # its watcher takes it for a new one
            elif graphs:
                outcome = self._job_graph(job, graphs[-1])
                if outcome is not None and self._is_written_again(job, graphs[-1]):
                    outcome = self._submitted_again(job)
                if outcome is None:
                    recovered.append((job, graphs[-1]))
                else:
                    found[job.job_id] = outcome
            elif job.graphs:
                where = "execution plans" if plans else "job graphs"
                found[job.job_id] = JobRecovery(
                    job.job_id, "not-recovered",
                    because=f"this Flink looks for {where}, and what is stored is none",
                    decided_by=job.graphs[-1].entry.object,
                )  # fmt: skip
            elif (
                job.checkpoints or job.counter or job.place_exists or job.lost
            ) and job.clean is None:
                if is_of_application(job.job_id, cluster.settings):
                    found[job.job_id] = self._submitted_again(job)
                    continue
                found[job.job_id] = JobRecovery(
                    job.job_id, "not-recovered",
                    because="nothing is left of it but its files" if job.lost
                    else "no job graph pointer",
                    decided_by=cluster.graphs_place,
                )  # fmt: skip
        self._same_job_twice(recovered)
        for job, graph in recovered:
            found[job.job_id] = self._job(job, graph)
        for job_id, outcome in found.items():
            outcome.newest_readable = self._newest_readable(cluster.jobs[job_id])
        return {job.job_id: found[job.job_id] for job in cluster.jobs.values()
                if job.job_id in found}  # fmt: skip

    def _is_written_again(self, job: JobView, graph: JobGraph) -> bool:
        """On Kubernetes in application mode, over what it takes for absent, or for damaged.

        Source: ``KubernetesStateHandleStore.addAndLock``. On ZooKeeper the JobManager watches its
        job graphs: it sees that it removed the old node, and suspends the job (real Flink 1.20.5).
        """
        gone = fate_of(graph, self._versions) in ("marked", "passed over", "invisible")
        return (
            gone and self._cluster.backend == "kubernetes"
            and is_of_application(job.job_id, self._cluster.settings)
        )  # fmt: skip

    def _submitted_again(self, job: JobView) -> JobRecovery:
        """In application mode ``main()`` submits a job whose graph is not there.

        Its checkpoints are loaded then as in a recovery: seen on Flink 1.20.5, it ends with the
        JobManager when one of them cannot be read.
        """
        self.loading.add(job.job_id)
        again = "in application mode main() submits the job again"
        readable = [each for each in job.checkpoints
                    if fate_of(each, self._versions) in ("read", "fatal")]  # fmt: skip
        for checkpoint in readable:
            if why := self._unreadable(checkpoint):
                self._block(why, checkpoint.entry.object, job.job_id, True)
        if not readable:
            return JobRecovery(
                job.job_id, "from-scratch", because=f"{again}, and it has no checkpoint pointer",
                decided_by=job.place,
            )  # fmt: skip
        chosen = readable[-1]
        number = chosen.content.checkpoint_id if chosen.content else chosen.checkpoint_id
        outcome: Outcome = "restored"
        if chosen.missing and chosen.moment == "of its files":
            outcome = "restart-loop"
        return JobRecovery(job.job_id, outcome, number, again, chosen.entry.object)

    def _block(self, why: str, decided_by: Object, job_id: str | None, leads: bool) -> None:
        self.blockers.append(Blocker(why, decided_by, job_id, leads))

    def _dirty_results(self) -> None:
        """Source: ``AbstractThreadsafeJobResultStore.getDirtyResults``: one unreadable is fatal."""
        for result in self._cluster.results:
            if result.dirty and result.error:
                job_id = result.content_id or result.job_id or None
                self._block("a dirty job result cannot be read", result.object, job_id, False)

    def _keys(self, job: JobView, graph: JobGraph) -> None:
        """Source: ``KubernetesStateHandleStore.getAllHandles`` decodes every key's base64."""
        if graph.fault == "not-base64":
            self._block(
                "the pointer of a job graph is not base64", graph.entry.object, job.job_id, False
            )

    def _cleaned_up(self, job: JobView, result: Object) -> JobRecovery:
        """Checkpoints that cannot be read fail it once: the next attempt passes over them.

        Source: ``DefaultJobManagerRunnerRegistry`` forgets the job before it is closed. Seen on
        Flink 1.20.5, on both stores.
        """
        for lock in self._cluster.locks:
            if lock.job_id == job.job_id and lock.of_job_graph and lock.entry.persistent:
                return JobRecovery(
                    job.job_id, "fails", decided_by=lock.entry.object, because="its cleanup fails "
                    "again and again: a lock of its job graph belongs to no session",
                )  # fmt: skip
        return JobRecovery(job.job_id, "cleaned-up", because="dirty result", decided_by=result)

    def _job_graph(self, job: JobView, graph: JobGraph) -> JobRecovery | None:
        """``None``: it is recovered. Source: ``DefaultJobGraphStore.recoverJobGraph``."""
        fate = fate_of(graph, self._versions)
        place = graph.entry.object
        lost = {
            "marked": "marked for deletion",
            "passed over": "its job graph pointer is passed over",
            "invisible": "its job graph pointer is of another release and is passed over",
        }
        if fate in lost:
            because = lost[fate]
            if fate == "marked" and is_of_application(job.job_id, self._cluster.settings):
                because = f"{because}: main() submits it again, and it is SUSPENDED until the next"
            return JobRecovery(job.job_id, "not-recovered", because=because, decided_by=place)
        what = "execution plan" if graph.plan else "job graph"
        if fate == "fatal":
            if graph.fault != "not-base64":
                self._block(f"the pointer of a {what} cannot be read", place, job.job_id, False)
        elif graph.moment != "of its files":
            pass  # its file came when the storage had been copied
        elif graph.file is not None and graph.file.missing:
            self._block(f"the file of a {what} is missing", place, job.job_id, False)
        elif graph.file is not None and graph.file.error:
            self._block(f"the file of a {what} cannot be read", place, job.job_id, False)
        elif graph.content is not None and self._target is not None and self._unknown_class(graph):
            self._block(
                f"Flink {self._target} lacks a class of this job graph, which is of Flink "
                f"{graph.content.flink_versions}", place, job.job_id, False,
            )  # fmt: skip
        return None

    def _unknown_class(self, graph: JobGraph) -> bool:
        """``RestoreMode`` has another package since Flink 1.20, another name since 2.0."""
        assert graph.content is not None
        written = graph.content.flink_versions
        if graph.plan or written.last is None or written.last == "1.14":
            return False
        old, new = _number(written.last) < (1, 20), _number(self._versions.first) < (1, 20)
        return old != new

    def _same_job_twice(self, recovered: list[tuple[JobView, JobGraph]]) -> None:
        """Source: ``Dispatcher.runRecoveredJob``: an id that is registered already is fatal."""
        by_id: dict[str, list[tuple[JobView, JobGraph]]] = {}
        for job, graph in recovered:
            inside = graph.content.job_id if graph.content is not None else job.job_id
            by_id.setdefault(inside, []).append((job, graph))
        for inside, pairs in by_id.items():
            if len(pairs) > 1:
                for job, graph in pairs:
                    if job.job_id != inside:
                        self._block(
                            f"two pointers lead to job graphs of job {inside}",
                            graph.entry.object, job.job_id, False,
                        )  # fmt: skip

    def _job(self, job: JobView, graph: JobGraph) -> JobRecovery:
        if graph.content is not None and graph.content.job_id != job.job_id:
            return JobRecovery(
                job.job_id, "not-recovered", decided_by=graph.entry.object,
                because=f"its job graph is that of job {graph.content.job_id}",
            )  # fmt: skip
        if job.clean is not None:
            return JobRecovery(
                job.job_id, "removed-as-done", because="clean result",
                decided_by=job.clean.object,
            )  # fmt: skip
        self.loading.add(job.job_id)
        if any(each.missing or each.error for each in graph.artifacts):
            self._block(
                "a jar of a job is missing or damaged", graph.entry.object, job.job_id, True
            )
        readable: list[Checkpoint] = []
        skipped: list[Checkpoint] = []
        for checkpoint in job.checkpoints:
            fate = fate_of(checkpoint, self._versions)
            if fate in ("read", "fatal"):
                if why := self._unreadable(checkpoint) or self._without_files(checkpoint):
                    self._block(why, checkpoint.entry.object, job.job_id, True)
                readable.append(checkpoint)
            else:
                skipped.append(checkpoint)
        if job.replaced_by is not None and not any(
            each.moment == "of its files" for each in readable
        ):
            return JobRecovery(
                job.job_id, "restored", job.replaced_by, decided_by=job.place,
                because="the storage was dumped after the store, when it had newer checkpoints",
            )  # fmt: skip
        if not readable and job.torn:
            return JobRecovery(
                job.job_id, "unknown", decided_by=job.place,
                because="its checkpoints were replaced while they were dumped",
            )  # fmt: skip
        if not readable:
            return self._without_checkpoint(job, graph, skipped)
        chosen = readable[-1]
        if chosen.content is not None and not same_operators(self._cluster, job, graph, chosen):
            self._block(
                "there is no operator for the state of the newest checkpoint",
                chosen.entry.object, job.job_id, True,
            )  # fmt: skip
        number = chosen.content.checkpoint_id if chosen.content else chosen.checkpoint_id
        place = chosen.entry.object
        if chosen.missing and chosen.moment == "of its files":
            gone = chosen.missing[0]
            return JobRecovery(
                job.job_id, "restart-loop", number, decided_by=Object("file", gone.name),
                because="the TaskManager cannot read a file of state, on every attempt",
            )  # fmt: skip
        if chosen.content is not None and not same_state_backend(self._cluster, job, graph, chosen):
            return JobRecovery(
                job.job_id, "restart-loop", number, decided_by=place,
                because="the keyed state is that of another job's state backend, which this job's "
                "cannot read, on every attempt",
            )  # fmt: skip
        because = ""
        if any(_later(each, chosen) for each in skipped):
            because = "the newest pointer is passed over with a warning"
        elif chosen.file is None or not chosen.file.looked:
            because = "its file was not looked at"
        elif not chosen.state_looked:
            because = "its files of state were not looked at"
        return JobRecovery(job.job_id, "restored", number, because, place)

    def _without_checkpoint(
        self, job: JobView, graph: JobGraph, skipped: list[Checkpoint]
    ) -> JobRecovery:
        because = "no checkpoint pointer"
        if skipped:
            because = "every checkpoint pointer is passed over"
        elif job.counter is None:
            because = "no checkpoint pointer, no counter"
        savepoint = job.savepoint
        if graph.content is None or savepoint is None:
            return JobRecovery(job.job_id, "from-scratch", because=because, decided_by=job.place)
        began = f"what it was first started from, {savepoint.url}"
        if why := self._unusable(savepoint, graph.content):
            self._block(f"{because}, and {began}, {why}", graph.entry.object, job.job_id, True)
        elif savepoint.missing:
            gone = savepoint.missing[0]
            return JobRecovery(
                job.job_id, "restart-loop", savepoint.checkpoint_id, savepoint=savepoint.url,
                decided_by=Object("file", gone.name),
                because="the TaskManager cannot read a file of the savepoint, on every attempt",
            )  # fmt: skip
        return JobRecovery(
            job.job_id, "restored", savepoint.checkpoint_id, f"{because}: it starts again from "
            f"{began}", graph.entry.object, savepoint=savepoint.url,
        )  # fmt: skip

    def _unusable(self, savepoint: Savepoint, graph: JobGraphFacts) -> str:
        """Why a job cannot begin with a savepoint; empty when it can.

        Source: ``Dispatcher.handleJobManagerRunnerResult``: of a recovered job, whatever fails
        before it runs ends the JobManager.
        """
        if savepoint.file.missing:
            return "is not there"
        if savepoint.file.error:
            return "cannot be read"
        fits = not graph.operators_complete or savepoint.operator_ids <= graph.operator_ids
        if not fits and not graph.restore_settings.allow_non_restored:
            return "has state of operators that the job does not have"
        return ""

    def _unreadable(self, checkpoint: Checkpoint) -> str:
        """Why recovery ends with this checkpoint; empty when it does not.

        Source: ``DefaultCompletedCheckpointStoreUtils.retrieveCompletedCheckpoints``: every
        retained checkpoint is loaded, and none is passed over (FLINK-22502).
        """
        fate = fate_of(checkpoint, self._versions)
        if fate == "fatal":
            return "a checkpoint's pointer is not base64"
        if fate != "read" or checkpoint.file is None or checkpoint.moment != "of its files":
            return ""
        number = checkpoint.checkpoint_id
        if checkpoint.file.missing:
            return f"the file of checkpoint {number} is missing"
        return f"the file of checkpoint {number} cannot be read" if checkpoint.file.error else ""

    def _without_files(self, checkpoint: Checkpoint) -> str:
        """Why its incremental state has no files in the release that is started.

        The fields of ``IncrementalRemoteKeyedStateHandle`` have been those of a superclass since
        Flink 1.19: Java leaves them ``null``, and registering shared state ends the recovery.
        """
        content = checkpoint.content
        if content is None or self._target is None:
            return ""
        if not any(INCREMENTAL in operator.keyed for operator in content.operators):
            return ""
        written = content.flink_versions
        old = written.last is not None and _number(written.last) < (1, 19)
        if old == (_number(self._versions.first) < (1, 19)):
            return ""
        return (
            f"Flink {self._target} reads the incremental state of checkpoint "
            f"{checkpoint.checkpoint_id}, which Flink {written} wrote, without its files"
        )

    def _newest_readable(self, job: JobView) -> int | None:
        for checkpoint in reversed(job.checkpoints):
            if fate_of(checkpoint, self._versions) != "read" or not checkpoint.whole:
                continue
            assert checkpoint.content is not None
            if checkpoint.content.job_id == job.job_id:
                return checkpoint.content.checkpoint_id
        return None


def _later(one: Checkpoint, other: Checkpoint) -> bool:
    return _sort_key(one) > _sort_key(other)


def _sort_key(checkpoint: Checkpoint) -> tuple[int, str]:
    number = checkpoint.checkpoint_id
    name = checkpoint.entry.key or checkpoint.entry.name
    return (number if number is not None else -1, name)
