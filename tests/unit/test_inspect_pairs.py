"""Two faults at once: what one of them hides of the other, and what a severity says.

What is right is from runs of real Flink (docs/predictions.md) where one was possible.
"""

from __future__ import annotations

import copy
import itertools
import random

import pytest
from ha_cases.made import Made
from test_inspect_faults import (
    CLUSTERS,
    FAULTS,
    JOBS,
    ON_KUBERNETES,
    Fault,
    alarms,
    all_graphs_gone,
    checkpoint_pointers_gone,
    clean_result,
    file,
    graph_file_missing,
    graph_marked,
    graph_pointer_gone,
    job_place_gone,
    leads_to_another_job,
    newest_file_missing,
    newest_pointer_not_java,
    not_ours,
    older_file_missing,
    orphan,
)

from hawork.inspect.errors import UndecodableError
from hawork.inspect.report import as_text, headline

KUBERNETES = [name for name, made in CLUSTERS.items() if made.backend == "kubernetes"]


def by_name(found: list[tuple[str, str, set[tuple[str, str, str | None]]]]) -> object:
    return sorted(found, key=lambda each: (each[0], sorted(map(str, each[2]))))


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_all_job_graphs_and_one_jobs_place_are_gone(cluster: str) -> None:
    """Its files lie among those of the other lost jobs: they are not another cluster's."""
    made = copy.deepcopy(CLUSTERS[cluster])
    wanted = [*all_graphs_gone(made, "inlined").findings]
    wanted += job_place_gone(made, "inlined").findings
    found = made.look()
    assert by_name(alarms(found)) == by_name(wanted)
    outcomes = {found.recovery.jobs[made.jobs[job]].outcome for job in JOBS}
    assert outcomes == {"not-recovered"}


@pytest.mark.parametrize("before_1_19", [False, True])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_of_one_job_only_the_files_are_left_and_its_leaders_place(
    cluster: str, before_1_19: bool
) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    if before_1_19:
        call_leaders_of_jobs_by_their_ids(made)
    wanted = [*graph_pointer_gone(made, "exclusive").findings]
    wanted += job_place_gone(made, "exclusive").findings
    found = made.look()
    assert by_name(alarms(found)) == by_name(wanted)
    assert found.recovery.jobs[made.jobs["exclusive"]].outcome == "not-recovered"


def call_leaders_of_jobs_by_their_ids(made: Made) -> None:
    """As Flink 1.18.1 does."""
    if made.backend == "kubernetes":
        data = made.store[made.cluster_map]["data"]
        for key in [each for each in data if ".leader.job-" in each]:
            data[key.replace(".leader.job-", ".leader.")] = data.pop(key)
        return
    for path in [each for each in made.store if "/leader/job-" in each]:
        node = made.store.pop(path)
        path = path.replace("/leader/job-", "/leader/")
        made.store[path] = {**node, "path": path}


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_files_of_a_job_that_the_store_never_led_may_be_another_clusters(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    graph_pointer_gone(made, "exclusive")
    job_place_gone(made, "exclusive")
    job = made.jobs["exclusive"]
    if made.backend == "kubernetes":
        made.remove(made.address(f"job-{job}"))
    else:
        made.remove(("znode", f"{made.root}/leader/job-{job}", None))
    assert [each[0] for each in alarms(made.look())] == ["files-of-another-cluster"]


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_job_graph_and_its_checkpoints_are_both_gone(cluster: str) -> None:
    """Writing the job graph again would let the job start from nothing."""
    made = copy.deepcopy(CLUSTERS[cluster])
    wanted = [*graph_pointer_gone(made, "inlined").findings]
    wanted += checkpoint_pointers_gone(made, "inlined").findings
    assert by_name(alarms(made.look())) == by_name(wanted)


@pytest.mark.parametrize("cluster", KUBERNETES)
@pytest.mark.parametrize(
    ("fault", "severity"),
    [
        (newest_file_missing, "warning"), (older_file_missing, "warning"),
        (graph_file_missing, "warning"), (leads_to_another_job, "warning"),
        (newest_pointer_not_java, "data-loss"), (graph_marked, "data-loss"),
        (checkpoint_pointers_gone, "data-loss"), (clean_result, "data-loss"),
    ],
)  # fmt: skip
def test_pointers_of_another_release_hide_no_damage(
    cluster: str, fault: Fault, severity: str
) -> None:
    """What ends no JobManager, since none loads it, is a warning; what is lost is lost."""
    made = copy.deepcopy(CLUSTERS[cluster])
    not_ours(made, "inlined")
    ((name, _, objects),) = fault(made, "inlined").findings
    found = made.look()
    assert {each[0] for each in alarms(found)} == {"pointer-of-another-version", name}
    assert (name, severity, objects) in alarms(found)
    assert found.recovery.jobmanager == "starts"
    assert {each.outcome for each in found.recovery.jobs.values()} == {"not-recovered"}


@pytest.mark.parametrize("cluster", ["zk119", "zk120"])
def test_a_damaged_job_graph_that_is_not_looked_for_ends_nothing(cluster: str) -> None:
    """Flink 2 looks for execution plans."""
    made = copy.deepcopy(CLUSTERS[cluster])
    graph_file_missing(made, "inlined")
    found = made.look("2.1.1")
    told = {each.name: each.severity for each in found.alarms}
    assert told == {"job-graph-file-missing": "warning", "stored-for-another-version": "data-loss"}
    assert found.recovery.jobmanager == "starts"


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_an_older_pointer_to_the_newest_file_loses_no_state(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    older, newest = made.ids("exclusive")
    right = made.file(made.checkpoint("exclusive", newest))
    made.point(made.checkpoint("exclusive", older), right)
    found = made.look()
    objects = {made.checkpoint("exclusive", older), file(right), made.job("exclusive")}
    assert alarms(found) == [("pointer-to-another-checkpoint", "warning", objects)]
    job = found.recovery.jobs[made.jobs["exclusive"]]
    assert (job.outcome, job.checkpoint) == ("restored", newest)


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_newest_pointer_to_an_older_file_loses_state(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    older, newest = made.ids("exclusive")
    wrong = made.file(made.checkpoint("exclusive", older))
    made.point(made.checkpoint("exclusive", newest), wrong)
    found = made.look()
    objects = {made.checkpoint("exclusive", newest), file(wrong), made.job("exclusive")}
    assert alarms(found) == [("pointer-to-another-checkpoint", "data-loss", objects)]
    job = found.recovery.jobs[made.jobs["exclusive"]]
    assert (job.outcome, job.checkpoint) == ("restored", older)


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_fatal_finding_says_that_no_jobmanager_stays_and_the_reverse(cluster: str) -> None:
    """Of pairs of faults, done to one job and to two, also for another release."""
    backend = CLUSTERS[cluster].backend
    faults = [each for each in FAULTS if backend == "kubernetes" or each not in ON_KUBERNETES]
    pairs = list(itertools.permutations(faults, 2))
    luck = random.Random(cluster)
    for first, second in luck.sample(pairs, 60):
        made = copy.deepcopy(CLUSTERS[cluster])
        if not done(made, first, luck.choice(JOBS)) or not done(made, second, luck.choice(JOBS)):
            continue
        found = made.look(luck.choice((None, None, "2.1.1")))
        fatal = any(each.severity == "fatal" for each in found.alarms)
        what = (first.__name__, second.__name__, alarms(found))
        assert fatal == (found.recovery.jobmanager != "starts"), what


def done(made: Made, fault: Fault, job: str) -> bool:
    """``False`` when what the fault would break is not there any more."""
    try:
        fault(made, job)
    except (LookupError, ValueError, UndecodableError):
        return False
    return True


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (newest_pointer_not_java, "WILL START AND LOSE STATE OF 1 JOB"),
        (checkpoint_pointers_gone, "WILL START AND LOSE 1 JOB"),
        (newest_file_missing, "WILL NOT STAY UP"), (orphan, "WILL START"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_first_words_say_what_is_lost(cluster: str, fault: Fault, words: str) -> None:
    """A job that is restored from an older checkpoint than its newest one loses state, too."""
    made = copy.deepcopy(CLUSTERS[cluster])
    fault(made, "exclusive")
    found = made.look()
    assert headline(found)[0] == words
    repair = "'hawork repair' with the same options"
    assert (repair in as_text(found)) == bool(found.alarms)
