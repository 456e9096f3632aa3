"""Files that are there and cannot be read, names that hawork does not write, and what is decided
once a file was missing: each once kept every JobManager from leading, or a job from ending."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stores_setup import JOB, OTHER_JOB, World, checkpoint, graph, result

from hawork.core.events import EventKind
from hawork.ha.layout import cluster_directory
from hawork.ha.local_storage import LocalStateStorage
from hawork.ha.pointer_store import (
    JOB_GRAPHS,
    RESULTS,
    checkpoints,
)
from hawork.ha.state_handle_store import StateHandleStore


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 40)


def other_job_s(path: Path) -> None:
    path.unlink()
    (theirs,) = (path.parent.parent / OTHER_JOB).glob("submittedJobGraph*")
    path.symlink_to(theirs)


SPOILED = [pipe, directory, loop, dangling, endless, sparse, other_job_s]


@pytest.fixture
def local(world: World, tmp_path: Path) -> Iterator[World]:
    world.files = LocalStateStorage(tmp_path / "default")  # type: ignore[assignment]
    world.result_files = LocalStateStorage(tmp_path / "results")  # type: ignore[assignment]
    yield world


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_job_graph_file_that_cannot_be_read(local: World, tmp_path: Path, spoil: Any) -> None:
    stores = local.lead()
    stores.job_graphs.put(graph())
    stores.job_graphs.put(graph(OTHER_JOB))
    (file,) = (tmp_path / "default" / "jobs" / JOB).glob("submittedJobGraph*")
    spoil(file)
    recovered = local.lead().job_graphs.recover_all()
    assert recovered.graphs == (graph(OTHER_JOB),)
    assert [name for name, _ in recovered.set_aside] == [JOB]


@pytest.mark.parametrize("spoil", [pipe, directory, loop, endless, sparse])
@pytest.mark.parametrize("suffix", ["_DIRTY.json", ".json"])
def test_a_result_file_that_cannot_be_read_does_not_keep_its_job_from_ending(
    local: World, tmp_path: Path, spoil: Any, suffix: str
) -> None:
    stores = local.lead()
    stores.job_graphs.put(graph())
    file = tmp_path / "results" / f"{JOB}{suffix}"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    spoil(file)
    stores.job_results.create_dirty(result())
    assert stores.job_results.result(JOB) == result()
    assert (tmp_path / "results" / f"{JOB}{suffix}.stale-1").is_symlink() or (
        tmp_path / "results" / f"{JOB}{suffix}.stale-1"
    ).exists()
    later = local.lead()
    (found,) = later.job_results.dirty_results().results
    later.cleanup.run(found)
    assert not later.job_results.has_entry(JOB)


ODD = ["copy\\of", "a\nb", "x" * 240, "\udcff", JOB.upper().replace("0", "A"), "", " "]


@pytest.mark.parametrize("name", ODD)
def test_a_result_under_a_name_that_hawork_would_not_write(
    local: World, tmp_path: Path, name: str
) -> None:
    stores = local.lead()
    stores.job_results.create_dirty(result())
    (tmp_path / "results" / f"{name}_DIRTY.json").write_bytes(b"")
    for _ in range(2):
        found = local.lead().job_results.dirty_results()
        assert found.results == (result(),)
    for told in local.kinds(EventKind.STATE_SET_ASIDE):
        f"{told['what']} {told['reason']}".encode()
    assert local.kinds(EventKind.STATE_SET_ASIDE)


def test_names_of_directories_of_jobs_are_told_whatever_they_are(
    local: World, tmp_path: Path
) -> None:
    for name in ODD[:-2]:
        (tmp_path / "default" / "jobs" / name).mkdir(parents=True)
    crashed = local.lead()
    crashed.job_graphs.announce(JOB)
    swept = local.lead().job_graphs.sweep_unacknowledged()
    assert swept.removed == (JOB,) and len(swept.set_aside) == len(ODD[:-2])
    assert len(list((tmp_path / "default" / "jobs").iterdir())) == len(ODD[:-2])


def test_what_cannot_be_swept_keeps_nothing_else_from_being_swept(
    local: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job_id in (JOB, OTHER_JOB):
        local.lead().job_graphs.announce(job_id)
    real = os.unlink

    def refuse(path: Any, **options: Any) -> None:
        if list((tmp_path / "default" / "jobs" / JOB).glob(str(path))):
            raise PermissionError(1, "Operation not permitted")
        real(path, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    stores = local.lead()
    swept = stores.job_graphs.sweep_unacknowledged()
    assert swept.removed == (OTHER_JOB,) and [name for name, _ in swept.failed] == [JOB]
    monkeypatch.undo()
    assert stores.job_graphs.sweep_unacknowledged().removed == (JOB,)


def test_a_sweep_leaves_alone_what_was_submitted_since_the_names_were_read(world: World) -> None:
    """An earlier try left its mark; its client tried again, and was acknowledged."""
    world.lead().job_graphs.announce(JOB)
    stores = world.lead()
    stores.job_graphs.put(graph())
    assert stores.job_graphs.sweep_unacknowledged(stored=[]).removed == ()
    assert world.lead().job_graphs.recover_all().graphs == (graph(),)


# --- F8: a fallback is decided --------------------------------------------------------------


def test_a_checkpoint_that_was_passed_over_stays_set_aside_when_its_file_comes_back(
    world: World,
) -> None:
    store = world.lead().completed_checkpoints(JOB, 2)
    store.add(checkpoint(1))
    store.add(checkpoint(2))
    path = json.loads(world.pointers(checkpoints(JOB))[f"{2:019d}"])["path"]
    data = world.files.files.pop(path)
    assert world.lead().completed_checkpoints(JOB, 2).recover().checkpoint == checkpoint(1)
    world.files.files[path] = data
    later = world.lead()
    store = later.completed_checkpoints(JOB, 2)
    recovered = store.recover()
    assert recovered.checkpoint == checkpoint(1)
    assert "set aside" in recovered.skipped[0][1] and "missing" in recovered.skipped[0][1]
    assert later.checkpoint_id_counter(JOB).get_and_increment() == 3
    store.add(checkpoint(3))
    assert store.all_ids() == [1, 3]


def test_nothing_is_decided_while_no_checkpoint_can_be_read(world: World) -> None:
    store = world.lead().completed_checkpoints(JOB, 2)
    store.add(checkpoint(1))
    store.add(checkpoint(2))
    files = {path: data for path, data in world.files.files.items() if "completed" in path}
    for path in files:
        del world.files.files[path]
    for _ in range(2):
        assert world.lead().completed_checkpoints(JOB, 2).recover().checkpoint is None
    world.files.files.update(files)
    assert world.lead().completed_checkpoints(JOB, 2).recover().checkpoint == checkpoint(2)


def test_a_deposed_leader_decides_no_fallback(world: World) -> None:
    from hawork.core.errors import LeadershipLostError

    deposed = world.lead()
    store = deposed.completed_checkpoints(JOB, 2)
    store.add(checkpoint(1))
    store.add(checkpoint(2))
    path = json.loads(world.pointers(checkpoints(JOB))[f"{2:019d}"])["path"]
    data = world.files.files.pop(path)
    present = world.lead()
    with pytest.raises(LeadershipLostError):
        store.recover()
    world.files.files[path] = data
    assert present.completed_checkpoints(JOB, 2).recover().checkpoint == checkpoint(2)


def test_an_entry_that_is_set_aside_keeps_what_it_held(world: World) -> None:
    stores = world.lead()
    pointers = world.cluster.backend().pointers(checkpoints(JOB))
    store = StateHandleStore(
        checkpoints(JOB), pointers, world.files, stores.session_id, world.events
    )
    pointers.create("a", b'{"what": "\xff"}', stores.session_id)
    store.set_aside("a", "it is not a pointer")
    store.set_aside("a", "again")
    store.set_aside("absent", "it is not there")
    kept = json.loads(world.pointers(checkpoints(JOB))["a"])
    assert kept["was"] == '{"what": "\\xff"}' and kept["set_aside"] == "it is not a pointer"


# --- guess 2, and a result that has no room -------------------------------------------------


@pytest.mark.parametrize("keep", [True, False])
def test_a_clean_file_of_a_running_job_does_not_keep_it_from_ending(
    world: World, keep: bool
) -> None:
    stores = world.lead(**{"job-result-store.delete-on-commit": not keep})
    stores.job_graphs.put(graph())
    world.result_files.write(f"{JOB}.json", b"foreign")
    stores.job_results.create_dirty(result())
    stores.cleanup.run(result())
    assert world.result_files.files[f"{JOB}.json.stale-1"] == b"foreign"
    assert stores.job_results.has_clean(JOB) is keep


def test_a_result_whose_file_has_no_room_is_decided_and_makes_room(world: World) -> None:
    from hawork.core.errors import StoreUnavailableError

    stores = world.lead(**{"job-result-store.delete-on-commit": False})
    stores.job_graphs.put(graph())
    world.failures.fail("write", StoreUnavailableError("disk full"))
    stores.job_results.create_dirty(result())
    assert world.result_files.files == {} and stores.job_results.result(JOB) == result()
    later = world.lead(**{"job-result-store.delete-on-commit": False})
    assert later.job_results.dirty_results().results == (result(),)  # and no error
    world.failures.fail("write", StoreUnavailableError("disk full"))
    later.cleanup.run(result())
    assert list(world.result_files.files) == [f"{JOB}.json"] and world.pointers(RESULTS) == {}
    assert world.pointers(JOB_GRAPHS) == {}


def test_a_cluster_id_that_is_no_path() -> None:
    from hawork.core.configuration import Configuration
    from hawork.core.errors import ConfigurationError

    with pytest.raises(ConfigurationError):
        cluster_directory(Configuration({"high-availability.cluster-id": "\ud800"}))
