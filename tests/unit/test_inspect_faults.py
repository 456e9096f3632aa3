"""Each kind of fault on each cluster: on the other store, of the other release, another job.

What is right is derived from Flink's code and from what real JobManagers did
(``DefaultCompletedCheckpointStoreUtils``, ``DefaultJobGraphStore``, both state handle stores).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from ha_cases.made import Made, Name, clusters

from hawork.core.types import StateHandle
from hawork.ha.state_handle_store import encode_handle
from hawork.inspect.inspection import Inspection
from hawork.inspect.job_graphs import decode_job_graph
from hawork.inspect.outcomes import JobManagerOutcome
from hawork.inspect.pointers import MARKER_UID_1_15
from tests.flink_vectors import vector

CLUSTERS = clusters()
JOBS = ("inlined", "exclusive", "incremental")


@dataclass
class Right:
    """The right answer: findings with their objects, and what becomes of the broken job."""

    findings: list[tuple[str, str, set[Name]]] = field(default_factory=list)
    jobmanager: JobManagerOutcome = "starts"
    outcome: tuple[str, int | None] | None = None
    newest: int | None = None


Fault = Callable[[Made, str], Right]


def file(name: str) -> Name:
    return ("file", name, None)


def newest_file_missing(made: Made, job: str) -> Right:
    older, newest = made.ids(job)
    lost = made.file(made.checkpoint(job, newest))
    del made.files[lost]
    objects = {made.checkpoint(job, newest), file(lost), made.job(job)}
    return Right([("checkpoint-file-missing", "fatal", objects)], "crash-loops",
                 ("not-recovered", None), older)  # fmt: skip


def older_file_missing(made: Made, job: str) -> Right:
    older, newest = made.ids(job)
    lost = made.file(made.checkpoint(job, older))
    del made.files[lost]
    objects = {made.checkpoint(job, older), file(lost), made.job(job)}
    return Right([("checkpoint-file-missing", "fatal", objects)], "crash-loops",
                 ("not-recovered", None), newest)  # fmt: skip


def older_file_cut(made: Made, job: str) -> Right:
    older, newest = made.ids(job)
    name = made.file(made.checkpoint(job, older))
    made.change(name, made.files[name][0][:-1000])
    objects = {made.checkpoint(job, older), file(name), made.job(job)}
    return Right([("checkpoint-file-truncated", "fatal", objects)], "crash-loops",
                 ("not-recovered", None), newest)  # fmt: skip


def newest_class_changed(made: Made, job: str) -> Right:
    older, newest = made.ids(job)
    name = made.file(made.checkpoint(job, newest))
    content = bytearray(made.files[name][0])
    content[39] ^= 4
    made.change(name, bytes(content))
    objects = {made.checkpoint(job, newest), file(name), made.job(job)}
    return Right([("checkpoint-file-corrupt", "fatal", objects)], "crash-loops",
                 ("not-recovered", None), older)  # fmt: skip


def newest_pointer_not_java(made: Made, job: str) -> Right:
    older, newest = made.ids(job)
    name = made.checkpoint(job, newest)
    kept = made.file(name)
    made.put(name, b"bm90IGEgSmF2YSBvYmplY3Q=" if name[2] else b"not a Java object")
    return Right([("pointer-unreadable", "data-loss", {name, file(kept), made.job(job)})],
                 outcome=("restored", older))  # fmt: skip


def newest_pointer_no_base64(made: Made, job: str) -> Right:
    older, newest = made.ids(job)
    name = made.checkpoint(job, newest)
    kept = made.file(name)
    made.put(name, b"*" + made.get(name))
    return Right([("pointer-unreadable", "fatal", {name, file(kept), made.job(job)})],
                 "crash-loops", ("not-recovered", None), older)  # fmt: skip


def newest_pointer_json(made: Made, job: str) -> Right:
    """Bytes that are no pointer of hawork's either do not make it a cluster of hawork's."""
    right = newest_pointer_not_java(made, job)
    name = made.checkpoint(job, made.ids(job)[-1])
    made.put(name, b"e25vdCBqYXZhfQ==" if name[2] else b'{"not": "java"}')
    return right


def own_pointer_among_flinks(made: Made, job: str) -> Right:
    name = made.graph(job)
    kept = made.file(name)
    made.put(name, encode_handle(StateHandle("jobs/x/submittedJobGraph0", 1, "0" * 64)))
    objects = {name, file(kept), made.job(job)}
    return Right([("pointer-unreadable", "fatal", objects)], "crash-loops",
                 ("not-recovered", None))  # fmt: skip


def graph_pointer_cut(made: Made, job: str) -> Right:
    name = made.graph(job)
    kept = made.file(name)
    made.put(name, made.get(name)[:40])
    objects = {name, file(kept), made.job(job)}
    if made.backend == "zookeeper":
        return Right([("pointer-unreadable", "fatal", objects)], "crash-loops",
                     ("not-recovered", None))  # fmt: skip
    return Right([("pointer-unreadable", "data-loss", objects)], outcome=("not-recovered", None))


def graph_file_missing(made: Made, job: str) -> Right:
    name = made.graph(job)
    lost = made.file(name)
    del made.files[lost]
    return Right([("job-graph-file-missing", "fatal", {name, file(lost), made.job(job)})],
                 "crash-loops", ("not-recovered", None))  # fmt: skip


def graph_file_cut(made: Made, job: str) -> Right:
    name = made.graph(job)
    cut = made.file(name)
    made.change(cut, made.files[cut][0][:5000])
    return Right([("job-graph-file-truncated", "fatal", {name, file(cut), made.job(job)})],
                 "crash-loops", ("not-recovered", None))  # fmt: skip


def graph_pointer_gone(made: Made, job: str) -> Right:
    kept = made.file(made.graph(job))
    made.remove(made.graph(job))
    return Right([("job-graph-pointer-missing", "data-loss", {file(kept), made.job(job)})],
                 outcome=("not-recovered", None))  # fmt: skip


def graph_marked(made: Made, job: str) -> Right:
    made.mark(made.graph(job))
    return Right([("marked-for-deletion", "data-loss", {made.graph(job), made.job(job)})],
                 outcome=("not-recovered", None))  # fmt: skip


def all_graphs_gone(made: Made, job: str) -> Right:
    kept = {file(made.file(made.graph(each))) for each in JOBS}
    made.remove(made.graphs_place())
    objects = {made.graphs_place(), *kept, *(made.job(each) for each in JOBS)}
    return Right([("job-graphs-lost", "data-loss", objects)], outcome=("not-recovered", None))


def job_place_gone(made: Made, job: str) -> Right:
    kept = {file(made.file(made.checkpoint(job, each))) for each in made.ids(job)}
    made.remove(made.job_place(job))
    return Right([("checkpoints-lost", "data-loss", {made.job_place(job), made.job(job), *kept})],
                 outcome=("from-scratch", None))  # fmt: skip


def checkpoint_pointers_gone(made: Made, job: str) -> Right:
    kept = {file(made.file(made.checkpoint(job, each))) for each in made.ids(job)}
    for number in made.ids(job):
        made.remove(made.checkpoint(job, number))
    return Right([("checkpoints-lost", "data-loss", {made.job(job), *kept})],
                 outcome=("from-scratch", None))  # fmt: skip


def counter_back(made: Made, job: str) -> Right:
    newest = made.ids(job)[-1]
    made.set_counter(job, newest - 2)
    objects = {made.counter(job), made.job(job), made.checkpoint(job, newest)}
    return Right([("counter-behind", "data-loss", objects)], outcome=("restored", newest))


def counter_gone(made: Made, job: str) -> Right:
    newest = made.ids(job)[-1]
    made.remove(made.counter(job))
    objects = {made.counter(job), made.job(job), made.checkpoint(job, newest)}
    return Right([("counter-behind", "data-loss", objects)], outcome=("restored", newest))


def leads_to_another_job(made: Made, job: str) -> Right:
    newest = made.ids(job)[-1]
    name = made.checkpoint(job, newest)
    other = next(each for each in JOBS if each != job)
    foreign = made.file(made.checkpoint(other, made.ids(other)[-1]))
    made.point(name, foreign)
    objects = {name, file(foreign), made.job(job), made.job(other)}
    return Right([("pointer-to-another-job", "fatal", objects)], "crash-loops",
                 ("not-recovered", None), made.ids(job)[0])  # fmt: skip


OPERATORS = {"c09dc2": "17fbfc", "20ba6b": "90bea6", "bc764c": "cbc357"}
"""How ids of the operators of ``incremental`` begin, and those of ``exclusive`` they become."""


def leads_to_another_backend(made: Made, job: str) -> Right:
    """A checkpoint in RocksDB's form for the same operators of a job with a hashmap."""
    number = made.ids("incremental")[-1]
    content, modified = made.files[made.file(made.checkpoint("incremental", number))]
    theirs = operator_ids(made, "incremental")
    ours = operator_ids(made, "exclusive")
    for begins, becomes in OPERATORS.items():
        content = content.replace(theirs[begins], ours[becomes])
    foreign = "ha/flights-prod/completedCheckpointffffffffffff"
    made.files[foreign] = (content, modified)
    name = made.checkpoint("exclusive", made.ids("exclusive")[-1])
    made.point(name, foreign)
    objects = {name, file(foreign), made.job("exclusive"), made.job("incremental")}
    return Right([("pointer-to-another-job", "stuck", objects)],
                 outcome=("restart-loop", number), newest=made.ids("exclusive")[0])  # fmt: skip


def operator_ids(made: Made, job: str) -> dict[str, bytes]:
    graph = decode_job_graph(made.files[made.file(made.graph(job))][0])
    return {each[:6]: bytes.fromhex(each) for each in graph.operator_ids}


def older_leads_to_another_job(made: Made, job: str) -> Right:
    older, newest = made.ids(job)
    other = next(each for each in JOBS if each != job)
    foreign = made.file(made.checkpoint(other, made.ids(other)[-1]))
    made.point(made.checkpoint(job, older), foreign)
    objects = {made.checkpoint(job, older), file(foreign), made.job(job), made.job(other)}
    return Right([("pointer-to-another-job", "warning", objects)], outcome=("restored", newest))


def dirty_result(made: Made, job: str) -> Right:
    name = made.result(job, dirty=True)
    made.files[name] = (result(made.jobs[job], "FAILED"), 1795970882.0)
    left = {made.checkpoint(job, each) for each in made.ids(job)}
    objects = {file(name), made.job(job), made.graph(job), *left}
    return Right([("dirty-result", "warning", objects)], outcome=("cleaned-up", None))


def dirty_result_cut(made: Made, job: str) -> Right:
    name = made.result("finished", dirty=True)
    made.files[name] = (result(made.jobs["finished"], "FINISHED")[:60], 1795970882.0)
    objects = {file(name), made.job("finished")}
    return Right([("dirty-result-unreadable", "fatal", objects)], "crash-loops",
                 ("not-recovered", None))  # fmt: skip


def clean_result(made: Made, job: str) -> Right:
    name = made.result(job)
    made.files[name] = (result(made.jobs[job], "SUCCEEDED"), 1795970882.0)
    objects = {file(name), made.job(job), made.graph(job)}
    return Right([("clean-result-with-job-graph", "data-loss", objects)],
                 outcome=("removed-as-done", None))  # fmt: skip


def result(job_id: str, status: str) -> bytes:
    return json.dumps(
        {"result": {"id": job_id, "application-status": status, "accumulator-results": {},
                    "net-runtime": 42}, "version": 1}
    ).encode()  # fmt: skip


def metadata_gone(made: Made, job: str) -> Right:
    newest = made.ids(job)[-1]
    name = f"checkpoints/{made.jobs[job]}/chk-{newest}/_metadata"
    del made.files[name]
    return Right([("metadata-file-missing", "warning", {file(name), made.job(job)})],
                 outcome=("restored", newest))  # fmt: skip


def foreign_files(made: Made, job: str) -> Right:
    source = made.file(made.checkpoint(job, made.ids(job)[-1]))
    content, modified = made.files[source]
    old, new = halves(made.jobs[job]), halves("49d6d3f1cbfe6864d4d60f3697c7077d")
    name = "ha/flights-prod/completedCheckpoint0123456789ab"
    made.files[name] = (content.replace(old[0], new[0]).replace(old[1], new[1]), modified)
    foreign: Name = ("job", "49d6d3f1cbfe6864d4d60f3697c7077d", None)
    return Right([("files-of-another-cluster", "warning", {file(name), foreign})],
                 outcome=("restored", made.ids(job)[-1]))  # fmt: skip


def halves(job_id: str) -> tuple[bytes, bytes]:
    whole = bytes.fromhex(job_id)
    return whole[:8], whole[8:]


def state_file_gone(made: Made, job: str) -> Right:
    newest = made.ids(job)[-1]
    folder = f"checkpoints/{made.jobs[job]}/chk-{newest}/"
    names = [name for name in made.files if name.startswith(folder) and "_meta" not in name]
    del made.files[names[0]]
    objects = {file(names[0]), file(made.file(made.checkpoint(job, newest))),
               made.checkpoint(job, newest), made.job(job)}  # fmt: skip
    return Right([("state-file-missing", "stuck", objects)], outcome=("restart-loop", newest),
                 newest=made.ids(job)[0])  # fmt: skip


def orphan(made: Made, job: str) -> Right:
    source = made.file(made.graph(job))
    made.files["ha/flights-prod/submittedJobGraph0123456789ab"] = (made.files[source][0], 1.79e9)
    return Right(outcome=("restored", made.ids(job)[-1]))


def more_retained(made: Made, job: str) -> Right:
    for key in ("execution.checkpointing.num-retained", "state.checkpoints.num-retained"):
        if key in made.config:
            made.config[key] = "1"
    return Right(outcome=("restored", made.ids(job)[-1]))


def not_ours(made: Made, job: str) -> Right:
    """Pointers of the release before 1.19, found by one after it."""
    made.uid = MARKER_UID_1_15
    names = [made.graph(each) for each in JOBS]
    names += [made.checkpoint(each, number) for each in JOBS for number in made.ids(each)]
    for name in names:
        made.point(name, made.file(name))
    objects = {*names, *(made.job(each) for each in JOBS)}
    return Right([("pointer-of-another-version", "data-loss", objects)],
                 outcome=("not-recovered", None))  # fmt: skip


FAULTS: tuple[Fault, ...] = (
    newest_file_missing, older_file_missing, older_file_cut, newest_class_changed,
    newest_pointer_not_java, newest_pointer_json, own_pointer_among_flinks,
    leads_to_another_backend, newest_pointer_no_base64, graph_pointer_cut, graph_file_missing,
    graph_file_cut, graph_pointer_gone, graph_marked, all_graphs_gone, job_place_gone,
    checkpoint_pointers_gone, counter_back, counter_gone, leads_to_another_job,
    older_leads_to_another_job, dirty_result, dirty_result_cut, clean_result, metadata_gone,
    foreign_files, state_file_gone, orphan, more_retained, not_ours,
)  # fmt: skip


def alarms(found: Inspection) -> list[tuple[str, str, set[Name]]]:
    return [(each.name, each.severity, {(one.kind, one.name, one.key) for one in each.objects})
            for each in found.alarms]  # fmt: skip


ON_KUBERNETES = (newest_pointer_no_base64, not_ours)
"""A znode's bytes are no base64, and its pointer has no undeclared serialVersionUID."""
DONE = [
    pytest.param(fault, name, id=f"{fault.__name__}-{name}")
    for fault in FAULTS
    for name, made in CLUSTERS.items()
    if made.backend == "kubernetes" or fault not in ON_KUBERNETES
]


@pytest.mark.parametrize(("fault", "cluster"), DONE)
def test_fault(fault: Fault, cluster: str) -> None:
    job = JOBS[(FAULTS.index(fault) + list(CLUSTERS).index(cluster)) % len(JOBS)]
    if fault in (state_file_gone, leads_to_another_backend):
        job = "exclusive"
    made = copy.deepcopy(CLUSTERS[cluster])
    right = fault(made, job)
    found = made.look()
    assert alarms(found) == right.findings
    assert found.recovery.jobmanager == right.jobmanager
    outcome = found.recovery.jobs[made.jobs[job]]
    if right.outcome is not None:
        assert (outcome.outcome, outcome.checkpoint) == right.outcome
    if right.newest is not None:
        assert outcome.newest_readable == right.newest
    if right.jobmanager == "starts" and fault not in (all_graphs_gone, not_ours):
        for other in set(JOBS) - {job}:  # one job's trouble is its own
            there = found.recovery.jobs[made.jobs[other]]
            assert (there.outcome, there.checkpoint) == ("restored", made.ids(other)[-1])


def test_all_jobs_of_flink_2_are_lost_at_the_place_of_their_plans() -> None:
    made = copy.deepcopy(CLUSTERS["zk120"])
    made.remove(made.graphs_place())
    place: Name = ("znode", f"{made.root}/execution-plans", None)
    lost = [each for each in alarms(made.look("2.1.1")) if each[0] == "job-graphs-lost"]
    assert [place in each[2] for each in lost] == [True]


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_several_faults_at_once_are_all_told(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    rights = [counter_back(made, "exclusive"), newest_file_missing(made, "inlined"),
              metadata_gone(made, "incremental")]  # fmt: skip
    wanted = [finding for right in rights for finding in right.findings]
    found = made.look()
    assert sorted(alarms(found), key=lambda each: each[0]) == sorted(
        wanted, key=lambda each: each[0]
    )
    assert found.recovery.jobmanager == "crash-loops"
    assert {job.outcome for job in found.recovery.jobs.values()} == {"not-recovered"}


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_what_ended_is_not_loaded_and_so_stops_nothing(cluster: str) -> None:
    """Its cleanup fails once on a checkpoint that cannot be read, and the next attempt does not
    load it: real Flink 1.20.5, on both stores.
    """
    made = copy.deepcopy(CLUSTERS[cluster])
    newest_file_missing(made, "inlined")
    dirty_result(made, "inlined")
    found = made.look()
    assert found.recovery.jobmanager == "starts"
    assert found.recovery.jobs[made.jobs["inlined"]].outcome == "cleaned-up"
    assert {(each.name, each.severity) for each in found.alarms} == {
        ("checkpoint-file-missing", "warning"), ("dirty-result", "warning"),
    }  # fmt: skip


@pytest.mark.parametrize("cluster", ["zk119", "zk120"])
def test_a_lock_that_does_not_go_keeps_a_job_dirty_for_ever(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    dirty_result(made, "inlined")
    lock = f"{made.graph('inlined')[1]}/locks/9a0e059e-3407-4858-97f0-d91b208eb3eb"
    made.put(("znode", lock, None), b"127.0.0.1")
    found = made.look()
    assert found.recovery.jobmanager == "starts"
    assert found.recovery.jobs[made.jobs["inlined"]].outcome == "fails"
    assert {(each.name, each.severity) for each in found.alarms} == {
        ("persistent-lock", "stuck"), ("dirty-result", "stuck"),
    }  # fmt: skip


@pytest.mark.parametrize("unreadable", [graph_file_missing, graph_file_cut])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_lost_job_graph_of_a_job_that_ended_stops_nothing_on_kubernetes(
    cluster: str, unreadable: Callable[[Made, str], Right]
) -> None:
    """On ZooKeeper the watcher of job graphs takes it for a new one. Real Flink 1.20.5, both."""
    made = copy.deepcopy(CLUSTERS[cluster])
    right = unreadable(made, "exclusive")
    dirty_result(made, "exclusive")
    if made.backend == "kubernetes":
        made.record(holderIdentity="")  # else its leader may have gone on
    found = made.look()
    ends = made.backend == "zookeeper"
    assert found.recovery.jobmanager == ("crash-loops" if ends else "starts")
    outcome = found.recovery.jobs[made.jobs["exclusive"]].outcome
    assert outcome == ("not-recovered" if ends else "cleaned-up")
    told = {each.name: each.severity for each in found.findings}
    assert told[right.findings[0][0]] == ("fatal" if ends else "warning")


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_without_a_configuration_the_same_is_found(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    right = newest_class_changed(made, "incremental")
    assert alarms(made.look(config=False)) == right.findings


@pytest.mark.parametrize(
    ("written", "target", "restored"),
    [
        ("1.18.1", "1.18.1", True), ("1.18.1", "1.19.3", False),
        ("1.19.3", "1.19.3", True), ("1.19.3", "1.18.1", False),
    ],
)  # fmt: skip
def test_incremental_state_does_not_cross_flink_1_19(
    written: str, target: str, restored: bool
) -> None:
    """Real Flink 1.19.3 ends on checkpoints of 1.18.1; see docs/predictions.md."""
    made = copy.deepcopy(CLUSTERS["zk119"])
    newest = made.checkpoint("incremental", made.ids("incremental")[-1])
    made.change(made.file(newest), vector(f"{written}.completedCheckpoint"))
    older = made.checkpoint("incremental", made.ids("incremental")[0])
    made.remove(older)
    found = made.look(target)
    why = [each for each in found.recovery.blockers if "without its files" in each.why]
    assert [each.decided_by.name for each in why] == ([] if restored else [newest[1]])
    told = [each for each in found.findings if "incremental checkpoint" in each.title]
    assert [each.severity for each in told] == ["fatal"] * (not restored)
