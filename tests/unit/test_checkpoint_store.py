"""``CompletedCheckpointStore`` and ``CheckpointIDCounter``: Flink's tests, and damaged files."""

from __future__ import annotations

import pytest
from stores_setup import JOB, OTHER_JOB, World, checkpoint, state_file

from hawork.core.errors import (
    AlreadyExistsError,
    HighAvailabilityError,
    LeadershipLostError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind
from hawork.core.jobs import JobStatus
from hawork.ha.checkpoint_store import RecoveredCheckpoint
from hawork.ha.pointer_store import checkpoints, counters
from hawork.testing import in_memory


def files(world: World) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in world.files.files)


def checkpoint_files(world: World) -> int:
    return sum(name.startswith("completedCheckpoint") for name in files(world))


def damage_checkpoint(world: World, position: int) -> None:
    """Damage a checkpoint's file; 0 is that of the checkpoint with the lowest id."""
    import json

    pointers = list(world.pointers(checkpoints(JOB)).values())
    world.damage(json.loads(pointers[position])["path"])


def test_the_newest_are_retained_in_order(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 2)
    for number in (1, 2, 3):
        store.add(checkpoint(number))
    assert store.all_ids() == [2, 3]
    assert list(world.pointers(checkpoints(JOB))) == [f"{n:019d}" for n in (2, 3)]
    assert checkpoint_files(world) == 2
    assert world.lead().completed_checkpoints(JOB, 2).recover() == RecoveredCheckpoint(
        checkpoint(3), ()
    )


def test_steps_are_reached_in_order(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 1)
    store.add(checkpoint(1))
    store.add(checkpoint(2))
    first = ["checkpoint.written", "checkpoint.pointer_added"]
    assert world.steps.names == [*first, *first, "checkpoint.subsumed"]


def test_nothing_is_subsumed_before_the_number_is_reached(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 3)
    for number in (1, 2, 3):
        store.add(checkpoint(number))
    assert store.all_ids() == [1, 2, 3]


def test_state_files_go_with_the_checkpoints_that_no_other_shares(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 1)
    own, shared = state_file(world, "own"), state_file(world, "shared")
    store.add(checkpoint(1, handle=own))
    store.add(checkpoint(2, handle=shared))
    store.add(checkpoint(3, handle=shared))
    assert [name for name in files(world) if not name.startswith("completed")] == ["shared"]


def test_a_later_leader_removes_state_files_of_what_it_subsumes(world: World) -> None:
    world.lead().completed_checkpoints(JOB, 1).add(checkpoint(1, handle=state_file(world, "s")))
    later = world.lead().completed_checkpoints(JOB, 1)
    later.add(checkpoint(2))
    assert "s" not in files(world)


def test_a_failed_add_subsumes_nothing(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 1)
    store.add(checkpoint(1))
    world.failures.fail("create", StoreUnavailableError("no store"))
    with pytest.raises(StoreUnavailableError):
        store.add(checkpoint(2))
    assert store.all_ids() == [1] and checkpoint_files(world) == 1


@pytest.mark.parametrize("after", [False, True])
def test_an_unknown_outcome_leaves_a_checkpoint_that_can_be_read(world: World, after: bool) -> None:
    """Added and subsumed, or neither: in both cases the newest is there with its files."""
    store = world.lead().completed_checkpoints(JOB, 1)
    store.add(checkpoint(1))
    world.failures.fail("create", PossibleInconsistentStateError("who knows"), after=after)
    with pytest.raises(PossibleInconsistentStateError):
        store.add(checkpoint(2))
    assert store.recover() == RecoveredCheckpoint(checkpoint(2 if after else 1), ())
    store.add(checkpoint(3))
    assert store.all_ids() == [3]


def test_a_checkpoint_is_one_write_of_the_store_and_lists_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list had cost ZooKeeper a request for each retained checkpoint, with every checkpoint."""
    store = world.lead().completed_checkpoints(JOB, 2)
    for number in (1, 2, 3):
        store.add(checkpoint(number))
    with monkeypatch.context() as patched:
        for operation in ("delete", "replace", "entries"):
            patched.delattr(in_memory._Pointers, operation)
        store.add(checkpoint(4))
    assert store.all_ids() == [3, 4] and checkpoint_files(world) == 2


def test_what_another_hand_removed_meanwhile_is_subsumed(world: World) -> None:
    leader = world.lead()
    store = leader.completed_checkpoints(JOB, 2)
    for number in (1, 2):
        store.add(checkpoint(number))
    world.cluster.backend().pointers(checkpoints(JOB)).delete(f"{1:019d}", leader.session_id)
    store.add(checkpoint(3))
    assert store.all_ids() == [2, 3]
    store.add(checkpoint(4))
    assert store.all_ids() == [3, 4]


def test_each_pointer_that_goes_is_an_event(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 1)
    for number in (1, 2):
        store.add(checkpoint(number))
    told = [
        (each["operation"], int(each["name"])) for each in world.kinds(EventKind.POINTER_WRITTEN)
    ]
    assert told == [("add", 1), ("add", 2), ("remove", 1)]


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that cannot add and remove at once."""
    create = in_memory._Pointers.create
    monkeypatch.setattr(
        in_memory._Pointers,
        "create",
        lambda store, name, value, session_id, older=(): (
            not older and create(store, name, value, session_id)
        ),
    )


@pytest.mark.usefixtures("one_by_one")
def test_a_failed_subsumption_does_not_fail_the_checkpoint(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 1)
    store.add(checkpoint(1))
    world.failures.fail("delete", StoreUnavailableError("no store"))
    store.add(checkpoint(2))
    assert store.all_ids() == [1, 2]
    store.add(checkpoint(3))
    assert store.all_ids() == [3] and checkpoint_files(world) == 1


@pytest.mark.parametrize("after", [False, True])
def test_add_may_be_repeated_after_an_unknown_outcome(world: World, after: bool) -> None:
    store = world.lead().completed_checkpoints(JOB, 1)
    world.failures.fail("create", PossibleInconsistentStateError("who knows"), after=after)
    with pytest.raises(PossibleInconsistentStateError):
        store.add(checkpoint(1))
    store.add(checkpoint(1))
    assert store.recover().checkpoint == checkpoint(1)


def test_another_checkpoint_of_the_same_id_is_refused(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 1)
    store.add(checkpoint(1))
    with pytest.raises(AlreadyExistsError):
        store.add(checkpoint(1, handle=state_file(world, "s")))


def test_an_unreadable_newest_checkpoint_falls_back_and_says_so(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 3)
    for number in (1, 2, 3):
        store.add(checkpoint(number))
    damage_checkpoint(world, 2)
    recovered = world.lead().completed_checkpoints(JOB, 3).recover()
    assert recovered.checkpoint == checkpoint(2)
    assert [number for number, _ in recovered.skipped] == [3]
    assert "altered" in recovered.skipped[0][1]
    assert [facts["what"] for facts in world.kinds(EventKind.STATE_SET_ASIDE)] == ["checkpoint 3"]


def test_a_checkpoint_whose_state_file_is_damaged_is_skipped(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 2)
    store.add(checkpoint(1, handle=state_file(world, "one")))
    store.add(checkpoint(2, handle=state_file(world, "two")))
    world.damage(f"jobs/{JOB}/state/two")
    recovered = world.lead().completed_checkpoints(JOB, 2).recover()
    assert recovered.checkpoint is not None and recovered.checkpoint.checkpoint_id == 1


def test_known_damage_does_not_count_as_retained(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 2)
    store.add(checkpoint(1))
    store.add(checkpoint(2))
    damage_checkpoint(world, 1)
    later = world.lead().completed_checkpoints(JOB, 2)
    later.recover()
    later.add(checkpoint(3))
    assert later.all_ids() == [1, 3]


def test_a_checkpoint_of_another_job_is_not_used(world: World) -> None:
    stores = world.lead()
    stores.completed_checkpoints(OTHER_JOB, 1).add(checkpoint(1, OTHER_JOB))
    (value,) = world.pointers(checkpoints(OTHER_JOB)).values()
    pointers = world.cluster.backend().pointers(checkpoints(JOB))
    pointers.create(f"{1:019d}", value, stores.session_id)
    recovered = stores.completed_checkpoints(JOB, 1).recover()
    assert recovered.checkpoint is None and len(recovered.skipped) == 1


def test_no_checkpoint_at_all(world: World) -> None:
    assert world.lead().completed_checkpoints(JOB, 1).recover() == RecoveredCheckpoint(None, ())


def test_an_unreachable_storage_is_not_taken_for_damage(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 1)
    store.add(checkpoint(1))
    world.failures.fail("entries", StoreUnavailableError("gone"))
    with pytest.raises(StoreUnavailableError):
        store.recover()
    world.failures.fail("read", StoreUnavailableError("gone"))
    with pytest.raises(StoreUnavailableError):
        store.recover()


@pytest.mark.parametrize("status", [JobStatus.FINISHED, JobStatus.CANCELED, JobStatus.FAILED])
def test_shutdown_of_a_finished_job_removes_everything(world: World, status: JobStatus) -> None:
    store = world.lead().completed_checkpoints(JOB, 2)
    store.add(checkpoint(1, handle=state_file(world, "one")))
    store.add(checkpoint(2, handle=state_file(world, "two")))
    damage_checkpoint(world, 0)
    later = world.lead().completed_checkpoints(JOB, 2)
    later.shutdown(status)
    later.shutdown(status)
    assert world.pointers(checkpoints(JOB)) == {}
    assert checkpoint_files(world) == 0 and "two" not in files(world)


@pytest.mark.parametrize("status", [JobStatus.SUSPENDED, JobStatus.RUNNING])
def test_shutdown_of_an_unfinished_job_keeps_everything(world: World, status: JobStatus) -> None:
    store = world.lead().completed_checkpoints(JOB, 1)
    store.add(checkpoint(1))
    store.shutdown(status)
    assert store.all_ids() == [1]
    with pytest.raises(HighAvailabilityError, match="shut down"):
        store.add(checkpoint(2))


def test_a_deposed_leader_adds_and_subsumes_nothing(world: World) -> None:
    deposed = world.lead().completed_checkpoints(JOB, 1)
    deposed.add(checkpoint(1))
    world.lead()
    with pytest.raises(LeadershipLostError):
        deposed.add(checkpoint(2))
    assert deposed.all_ids() == [1] and checkpoint_files(world) == 1


def test_discard_removes_state_that_no_stored_checkpoint_names(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 1)
    kept, refused = state_file(world, "kept"), state_file(world, "refused")
    store.add(checkpoint(1, handle=kept))
    store.discard(checkpoint(2, handle=refused))
    store.discard(checkpoint(3, handle=kept))
    assert "kept" in files(world) and "refused" not in files(world)


# --- CheckpointIDCounter -----------------------------------------------------------------


def test_ids_start_at_one_and_survive_the_leader(world: World) -> None:
    counter = world.lead().checkpoint_id_counter(JOB)
    assert [counter.get(), counter.get_and_increment(), counter.get_and_increment()] == [1, 1, 2]
    assert world.pointers(counters(JOB)) == {"counter": b"3"}
    assert world.lead().checkpoint_id_counter(JOB).get_and_increment() == 3


def test_set_count(world: World) -> None:
    counter = world.lead().checkpoint_id_counter(JOB)
    counter.set_count(1000)
    assert counter.get_and_increment() == 1000
    for number in (0, 2**31):
        with pytest.raises(HighAvailabilityError, match="out of range"):
            counter.set_count(number)


def test_the_counter_overflows_with_a_clear_error(world: World) -> None:
    counter = world.lead().checkpoint_id_counter(JOB)
    counter.set_count(2**31 - 1)
    with pytest.raises(HighAvailabilityError, match="overflows"):
        counter.get_and_increment()


@pytest.mark.parametrize("value", [None, b"", b"garbage", b"-7", b"9" * 5000])
def test_a_lost_counter_never_gives_the_id_of_a_stored_checkpoint(
    world: World, value: bytes | None
) -> None:
    stores = world.lead()
    stores.completed_checkpoints(JOB, 2).add(checkpoint(41))
    if value is not None:
        world.cluster.backend().pointers(counters(JOB)).create("counter", value, stores.session_id)
    counter = world.lead().checkpoint_id_counter(JOB)
    assert [counter.get_and_increment(), counter.get_and_increment()] == [42, 43]


@pytest.mark.parametrize("after", [False, True])
def test_an_unknown_outcome_leaves_out_an_id_at_most(world: World, after: bool) -> None:
    counter = world.lead().checkpoint_id_counter(JOB)
    counter.get_and_increment()
    world.failures.fail("replace", PossibleInconsistentStateError("who knows"), after=after)
    assert counter.get_and_increment() == (3 if after else 2)


def test_a_deposed_leader_takes_no_id(world: World) -> None:
    deposed = world.lead().checkpoint_id_counter(JOB)
    deposed.get_and_increment()
    current = world.lead().checkpoint_id_counter(JOB)
    with pytest.raises(LeadershipLostError):
        deposed.get_and_increment()
    assert current.get_and_increment() == 2


def test_shutdown_removes_the_counter_of_a_finished_job_only(world: World) -> None:
    counter = world.lead().checkpoint_id_counter(JOB)
    counter.get_and_increment()
    counter.shutdown(JobStatus.SUSPENDED)
    assert world.pointers(counters(JOB)) == {"counter": b"2"}
    counter.shutdown(JobStatus.FINISHED)
    counter.shutdown(JobStatus.FINISHED)
    assert world.pointers(counters(JOB)) == {}
