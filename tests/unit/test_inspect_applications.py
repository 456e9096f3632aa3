"""Application mode: ``main()`` submits the job of the cluster again, whose id stays what it was.

Real Flink 1.20.5 (``StandaloneApplicationClusterEntryPoint`` on ZooKeeper) did what is right here.
"""

from __future__ import annotations

import copy
import json

import pytest
from ha_cases.made import Made, clusters
from test_inspect_faults import (
    alarms,
    all_graphs_gone,
    checkpoint_pointers_gone,
    clean_result,
    dirty_result,
    graph_marked,
    graph_pointer_cut,
    graph_pointer_gone,
    newest_file_missing,
)

CLUSTERS = clusters()
FIXED = "ffffffffec9379550000000000000000"


def application(cluster: str, job_id: str = FIXED) -> Made:
    """A cluster of one job, whose id is that of an application."""
    made = copy.deepcopy(CLUSTERS[cluster])
    for other in ("exclusive", "incremental"):
        made.remove(made.graph(other))
        made.remove(made.job_place(other))
        gone = made.jobs.pop(other)
        binary = bytes.fromhex(gone)
        for name in [each for each, (content, _) in made.files.items()
                     if gone in each or binary[:8] in content]:  # fmt: skip
            del made.files[name]
    old, was, becomes = made.jobs["inlined"], *map(bytes.fromhex, (made.jobs["inlined"], job_id))
    made.jobs["inlined"] = job_id
    made.store = json.loads(json.dumps(made.store).replace(old, job_id))
    made.files = {
        name.replace(old, job_id): (
            content.replace(old.encode(), job_id.encode())
            .replace(was[:8], becomes[:8]).replace(was[8:], becomes[8:]), modified,
        )
        for name, (content, modified) in made.files.items()
    }  # fmt: skip
    return made


def outcome(made: Made) -> tuple[str, int | None]:
    job = made.look().recovery.jobs[made.jobs["inlined"]]
    return job.outcome, job.checkpoint


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_job_whose_graph_is_lost_takes_its_newest_checkpoint(cluster: str) -> None:
    made = application(cluster)
    assert made.look().alarms == []
    newest = made.ids("inlined")[-1]
    ((name, _, objects),) = graph_pointer_gone(made, "inlined").findings
    assert outcome(made) == ("restored", newest)
    assert alarms(made.look()) == [(name, "warning", objects)]


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_so_it_does_when_the_place_of_job_graphs_is_gone(cluster: str) -> None:
    made = application(cluster)
    made.remove(made.graphs_place())
    assert outcome(made) == ("restored", made.ids("inlined")[-1])
    assert [each[:2] for each in alarms(made.look())] == [("job-graphs-lost", "warning")]


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_without_checkpoints_it_begins_from_nothing(cluster: str) -> None:
    made = application(cluster)
    graph_pointer_gone(made, "inlined")
    checkpoint_pointers_gone(made, "inlined")
    assert outcome(made) == ("from-scratch", None)
    told = {each[:2] for each in alarms(made.look())}
    assert told == {("job-graph-pointer-missing", "data-loss"), ("checkpoints-lost", "data-loss")}


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_checkpoint_that_cannot_be_read_ends_the_jobmanager_here_too(cluster: str) -> None:
    made = application(cluster)
    newest_file_missing(made, "inlined")
    made.remove(made.graph("inlined"))
    assert made.look().recovery.jobmanager == "crash-loops"
    told = {each[:2] for each in alarms(made.look())}
    assert ("checkpoint-file-missing", "fatal") in told


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_job_of_a_session_is_not_submitted_by_main(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    assert all_graphs_gone(made, "inlined").outcome == ("not-recovered", None)
    assert {each.outcome for each in made.look().recovery.jobs.values()} == {"not-recovered"}


def test_the_configuration_may_name_the_job() -> None:
    job_id = "0123456789abcdef0123456789abcdef"
    made = application("k8s120", job_id)
    graph_pointer_gone(made, "inlined")
    assert outcome(made)[0] == "not-recovered"
    made.config["$internal.pipeline.job-id"] = job_id
    assert outcome(made)[0] == "restored"


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_job_graph_that_is_marked_for_deletion_is_written_again(cluster: str) -> None:
    """On Kubernetes also what cannot be read. On ZooKeeper the JobManager sees the old node go,
    and suspends the job that it has just begun."""
    made = application(cluster)
    newest = made.ids("inlined")[-1]
    on_kubernetes = made.backend == "kubernetes"
    for fault in (graph_marked, graph_pointer_cut) if on_kubernetes else (graph_marked,):
        broken = copy.deepcopy(made)
        ((name, severity, objects),) = fault(broken, "inlined").findings
        right = ("restored", newest) if on_kubernetes else ("not-recovered", None)
        assert outcome(broken) == right
        expected = (name, "warning" if on_kubernetes else severity, objects)
        assert alarms(broken.look()) == [expected]


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_what_ended_is_not_run_again(cluster: str) -> None:
    """``main()`` submits it, and the dispatcher ignores what has a result."""
    for fault, ended in ((dirty_result, "cleaned-up"), (clean_result, "removed-as-done")):
        made = application(cluster)
        fault(made, "inlined")
        assert outcome(made) == (ended, None)
    made = application(cluster)
    dirty_result(made, "inlined")
    made.remove(made.graph("inlined"))
    assert outcome(made) == ("cleaned-up", None)
