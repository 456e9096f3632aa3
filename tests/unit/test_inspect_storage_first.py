"""A storage that was copied before the store, while a leader went on: what came since is no loss.

Held against dumps of real Flink 1.20.5, 2.1.1 and 1.18.1 whose storage is up to a minute older.
"""

from __future__ import annotations

import copy
import datetime
from dataclasses import replace

import pytest
from ha_cases.made import Made, clusters

from hawork.inspect.cluster import LooseFile
from hawork.inspect.inspection import Inspection
from hawork.inspect.moments import times_are_original

CLUSTERS = clusters()
JOB = "exclusive"


def running(cluster: str) -> Made:
    return copy.deepcopy(CLUSTERS[cluster]).led()


def newest_file(made: Made) -> float:
    return max(modified for _, modified in made.files.values())


def folder(made: Made, number: int) -> list[str]:
    return [each for each in made.files if f"{made.jobs[JOB]}/chk-{number}/" in each]


def drop(made: Made, *names: str) -> None:
    for name in names:
        del made.files[name]


def written(made: Made, when: float) -> None:
    """The pointers of the job came then, and the leader was there until then."""
    if made.backend == "kubernetes":
        moment = datetime.datetime.fromtimestamp(when, datetime.UTC)
        made.record(renewTime=f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}")
        return
    for number in made.ids(JOB):
        place = made.checkpoint(JOB, number)[1]
        made.store[place] = {**made.store[place], "ctime": int(when * 1000)}


def outcome(found: Inspection, made: Made) -> tuple[str, int | None]:
    job = found.recovery.jobs[made.jobs[JOB]]
    return job.outcome, job.checkpoint


@pytest.mark.parametrize("before", [20.0, 600.0])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_first_checkpoints_of_a_job_came_later(cluster: str, before: float) -> None:
    """Neither file nor folder of any is there. Ten minutes before, it may have been put back."""
    made = running(cluster)
    for number in made.ids(JOB):
        drop(made, made.file(made.checkpoint(JOB, number)), *folder(made, number))
    when = newest_file(made) + before
    written(made, when)
    found = made.look(latest=when + 1)
    assert {each.code for each in found.alarms} == (set() if before < 60 else {"HA101"})
    right = ("restored", made.ids(JOB)[-1]) if before < 60 else ("not-recovered", None)
    assert outcome(found, made) == right


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_of_a_leader_that_was_dead_they_are_missing(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    for number in made.ids(JOB):
        drop(made, made.file(made.checkpoint(JOB, number)), *folder(made, number))
    when = newest_file(made) + 20
    written(made, when)
    if made.backend == "kubernetes":  # another job came when the lease had run out
        later = datetime.datetime.fromtimestamp(when + 60, datetime.UTC)
        metadata = made.store[made.cluster_map]["metadata"]
        metadata["creationTimestamp"] = f"{later:%Y-%m-%dT%H:%M:%SZ}"
    found = made.look(latest=when + 61)
    assert "HA101" in [each.code for each in found.alarms]
    assert found.recovery.jobmanager == "crash-loops"


@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_copy_that_has_the_folder_of_a_checkpoint_and_not_yet_its_file(
    cluster: str, later: bool
) -> None:
    """Of the next one nothing is there. Where there is no next one, the file is missing."""
    made = running(cluster)
    older, newest = made.ids(JOB)
    cut = older if later else newest
    drop(made, made.file(made.checkpoint(JOB, cut)))
    if later:
        drop(made, made.file(made.checkpoint(JOB, newest)), *folder(made, newest))
    when = newest_file(made) + 1
    written(made, when)
    found = made.look(latest=when + 60)
    assert [each.code for each in found.alarms] == ([] if later else ["HA101"])
    assert outcome(found, made) == (("restored", newest) if later else ("not-recovered", None))


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_copy_right_after_a_start_has_a_job_graph_and_nothing_else(cluster: str) -> None:
    """Only the store tells then whether the files' times are those at which they were written."""
    made = running(cluster)
    first = min(("inlined", "exclusive", "incremental"),
                key=lambda job: made.files[made.file(made.graph(job))][1])  # fmt: skip
    kept = made.file(made.graph(first))
    made.files = {kept: made.files[kept]}
    when = newest_file(made) + 40
    for job in ("inlined", "exclusive", "incremental"):
        if made.backend == "kubernetes":
            written(made, when)
            if job != first:
                moment = datetime.datetime.fromtimestamp(when, datetime.UTC)
                metadata = made.store[made.job_map(job)]["metadata"]
                metadata["creationTimestamp"] = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
            continue
        names = [made.checkpoint(job, number) for number in made.ids(job)]
        for name in (*names, *([made.graph(job)] if job != first else ())):
            made.store[name[1]] = {**made.store[name[1]], "ctime": int(when * 1000)}
    found = made.look(latest=when + 1)
    assert found.alarms == []
    assert found.recovery.jobmanager == "starts"


@pytest.mark.parametrize("restored", [True, False])
def test_a_savepoint_that_a_job_began_with_says_nothing_of_times(restored: bool) -> None:
    """Flink writes that it was completed in 1970, or when the savepoint was taken."""
    cluster = running("zk120").look().cluster
    assert cluster.original_times
    checkpoint = cluster.jobs[running("zk120").jobs[JOB]].checkpoints[-1]
    assert checkpoint.content is not None and checkpoint.file is not None
    content = replace(
        checkpoint.content, completion_timestamp=0,
        restored_properties=checkpoint.content.properties if restored else None,
    )  # fmt: skip
    cluster.loose.append(LooseFile(checkpoint.file.name, 1, None, "completed checkpoint",
                                   content=content))  # fmt: skip
    assert times_are_original(cluster) == restored
