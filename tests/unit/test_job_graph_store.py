"""``JobGraphStore``: Flink's ``DefaultJobGraphStoreTest``, and submissions cut short."""

from __future__ import annotations

import dataclasses
import json
import uuid

import pytest
from stores_setup import JOB, OTHER_JOB, World, checkpoint, graph, result

from hawork.core.errors import (
    AlreadyExistsError,
    CorruptStateError,
    LeadershipLostError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind
from hawork.core.types import JobID
from hawork.ha.leader_stores import LeaderStores
from hawork.ha.pointer_store import JOB_GRAPHS


def job_files(world: World, job_id: JobID = JOB) -> list[str]:
    return list(world.files.list(f"jobs/{job_id}"))


def test_put_and_recover(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.announce(JOB)
    stores.blobs.put(JOB, b"artifact")
    stores.job_graphs.put(graph())
    assert world.steps.names == ["submit.graph_written", "submit.pointer_added"]
    assert world.lead().job_graphs.recover(JOB) == graph()
    names = job_files(world)
    assert len(names) == 2 and names[0] == "blob" and names[1].startswith("submittedJobGraph")


def test_everything_about_a_job_survives(world: World) -> None:
    full = dataclasses.replace(
        graph(), config={"ä": [1, None]}, parallelism=3, checkpoint_interval=0.5, submitted_at=9
    )
    world.lead().job_graphs.put(full)
    assert world.lead().job_graphs.recover(JOB) == full


def test_the_marker_is_there_until_the_pointer_is(world: World) -> None:
    stores = world.lead()
    seen: list[list[str]] = []
    for step in ("submit.graph_written", "submit.pointer_added"):
        world.steps.hooks[step] = lambda: seen.append(job_files(world))
    stores.job_graphs.put(graph())
    assert all(f"_SUBMITTING-{stores.session_id}" in names for names in seen)
    assert len(seen) == 2 and len(job_files(world)) == 1


def test_a_mark_that_cannot_be_taken_away_makes_no_error_of_a_job_that_is_stored(
    world: World,
) -> None:
    """Nothing started the job then, although it was there."""
    stores = world.lead()
    stores.job_graphs.announce(JOB)
    world.failures.fail("delete", StoreUnavailableError("not now"))
    stores.job_graphs.put(graph())
    assert world.lead().job_graphs.recover(JOB) == graph()
    assert f"_SUBMITTING-{stores.session_id}" in job_files(world)


def test_what_a_deposed_leader_wrote_late_for_a_job_that_is_over_is_swept(world: World) -> None:
    """It was paused in the middle of a write, and killed before it could take that back.

    Found by the simulation, as embedded:34 of version 50591ffa.
    """
    stores = world.lead(**{"hawork.job-result-store.expiration-time": "1 h"})
    stores.job_graphs.put(graph())
    stores.job_results.create_dirty(result())
    stores.cleanup.run(result())
    stores.blobs.put(JOB, b"late")
    again = world.lead(**{"hawork.job-result-store.expiration-time": "1 h"})
    assert again.job_graphs.sweep_unacknowledged().removed == (JOB,)
    assert job_files(world) == []


def test_recovering_an_absent_job_is_none(world: World) -> None:
    assert world.lead().job_graphs.recover(JOB) is None


def test_putting_the_identical_graph_again_changes_nothing(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph())
    before = dict(world.files.files), world.pointers(JOB_GRAPHS)
    stores.job_graphs.put(graph())
    world.lead().job_graphs.put(graph())
    assert (world.files.files, world.pointers(JOB_GRAPHS)) == before


def test_a_graph_put_or_recovered_by_this_store_is_replaced(world: World) -> None:
    world.lead().job_graphs.put(graph())
    later = world.lead()
    later.job_graphs.recover(JOB)
    later.job_graphs.put(graph(name="changed"))
    later.job_graphs.put(graph(name="changed again"))
    recovered = world.lead().job_graphs.recover(JOB)
    assert recovered is not None and recovered.name == "changed again"
    assert len(job_files(world)) == 1


def test_another_graph_of_an_unknown_job_is_refused(world: World) -> None:
    world.lead().job_graphs.put(graph())
    with pytest.raises(AlreadyExistsError, match=JOB):
        world.lead().job_graphs.put(graph(name="other"))
    assert world.lead().job_graphs.recover(JOB) == graph()


@pytest.mark.parametrize("damaged", [False, True])
def test_a_deposed_leader_tells_no_client_to_choose_another_job_id(
    world: World, damaged: bool
) -> None:
    """The same submission had come to the next leader, too, and the job was run a second time."""
    deposed = world.lead()
    world.lead().job_graphs.put(dataclasses.replace(graph(), submitted_at=2))
    if damaged:
        world.damage(graph_file(world))
    with pytest.raises(LeadershipLostError):
        deposed.job_graphs.put(graph())
    if damaged:
        with pytest.raises(LeadershipLostError):
            deposed.job_graphs.existing(JOB)


@pytest.mark.parametrize("after", [False, True])
def test_put_is_repeatable_after_an_unknown_outcome(world: World, after: bool) -> None:
    stores = world.lead()
    world.failures.fail("create", PossibleInconsistentStateError("who knows"), after=after)
    with pytest.raises(PossibleInconsistentStateError):
        stores.job_graphs.put(graph())
    stores.job_graphs.put(graph())
    assert world.lead().job_graphs.recover(JOB) == graph()


def test_a_refused_put_leaves_no_graph_behind(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.announce(JOB)
    stores.blobs.put(JOB, b"artifact")
    world.lead()
    with pytest.raises(LeadershipLostError):
        stores.job_graphs.put(graph())
    assert job_files(world) == [f"_SUBMITTING-{stores.session_id}", "blob"]


def test_a_deposed_leader_takes_back_what_it_wrote_beside_the_cleanup_of_the_next_one(
    world: World,
) -> None:
    """The cleanup had looked what is there just before, and removed the mark just afterwards.

    Found by the simulation, as long-pause@storage.write/takeover.published.
    """
    stores = world.lead()
    stores.job_graphs.announce(JOB)
    artifact = stores.blobs.put(JOB, b"artifact")
    marker = f"jobs/{JOB}/_SUBMITTING-{stores.session_id}"
    world.lead()

    def cleaned_up() -> None:
        world.files.delete(marker)

    world.steps.hooks["submit.graph_written"] = cleaned_up
    with pytest.raises(LeadershipLostError):
        stores.job_graphs.put(dataclasses.replace(graph(), artifact=artifact))
    assert job_files(world) == []


def test_what_a_job_graph_may_point_to_is_not_taken_back(world: World) -> None:
    """A try that ended in doubt may have landed, or still land; and one that landed needs it."""
    stores = world.lead()
    stores.job_graphs.announce(JOB)
    artifact = stores.blobs.put(JOB, b"artifact")
    mine = dataclasses.replace(graph(), artifact=artifact)
    world.failures.fail("create", PossibleInconsistentStateError("who knows"))
    with pytest.raises(PossibleInconsistentStateError):
        stores.job_graphs.put(mine)
    world.lead()
    with pytest.raises(LeadershipLostError):
        stores.job_graphs.put(mine)
    assert world.files.files[artifact.path] == b"artifact"
    assert f"_SUBMITTING-{stores.session_id}" in job_files(world)


def test_remove_may_be_repeated(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph())
    assert stores.job_graphs.remove(JOB) is True
    assert stores.job_graphs.remove(JOB) is False
    assert stores.job_graphs.recover(JOB) is None
    assert world.files.files == {}


def test_job_ids_leave_out_other_names(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph())
    stores.job_graphs.put(graph(OTHER_JOB))
    pointers = world.cluster.backend().pointers(JOB_GRAPHS)
    for name in ("no job", "A" * 32):
        pointers.create(name, b"{}", stores.session_id)
    assert stores.job_graphs.job_ids() == [JOB, OTHER_JOB]


def graph_file(world: World, job_id: JobID = JOB) -> str:
    (path,) = (p for p in world.files.files if p.startswith(f"jobs/{job_id}/submittedJobGraph"))
    return path


def test_an_unreadable_graph_is_set_aside_and_the_others_recovered(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph())
    stores.job_graphs.put(graph(OTHER_JOB))
    world.damage(graph_file(world))
    stores = world.lead()
    recovered = stores.job_graphs.recover_all()
    assert recovered.graphs == (graph(OTHER_JOB),)
    assert [job_id for job_id, _ in recovered.set_aside] == [JOB]
    assert "altered" in recovered.set_aside[0][1]
    assert list(world.pointers(JOB_GRAPHS)) == [JOB, OTHER_JOB]  # kept
    assert len(world.kinds(EventKind.STATE_SET_ASIDE)) == 1
    with pytest.raises(CorruptStateError):
        stores.job_graphs.recover(JOB)
    with pytest.raises(AlreadyExistsError, match="damaged"):
        stores.job_graphs.put(graph())


def test_a_pointer_to_another_jobs_graph_is_not_followed(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph())
    pointers = world.cluster.backend().pointers(JOB_GRAPHS)
    pointers.create(OTHER_JOB, world.pointers(JOB_GRAPHS)[JOB], stores.session_id)
    recovered = stores.job_graphs.recover_all()
    assert recovered.graphs == (graph(),)
    assert f"job {OTHER_JOB} has such files" in recovered.set_aside[0][1]


def test_a_graph_that_is_another_jobs_is_not_used(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph())
    stores.job_graphs.put(graph(OTHER_JOB))
    mine, theirs = graph_file(world), graph_file(world, OTHER_JOB)
    handle = json.loads(world.pointers(JOB_GRAPHS)[OTHER_JOB]) | {"path": mine}
    world.files.files[mine] = world.files.files[theirs]
    pointers = world.cluster.backend().pointers(JOB_GRAPHS)
    pointers.delete(JOB, stores.session_id)
    pointers.create(JOB, json.dumps(handle).encode(), stores.session_id)
    recovered = stores.job_graphs.recover_all()
    assert recovered.graphs == (graph(OTHER_JOB),)
    assert f"is that of job {OTHER_JOB}, not of {JOB}" in recovered.set_aside[0][1]


def test_an_unreachable_storage_fails_the_recovery(world: World) -> None:
    world.lead().job_graphs.put(graph())
    stores = world.lead()
    world.failures.fail("read", StoreUnavailableError("gone"))
    with pytest.raises(StoreUnavailableError):
        stores.job_graphs.recover_all()


@pytest.mark.parametrize("reached", ["announced", "artifact", "submit.graph_written"])
def test_an_unacknowledged_submission_is_swept_by_the_next_leader(
    world: World, reached: str
) -> None:
    stores = world.lead()
    stores.job_graphs.announce(JOB)
    if reached != "announced":
        stores.blobs.put(JOB, b"artifact")
    if reached == "submit.graph_written":
        world.steps.hooks[reached] = crash
        with pytest.raises(Crash):
            stores.job_graphs.put(graph())
    swept = world.lead().job_graphs.sweep_unacknowledged()
    assert swept.removed == (JOB,) and swept.set_aside == ()
    assert world.files.files == {}


def test_a_submission_that_was_safe_is_not_swept(world: World) -> None:
    world.steps.hooks["submit.pointer_added"] = crash
    with pytest.raises(Crash):
        world.lead().job_graphs.put(graph())
    later = world.lead()
    swept = later.job_graphs.sweep_unacknowledged()
    assert swept.removed == swept.set_aside == ()
    assert later.job_graphs.recover_all().graphs == (graph(),)


def test_a_sweep_may_be_told_what_is_stored(world: World) -> None:
    world.lead().job_graphs.put(graph())
    crashed = world.lead()
    crashed.job_graphs.announce(OTHER_JOB)
    damaged = world.lead()
    world.damage(next(path for path in world.files.files if "submittedJobGraph" in path))
    names = damaged.job_graphs.recover_all().names
    assert names == [JOB]
    assert damaged.job_graphs.sweep_unacknowledged(names).removed == (OTHER_JOB,)
    assert list(world.pointers(JOB_GRAPHS)) == [JOB]


def test_a_directory_in_doubt_is_kept_and_reported(world: World) -> None:
    stores = world.lead()
    stores.blobs.put(JOB, b"artifact")  # no marker
    swept = stores.job_graphs.sweep_unacknowledged()
    assert swept.removed == () and [job_id for job_id, _ in swept.set_aside] == [JOB]
    assert job_files(world) == ["blob"]
    assert world.kinds(EventKind.STATE_SET_ASIDE)[0]["what"] == f"jobs/{JOB}"


def test_a_marker_does_not_give_away_checkpoints(world: World) -> None:
    """The HA store was lost, and a submission of the same job id failed."""
    stores = world.lead()
    stores.completed_checkpoints(JOB, 1).add(checkpoint(1))
    stores.job_graphs.announce(JOB)
    swept = world.lead().job_graphs.sweep_unacknowledged()
    assert swept.removed == () and len(swept.set_aside) == 1
    assert len(job_files(world)) == 2


def pointer_taken_away(world: World) -> LeaderStores:
    """By another hand, before this leader took over; it may be put back."""
    stores = world.lead()
    world.cluster.backend().pointers(JOB_GRAPHS).delete(JOB, stores.session_id)
    return stores


def test_a_late_mark_of_a_deposed_leader_gives_no_stored_job_away(world: World) -> None:
    """It had been acknowledged, and its files were gone when its pointer came back."""
    deposed, stores = world.lead(), world.lead()
    stores.job_graphs.announce(JOB)
    artifact = stores.blobs.put(JOB, b"artifact")
    stores.job_graphs.put(dataclasses.replace(graph(), artifact=artifact))
    deposed.job_graphs.announce(JOB)
    before = dict(world.files.files)
    swept = pointer_taken_away(world).job_graphs.sweep_unacknowledged()
    assert [name for name, _ in swept.set_aside] == [JOB]
    assert world.files.files == before


def test_a_mark_that_stayed_is_removed_when_that_can_be_done(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.announce(JOB)
    artifact = stores.blobs.put(JOB, b"artifact")
    world.failures.fail("delete", StoreUnavailableError("not now"))
    stores.job_graphs.put(dataclasses.replace(graph(), artifact=artifact))
    assert stores.job_graphs.is_marked(JOB)
    stores.job_graphs.clear_up(JOB)
    assert not stores.job_graphs.is_marked(JOB)
    before = dict(world.files.files)
    swept = pointer_taken_away(world).job_graphs.sweep_unacknowledged()
    assert [name for name, _ in swept.set_aside] == [JOB]
    assert world.files.files == before


def test_a_deposed_leader_removes_no_mark(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph())
    next_leader = world.lead()
    next_leader.job_graphs.remove(JOB)
    next_leader.job_graphs.announce(JOB)
    with pytest.raises(LeadershipLostError):
        stores.job_graphs.clear_up(JOB)
    assert any("_SUBMITTING-" in path for path in world.files.files)


def test_the_mark_beside_a_job_that_cannot_be_read_is_removed(world: World) -> None:
    """That of a submission which was refused for that, and of a leader that wrote it late."""
    deposed, stores = world.lead(), world.lead()
    stores.job_graphs.put(graph())
    for path in list(world.files.files):
        world.damage(path)
    kept = dict(world.files.files)
    stores = world.lead()
    for each in (deposed, stores):
        each.job_graphs.announce(JOB)
    stores.job_graphs.clear_up(JOB)
    assert world.files.files == kept


def test_a_finished_jobs_directory_is_left_to_its_cleanup(world: World) -> None:
    stores = world.lead()
    stores.blobs.put(JOB, b"artifact")
    stores.job_results.create_dirty(result())
    swept = stores.job_graphs.sweep_unacknowledged()
    assert swept.removed == swept.set_aside == ()


def test_a_submission_under_way_is_not_swept_by_its_own_leader(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.announce(JOB)
    swept = stores.job_graphs.sweep_unacknowledged()
    assert swept.removed == swept.set_aside == ()
    assert len(job_files(world)) == 1


def test_a_deposed_leader_sweeps_nothing(world: World) -> None:
    stores = world.lead()
    world.lead().job_graphs.announce(JOB)  # the new leader is accepting a job
    with pytest.raises(LeadershipLostError):
        stores.job_graphs.sweep_unacknowledged()
    assert len(job_files(world)) == 1


def test_a_directory_that_is_no_job_is_reported(world: World) -> None:
    world.files.write(f"jobs/{uuid.uuid4()}/x", b"")
    assert len(world.lead().job_graphs.sweep_unacknowledged().set_aside) == 1


class Crash(BaseException):
    """Stands for the death of the process: nothing may catch it."""


def crash() -> None:
    raise Crash


def test_what_a_later_try_has_stored_is_not_taken_back(world: World) -> None:
    """Its pointer was taken away by another hand, and is put back: the job was acknowledged."""
    stores = world.lead()
    stores.job_graphs.announce(JOB)
    world.failures.fail("create", StoreUnavailableError("not now"))
    with pytest.raises(StoreUnavailableError):
        stores.job_graphs.put(graph())
    stores.job_graphs.put(graph())
    kept = dict(world.files.files)
    world.cluster.backend().pointers(JOB_GRAPHS).delete(JOB, stores.session_id)
    stores.job_graphs.clear_up(JOB)
    assert world.files.files == kept
