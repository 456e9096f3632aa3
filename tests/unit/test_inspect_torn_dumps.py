"""Dumps of a cluster that runs: pointers that came or went meanwhile are no loss."""

from __future__ import annotations

import copy
import datetime
from pathlib import Path

import pytest
from ha_cases.made import LATEST, Made, clusters
from test_inspect_faults import (
    alarms,
    all_graphs_gone,
    file,
    foreign_files,
    graph_file_missing,
    job_place_gone,
    result,
)
from test_inspect_leadership import led_on

from hawork.inspect.archive import DirectoryStorage, UnionStorage
from hawork.inspect.inspection import Inspection

CLUSTERS = clusters()
ON_ZOOKEEPER = ("zk119", "zk120")
JOB = "exclusive"


def running(cluster: str) -> Made:
    return copy.deepcopy(CLUSTERS[cluster]).led()


def look(made: Made) -> Inspection:
    """At a dump that was written a minute after the newest file."""
    newest = max((modified for _, modified in made.files.values()), default=LATEST)
    return made.look(latest=newest + 60)


def pointers_gone(made: Made) -> list[str]:
    """Without the pointers of one job; the files that they led to."""
    files = [made.file(made.checkpoint(JOB, number)) for number in made.ids(JOB)]
    for number in made.ids(JOB):
        made.remove(made.checkpoint(JOB, number))
    return files


def parent(made: Made) -> dict[str, object]:
    return dict(made.store[f"{made.job_place(JOB)[1]}/checkpoints"])


def outcome(found: Inspection, made: Made) -> tuple[str, int | None]:
    job = found.recovery.jobs[made.jobs[JOB]]
    return job.outcome, job.checkpoint


@pytest.mark.parametrize("cluster", ON_ZOOKEEPER)
def test_pointers_that_were_replaced_between_list_and_look_are_not_lost(cluster: str) -> None:
    """Their parent counts two children, and neither was there any more when it was read."""
    made = running(cluster)
    newest = made.ids(JOB)[-1]
    pointers_gone(made)
    found = look(made)
    assert found.alarms == []
    assert outcome(found, made) == ("restored", newest)
    (told,) = [each for each in found.findings if each.name == "dump-of-two-moments"]
    assert made.job(JOB)[1] in [each.name for each in told.objects]


@pytest.mark.parametrize("cluster", ON_ZOOKEEPER)
def test_of_such_pointers_the_store_alone_tells_nothing(cluster: str) -> None:
    made = running(cluster)
    pointers_gone(made)
    made.files = {}
    found = look(made)
    assert found.alarms == []
    assert outcome(found, made) == ("unknown", None)
    assert found.exit_status == 2


@pytest.mark.parametrize("cluster", ON_ZOOKEEPER)
@pytest.mark.parametrize("led", [True, False])
def test_pointers_that_are_not_counted_or_have_no_leader_are_lost(cluster: str, led: bool) -> None:
    made = running(cluster) if led else copy.deepcopy(CLUSTERS[cluster])
    place = f"{made.job_place(JOB)[1]}/checkpoints"
    files = pointers_gone(made)
    if led:
        made.store[place] = {**parent(made), "numChildren": 0}
    found = look(made)
    objects = {made.job(JOB), *map(file, files)}
    assert alarms(found) == [("checkpoints-lost", "data-loss", objects)]
    assert outcome(found, made) == ("from-scratch", None)


@pytest.mark.parametrize("cluster", ON_ZOOKEEPER)
def test_a_file_whose_pointer_never_was_is_no_loss(cluster: str) -> None:
    """The JobManager died between the file and the pointer of a job's first checkpoint."""
    made = copy.deepcopy(CLUSTERS[cluster])
    older, newest = pointers_gone(made)
    del made.files[older]
    place = f"{made.job_place(JOB)[1]}/checkpoints"
    made.store[place] = {**parent(made), "numChildren": 0, "cversion": 0}
    found = look(made)
    assert found.alarms == []
    assert outcome(found, made) == ("from-scratch", None)
    (told,) = [each for each in found.findings if each.code in ("HA501", "HA502")]
    assert newest in [each.name for each in told.objects]


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("late", [True, False])
def test_the_first_checkpoint_may_be_under_way_when_the_store_is_dumped(
    cluster: str, late: bool
) -> None:
    """Its id was taken, its file and then its pointer came while the storage was copied."""
    made = running(cluster)
    older, newest = made.ids(JOB)
    files = pointers_gone(made)
    if made.backend == "zookeeper":
        made.store[f"{made.job_place(JOB)[1]}/checkpoints"] |= {"numChildren": 0}
    del made.files[files[0]]
    for name in [each for each in made.files if f"{made.jobs[JOB]}/chk-{older}/" in each]:
        del made.files[name]
    made.set_counter(JOB, newest + 1)
    came = made.files[files[1]][1]
    found = made.look(latest=came + (1.0 if late else 60.0))
    lost = [each for each in found.alarms if each.name == "checkpoints-lost"]
    assert bool(lost) == (not late)
    assert outcome(found, made) == (("restored", newest) if late else ("from-scratch", None))


def test_a_directory_that_is_there_and_empty_was_looked_at(tmp_path: Path) -> None:
    """That of savepoints is, where none was taken: a living cluster was *could not look*."""
    (tmp_path / "savepoints").mkdir()
    storage = UnionStorage({"srv/savepoints": DirectoryStorage(tmp_path / "savepoints")})
    assert list(storage.listing()) == []
    assert (storage.folders, storage.notes) == ({"srv/savepoints"}, [])


@pytest.mark.parametrize("copied_first", [True, False])
@pytest.mark.parametrize("dirty", [True, False])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_job_that_ended_after_the_store_was_dumped_is_no_damage(
    cluster: str, dirty: bool, copied_first: bool
) -> None:
    """As dumps of real Flink on Kubernetes had it: the pointers, a result, and no files.

    ``copied_first``: the folders of its checkpoints, which are then there.
    """
    made = running(cluster)
    newest = max(modified for _, modified in made.files.values())
    names = [made.checkpoint(JOB, each) for each in made.ids(JOB)]
    for name in names if copied_first else (made.graph(JOB), *names):
        del made.files[made.file(name)]
    folders = [each for each in made.files if f"{made.jobs[JOB]}/chk-" in each]
    for name in folders if not copied_first else ():
        del made.files[name]
    made.files[made.result(JOB, dirty)] = (result(made.jobs[JOB], "SUCCEEDED"), newest)
    found = made.look(latest=newest + 0.5) if copied_first else look(made)
    assert found.alarms == []
    assert outcome(found, made) == ("cleaned-up", None)
    assert "HA506" in [each.code for each in found.findings]


@pytest.mark.parametrize("age", [5.0, 300.0])
@pytest.mark.parametrize("pointers", [True, False])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_dirty_result_is_a_warning_when_no_leader_is_cleaning_up(
    cluster: str, pointers: bool, age: float
) -> None:
    """A leader removes the checkpoint pointers before it writes the result, and the rest after."""
    made = running(cluster)
    newest = max(modified for _, modified in made.files.values())
    if not pointers:
        for name in pointers_gone(made):
            del made.files[name]
    made.files[made.result(JOB, dirty=True)] = (result(made.jobs[JOB], "FAILED"), newest - age)
    told = {each.code: each.severity for each in look(made).findings}
    assert told["HA301"] == ("info" if age == 5.0 and not pointers else "warning")
    made.files[made.result(JOB, dirty=True)] = (result(made.jobs[JOB], "FAILED"), newest)
    if made.backend == "zookeeper":
        for path in [each for each in made.store if "/leader/latch/" in each]:
            del made.store[path]
    else:
        made.record(holderIdentity="")
    told = {each.code: each.severity for each in look(made).findings}
    assert told["HA301"] == "warning"


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_file_of_a_replaced_checkpoint_goes_before_its_folder(cluster: str, late: bool) -> None:
    """Its file is gone, its ``_metadata`` is there, and the next one is whole but for its pointer.

    As of two of forty dumps of real Flink 1.20.5 on Kubernetes. Long before the dump it is damage,
    beside a checkpoint that a kill left half written.
    """
    made = running(cluster)
    older, newest = made.ids(JOB)
    lost = made.file(made.checkpoint(JOB, older))
    chk = f"checkpoints/{made.jobs[JOB]}/chk-"
    kept = {name: each for name, each in made.files.items() if name.startswith(chk)}
    led_on(made, JOB, 1)
    made.files.update(kept)
    came = max(modified for _, modified in made.files.values())
    found = made.look(latest=came + (0.5 if late else 60.0))
    assert [each.name for each in found.alarms] == ([] if late else ["checkpoint-file-missing"])
    assert lost not in made.files
    assert outcome(found, made) == (("restored", newest) if late else ("not-recovered", None))


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_one_that_is_just_being_replaced_may_still_be_pointed_to(
    cluster: str, late: bool
) -> None:
    """One is retained, two are in the store, and of the older one the file is gone already.

    As a dump of real Flink 1.20.5 on Kubernetes had it.
    """
    made = running(cluster)
    for key in ("execution.checkpointing.num-retained", "state.checkpoints.num-retained"):
        if key in made.config:
            made.config[key] = "1"
    older, newest = made.ids(JOB)
    del made.files[made.file(made.checkpoint(JOB, older))]
    came = made.files[made.file(made.checkpoint(JOB, newest))][1]
    found = made.look(latest=came + (1.0 if late else 60.0))
    assert [each.name for each in found.alarms] == ([] if late else ["checkpoint-file-missing"])
    assert outcome(found, made) == (("restored", newest) if late else ("not-recovered", None))


def forget(made: Made, job: str) -> None:
    """The store as it was before the job was submitted."""
    made.remove(made.graph(job))
    made.remove(made.job_place(job))
    if made.backend == "kubernetes":
        made.remove(made.address(f"job-{made.jobs[job]}"))
    else:
        made.remove(("znode", f"{made.root}/leader/job-{made.jobs[job]}", None))


def touched(made: Made, job: str, moment: float) -> None:
    """The files of a job in storageDir, as if they had come at ``moment``."""
    names = [made.graph(job), *(made.checkpoint(job, each) for each in made.ids(job))]
    for name in map(made.file, names):
        made.files[name] = (made.files[name][0], moment)


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("after", [5.0, -40.0])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_job_that_came_after_the_store_was_dumped_is_not_anothers(
    cluster: str, after: float, every: bool
) -> None:
    """As of dumps of real Flink, store and storage seconds apart. Before it, it may be."""
    made = running(cluster)
    dumped = max(modified for _, modified in made.files.values()) + 20
    for job in ("inlined", "exclusive", "incremental") if every else (JOB,):
        touched(made, job, dumped + after)
        forget(made, job)
    found = made.look(latest=dumped)
    told = [each.name for each in found.alarms]
    lost = "job-graphs-lost" if every else "files-of-another-cluster"
    assert told == ([] if after > 0 else [lost])
    if after > 0:
        assert "HA506" in [each.code for each in found.findings]
        assert made.jobs[JOB] not in found.recovery.jobs


@pytest.mark.parametrize("after", [5.0, -1.0])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_first_checkpoints_of_a_job_without_a_counter_may_come_later(
    cluster: str, after: float
) -> None:
    """Later than the dump, and not right before it: then their job's place was deleted."""
    late = after > 0
    made = running(cluster)
    newest = made.ids(JOB)[-1]
    dumped = max(modified for _, modified in made.files.values()) + 20
    touched(made, JOB, dumped + after)
    pointers_gone(made)
    made.remove(made.job_place(JOB))
    found = made.look(latest=dumped)
    assert [each.name for each in found.alarms] == ([] if late else ["checkpoints-lost"])
    assert outcome(found, made) == (("restored", newest) if late else ("from-scratch", None))


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_job_of_which_everything_went_ended_where_the_leader_went_on(
    cluster: str, written: bool
) -> None:
    """No result is kept by default. What another job wrote after the dump tells of the leader."""
    made = running(cluster)
    dumped = max(modified for _, modified in made.files.values()) + 30
    for name in (made.graph(JOB), *(made.checkpoint(JOB, each) for each in made.ids(JOB))):
        del made.files[made.file(name)]
    for name in [each for each in made.files if f"{made.jobs[JOB]}/chk-" in each]:
        del made.files[name]
    other = f"checkpoints/{made.jobs['inlined']}/chk-{made.ids('inlined')[-1]}/_metadata"
    made.files[other] = (made.files[other][0], dumped + (5.0 if written else -5.0))
    found = made.look(latest=dumped)
    assert ("HA201" in [each.code for each in found.alarms]) == (not written)
    assert (found.recovery.jobmanager == "starts") == written
    if written:
        assert outcome(found, made) == ("cleaned-up", None)


@pytest.mark.parametrize("before", [30.0, 600.0])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_job_that_came_after_the_storage_was_copied_lacks_no_files(
    cluster: str, before: float
) -> None:
    """Long before, the storage may have been put back to what it was: then they are missing."""
    made = running(cluster)
    names = [made.graph(JOB), *(made.checkpoint(JOB, each) for each in made.ids(JOB))]
    for name in names:
        del made.files[made.file(name)]
    for name in [each for each in made.files if f"{made.jobs[JOB]}/" in each]:
        del made.files[name]
    came = max(modified for _, modified in made.files.values()) + before
    if made.backend == "kubernetes":
        when = datetime.datetime.fromtimestamp(came, datetime.UTC)
        metadata = made.store[made.job_map(JOB)]["metadata"]
        metadata["creationTimestamp"] = f"{when:%Y-%m-%dT%H:%M:%SZ}"
        made.record(renewTime=f"{when:%Y-%m-%dT%H:%M:%S.%fZ}")
    else:
        for name in names:
            made.store[name[1]] = {**made.store[name[1]], "ctime": int(came * 1000)}
    found = made.look(latest=came + 5)
    codes = {each.code for each in found.alarms}
    assert codes == (set() if before < 60 else {"HA101", "HA201"})
    newest = made.ids(JOB)[-1]
    assert outcome(found, made) == (
        ("restored", newest) if before < 60 else ("not-recovered", None)
    )


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_copy_that_gave_all_files_its_own_time_hides_no_loss(cluster: str) -> None:
    """As 'cp -r' does: every file seems to have come after the store was dumped."""
    for fault in (job_place_gone, all_graphs_gone, foreign_files, graph_file_missing):
        made = running(cluster)
        right = fault(made, JOB)
        copied = max(modified for _, modified in made.files.values()) + 3600
        made.files = {name: (content, copied) for name, (content, _) in made.files.items()}
        found = made.look(latest=copied - 10)
        told = {each.name for each in found.alarms}
        assert {finding[0] for finding in right.findings} <= told, fault
        assert found.recovery.jobmanager == right.jobmanager
