"""``JobResultStore``: Flink's contract test, the files' operations, decisions and takeovers."""

from __future__ import annotations

import dataclasses

import pytest
from flink_samples import FAILED, FINISHED
from stores_setup import JOB, OTHER_JOB, World, graph, result

from hawork.core.errors import (
    AlreadyExistsError,
    LeadershipLostError,
    NotExistError,
    PossibleInconsistentStateError,
    StoreFullError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind
from hawork.core.types import NO_LEADERSHIP, JobID
from hawork.ha.job_result_json import encode_job_result
from hawork.ha.pointer_store import RESULTS

DELETE = "job-result-store.delete-on-commit"
DIRTY, CLEAN = f"{JOB}_DIRTY.json", f"{JOB}.json"


class Crash(BaseException):
    """Stands for the death of the process: nothing may catch it."""


def crash() -> None:
    raise Crash


def names(world: World) -> list[str]:
    return sorted(world.result_files.files)


# --- JobResultStoreContractTest ----------------------------------------------------------


def test_a_second_result_of_a_job_is_refused(world: World) -> None:
    results = world.lead().job_results
    results.create_dirty(result())
    for second in (result(), result(status="FAILED")):
        with pytest.raises(AlreadyExistsError):
            results.create_dirty(second)
    assert results.result(JOB) == result()


def test_a_dirty_result_of_a_clean_job_is_refused(world: World) -> None:
    results = world.lead(**{DELETE: False}).job_results
    results.create_dirty(result())
    results.mark_clean(JOB)
    with pytest.raises(AlreadyExistsError):
        results.create_dirty(result())


def test_marking_clean_twice_changes_nothing(world: World) -> None:
    results = world.lead(**{DELETE: False}).job_results
    results.create_dirty(result())
    results.mark_clean(JOB)
    before = dict(world.result_files.files)
    results.mark_clean(JOB)
    assert world.result_files.files == before == {CLEAN: FINISHED}


def test_marking_an_unknown_job_clean_is_an_error(world: World) -> None:
    with pytest.raises(NotExistError):
        world.lead().job_results.mark_clean(JOB)


@pytest.mark.parametrize("state", ["none", "dirty", "clean"])
def test_has_entry(world: World, state: str) -> None:
    results = world.lead(**{DELETE: False}).job_results
    if state != "none":
        results.create_dirty(result())
    if state == "clean":
        results.mark_clean(JOB)
    assert results.has_entry(JOB) is (state != "none")
    assert results.has_dirty(JOB) is (state == "dirty")
    assert results.has_clean(JOB) is (state == "clean")
    assert results.result(JOB) == (None if state == "none" else result())


def test_only_dirty_results_are_returned(world: World) -> None:
    results = world.lead(**{DELETE: False}).job_results
    assert results.dirty_results().results == ()
    results.create_dirty(result())
    results.create_dirty(result(OTHER_JOB, "CANCELED"))
    results.mark_clean(JOB)
    assert results.dirty_results().results == (result(OTHER_JOB, "CANCELED"),)


# --- FileSystemJobResultStoreFileOperationsTest ------------------------------------------


def test_the_files_are_flinks(world: World) -> None:
    results = world.lead(**{DELETE: False}).job_results
    results.create_dirty(result())
    assert world.result_files.files == {DIRTY: FINISHED}
    results.mark_clean(JOB)
    assert world.result_files.files == {CLEAN: FINISHED}
    assert world.pointers(RESULTS) == {}


def test_delete_on_commit_leaves_nothing(world: World) -> None:
    results = world.lead().job_results
    results.create_dirty(result())
    results.mark_clean(JOB)
    assert names(world) == [] and world.pointers(RESULTS) == {}
    assert results.has_entry(JOB) is False


def test_an_unknown_status_is_not_stored(world: World) -> None:
    with pytest.raises(ValueError, match="UNKNOWN"):
        world.lead().job_results.create_dirty(result(status="UNKNOWN"))
    assert world.pointers(RESULTS) == {}


# --- decisions ---------------------------------------------------------------------------


def test_steps_and_events(world: World) -> None:
    seen: list[tuple[bool, bool]] = []
    for step in ("result.decided", "result.dirty", "result.clean"):
        world.steps.hooks[step] = lambda: seen.append(
            (JOB in world.pointers(RESULTS), DIRTY in names(world))
        )
    results = world.lead().job_results
    results.create_dirty(result())
    results.mark_clean(JOB)
    assert world.steps.names == ["result.decided", "result.dirty", "result.clean"]
    assert seen == [(True, False), (True, True), (False, False)]
    states = [facts["state"] for facts in world.kinds(EventKind.JOB_RESULT)]
    assert states == ["dirty", "clean"]


def test_a_decision_without_file_gets_it_from_the_next_leader(world: World) -> None:
    world.steps.hooks["result.decided"] = crash
    with pytest.raises(Crash):
        world.lead().job_results.create_dirty(result())
    assert names(world) == []
    results = world.lead().job_results
    assert results.has_entry(JOB)  # even before
    with pytest.raises(AlreadyExistsError):
        results.create_dirty(result(status="FAILED"))
    for _ in range(2):  # repeatable
        assert results.dirty_results().results == (result(),)
        results.carry_out(JOB)
        assert world.result_files.files == {DIRTY: FINISHED}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("operation", ["create", "write"])
def test_create_dirty_may_be_repeated_after_a_failure(
    world: World, operation: str, after: bool
) -> None:
    results = world.lead().job_results
    world.failures.fail(operation, PossibleInconsistentStateError("who knows"), after=after)
    with pytest.raises(PossibleInconsistentStateError):
        results.create_dirty(result())
    results.create_dirty(result())
    assert world.result_files.files == {DIRTY: FINISHED}


def test_a_leader_paused_at_its_decision_writes_no_file_later(world: World) -> None:
    def meanwhile() -> None:
        del world.steps.hooks["result.decided"]
        new = world.lead()
        (found,) = new.job_results.dirty_results().results
        new.cleanup.run(found)

    world.steps.hooks["result.decided"] = meanwhile
    with pytest.raises(LeadershipLostError):
        world.lead().job_results.create_dirty(result())
    assert names(world) == [] and world.pointers(RESULTS) == {}


def test_a_deposed_leader_decides_and_cleans_nothing(world: World) -> None:
    deposed = world.lead().job_results
    deposed.create_dirty(result())
    world.lead()
    with pytest.raises(LeadershipLostError):
        deposed.create_dirty(result(OTHER_JOB))
    with pytest.raises(LeadershipLostError):
        deposed.mark_clean(JOB)
    assert names(world) == [DIRTY] and list(world.pointers(RESULTS)) == [JOB]


@pytest.mark.parametrize(
    ("operation", "keep"),
    [
        ("delete", False),
        ("delete", True),
        ("rename", True),
        ("replace", False),
        ("replace", True),
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_mark_clean_may_be_repeated_after_a_failure(
    world: World, operation: str, after: bool, keep: bool
) -> None:
    results = world.lead(**{DELETE: not keep}).job_results
    results.create_dirty(result())
    world.failures.fail(operation, StoreUnavailableError("not now"), after=after)
    with pytest.raises(StoreUnavailableError):
        results.mark_clean(JOB)
    later = world.lead(**{DELETE: not keep})
    for found in later.job_results.dirty_results().results:
        later.cleanup.run(found)
    assert names(world) == ([CLEAN] if keep else [])
    assert world.pointers(RESULTS) == {}


def test_a_failure_cause_that_has_no_room_does_not_keep_its_job_from_ending(world: World) -> None:
    """The job graph, which would make room in a full ConfigMap, goes only after the result."""
    world.failures.fail("create", StoreFullError("the ConfigMap is full"))
    failed = dataclasses.replace(result(status="FAILED"), failure_cause={"class": "x" * 5000})
    results = world.lead().job_results
    results.create_dirty(failed)
    assert results.result(JOB) == result(status="FAILED")
    assert "no room" in world.kinds(EventKind.STATE_SET_ASIDE)[0]["reason"]
    world.failures.fail("create", StoreFullError("the ConfigMap is full"))
    with pytest.raises(StoreFullError):
        results.create_dirty(result(OTHER_JOB))


def test_marking_clean_works_from_the_decision_alone(world: World) -> None:
    world.steps.hooks["result.decided"] = crash
    with pytest.raises(Crash):
        world.lead().job_results.create_dirty(result())
    world.lead(**{DELETE: False}).job_results.mark_clean(JOB)
    assert world.result_files.files == {CLEAN: FINISHED}


def test_a_deposed_leader_that_renames_the_result_first_leaves_no_decision(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still after it had asked the fence; the decision stayed until the next takeover.

    Found by the simulation: long-pause@storage.rename, in one schedule of a hundred.
    """
    files = world.result_files
    rename = files.rename

    def late(source: str, target: str) -> None:
        rename(source, target)  # the deposed leader's
        rename(source, target)

    later = world.lead(**{DELETE: False})
    later.job_results.create_dirty(result())
    monkeypatch.setattr(files, "rename", late)
    later.cleanup.run(result())
    assert files.files[CLEAN] == FINISHED
    assert world.pointers(RESULTS) == {}
    assert world.kinds(EventKind.JOB_RESULT)[-1]["state"] == "clean"


# --- what others left in the directory ---------------------------------------------------


def test_flinks_own_dirty_results_are_taken_over(world: World) -> None:
    job_id = JobID("0" * 31 + "c")
    world.result_files.write(f"{job_id}_DIRTY.json", FAILED)
    stores = world.lead(**{DELETE: False})
    (found,) = stores.job_results.dirty_results().results
    stores.cleanup.run(found)
    assert world.result_files.files == {f"{job_id}.json": FAILED}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (FINISHED[:60], "not a job result"),
        (b"", "not a job result"),
        (FINISHED.replace(b"SUCCEEDED", b"UNKNOWN"), "UNKNOWN"),
        (FINISHED.replace(b"0a", b"0b"), f"result of job {OTHER_JOB}"),
    ],
)
def test_an_unusable_dirty_file_is_set_aside(world: World, content: bytes, reason: str) -> None:
    good = encode_job_result(result(OTHER_JOB))
    world.result_files.write(DIRTY, content)
    world.result_files.write(f"{OTHER_JOB}_DIRTY.json", good)
    found = world.lead().job_results.dirty_results()
    assert found.results == (result(OTHER_JOB),)
    assert [job_id for job_id, _ in found.set_aside] == [JOB]
    assert reason in found.set_aside[0][1]
    assert world.result_files.files[f"{DIRTY}.stale-1"] == content
    assert len(world.kinds(EventKind.STATE_SET_ASIDE)) == 1
    assert world.lead().job_results.dirty_results().set_aside == ()


def test_a_file_that_is_no_job_at_all_is_set_aside(world: World) -> None:
    world.result_files.write("hello_DIRTY.json", FINISHED)
    assert len(world.lead().job_results.dirty_results().set_aside) == 1
    assert names(world) == ["hello_DIRTY.json.stale-1"]


def test_set_aside_names_do_not_collide(world: World) -> None:
    for number in (1, 2, 3):
        world.result_files.write(DIRTY, b"garbage %d" % number)
        world.lead().job_results.dirty_results()
    assert names(world) == [f"{DIRTY}.stale-{number}" for number in (1, 2, 3)]
    assert world.result_files.files[f"{DIRTY}.stale-2"] == b"garbage 2"


def test_a_dirty_file_older_than_the_job_that_is_stored_now(world: World) -> None:
    """A leader that was paused wrote it late, and the job id was submitted again."""
    world.lead().job_graphs.put(graph())
    world.result_files.write(DIRTY, FINISHED)
    stores = world.lead()
    found = stores.job_results.dirty_results()
    assert found.results == () and len(found.set_aside) == 1
    assert names(world) == [f"{DIRTY}.stale-1"]
    assert stores.job_graphs.recover_all().graphs == (graph(),)


@pytest.mark.parametrize("file", [DIRTY, CLEAN])
def test_a_deposed_leader_leaves_the_files_of_the_next_one_alone(world: World, file: str) -> None:
    """It was paused between looking and writing; found by the simulation."""
    deposed = world.lead(**{DELETE: False})
    deposed.job_graphs.put(graph())
    world.lead()
    world.result_files.write(file, FINISHED)
    with pytest.raises(LeadershipLostError):
        deposed.job_results.create_dirty(result())
    assert names(world) == [file]


def test_a_deposed_leader_sets_no_file_aside_in_its_takeover(world: World) -> None:
    deposed = world.lead()
    deposed.job_graphs.put(graph())
    world.lead()
    world.result_files.write(DIRTY, FINISHED)
    with pytest.raises(LeadershipLostError):
        deposed.job_results.dirty_results()
    assert names(world) == [DIRTY]


def test_such_a_file_does_not_keep_the_running_job_from_ending(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph())
    world.result_files.write(DIRTY, encode_job_result(result(status="FAILED")))
    stores.job_results.create_dirty(result())
    assert names(world) == [DIRTY, f"{DIRTY}.stale-1"]
    assert stores.job_results.result(JOB) == result()


def test_a_file_that_differs_from_its_decision_is_replaced(world: World) -> None:
    world.lead().job_results.create_dirty(result())
    world.result_files.write(DIRTY, FINISHED[:30])
    later = world.lead().job_results
    assert later.dirty_results().results == (result(),)
    later.carry_out(JOB)
    assert len(world.kinds(EventKind.STATE_SET_ASIDE)) == 1
    assert world.result_files.files == {DIRTY: FINISHED, f"{DIRTY}.stale-1": FINISHED[:30]}


def test_a_damaged_decision_is_reported_and_does_not_block_the_job(world: World) -> None:
    stores = world.lead()
    world.cluster.backend().pointers(RESULTS).create(JOB, b"garbage", stores.session_id)
    found = stores.job_results.dirty_results()
    assert found.results == () and "garbage" in found.set_aside[0][1]
    stores.job_results.create_dirty(result())


def test_a_clean_file_beside_a_dirty_one(world: World) -> None:
    world.result_files.write(DIRTY, FINISHED)
    world.result_files.write(CLEAN, FINISHED)
    stores = world.lead(**{DELETE: False})
    (found,) = stores.job_results.dirty_results().results
    stores.cleanup.run(found)
    assert names(world) == [CLEAN]


def test_an_unreachable_storage_is_not_taken_for_damage(world: World) -> None:
    world.result_files.write(DIRTY, FINISHED)
    for operation in ("entries", "list", "read"):
        world.failures.fail(operation, StoreUnavailableError("gone"))
        with pytest.raises(StoreUnavailableError):
            world.lead().job_results.dirty_results()
    assert names(world) == [DIRTY]


def test_without_leadership_everything_is_read_and_nothing_changed(world: World) -> None:
    world.steps.hooks["result.decided"] = crash
    with pytest.raises(Crash):
        world.lead().job_results.create_dirty(result())
    world.result_files.write(f"{OTHER_JOB}_DIRTY.json", b"garbage")
    reader = world.stores(NO_LEADERSHIP).job_results
    found = reader.dirty_results()
    assert found.results == (result(),) and len(found.set_aside) == 1
    assert names(world) == [f"{OTHER_JOB}_DIRTY.json"]
    with pytest.raises(LeadershipLostError):
        reader.create_dirty(result(OTHER_JOB))
    with pytest.raises(LeadershipLostError):
        reader.mark_clean(JOB)
