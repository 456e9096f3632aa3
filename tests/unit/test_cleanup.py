"""Cleanup of finished jobs: a crash or a failure anywhere is finished by a later leader."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from stores_setup import JOB, OTHER_JOB, World, checkpoint, graph, result, state_file

from hawork.core.configuration import Configuration
from hawork.core.errors import LeadershipLostError, StoreUnavailableError
from hawork.ha.cleanup import cleanup_strategy
from hawork.ha.leader_stores import LeaderStores
from hawork.ha.pointer_store import JOB_GRAPHS, RESULTS, checkpoints, counters

CLEANUP_STEPS = [
    "cleanup.checkpoints_removed",
    "cleanup.pointer_removed",
    "cleanup.artifacts_removed",
    "result.clean",
]


class Crash(BaseException):
    """Stands for the death of the process: nothing may catch it."""


def run_job(world: World, stores: LeaderStores) -> None:
    stores.job_graphs.announce(JOB)
    stores.blobs.put(JOB, b"artifact")
    stores.job_graphs.put(graph())
    counter = stores.checkpoint_id_counter(JOB)
    store = stores.completed_checkpoints(JOB, 2)
    for name in ("one", "two"):
        store.add(checkpoint(counter.get_and_increment(), handle=state_file(world, name)))


def left(world: World) -> list[object]:
    namespaces = (JOB_GRAPHS, RESULTS, checkpoints(JOB), counters(JOB))
    pointers = [name for namespace in namespaces for name in world.pointers(namespace)]
    return [*pointers, *world.files.files, *world.result_files.files]


def test_everything_of_the_job_goes_and_nothing_else(world: World) -> None:
    stores = world.lead()
    run_job(world, stores)
    stores.job_graphs.put(graph(OTHER_JOB))
    stores.job_results.create_dirty(result())
    world.steps.names.clear()
    stores.cleanup.run(result())
    assert world.steps.names == CLEANUP_STEPS
    assert stores.job_graphs.recover_all().graphs == (graph(OTHER_JOB),)
    stores.job_graphs.remove(OTHER_JOB)
    assert left(world) == []


def take_over(world: World) -> None:
    stores = world.lead()
    for found in stores.job_results.dirty_results().results:
        stores.cleanup.run(found)


@pytest.mark.parametrize("step", ["result.decided", "result.dirty", *CLEANUP_STEPS])
@pytest.mark.parametrize("paused", [False, True])
def test_a_crash_or_a_pause_at_any_step_is_finished_by_the_next_leader(
    world: World, step: str, paused: bool
) -> None:
    def stop() -> None:
        del world.steps.hooks[step]
        if not paused:
            raise Crash
        take_over(world)  # while this process sleeps past its lease

    world.steps.hooks[step] = stop
    stores = world.lead()
    run_job(world, stores)
    with contextlib.suppress(Crash, LeadershipLostError):
        stores.job_results.create_dirty(result())
        stores.cleanup.run(result())
    assert step not in world.steps.hooks
    take_over(world)
    assert left(world) == []
    assert world.lead().job_graphs.sweep_unacknowledged().set_aside == ()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("operation", ["drop", "delete", "read", "replace"])
def test_a_failed_cleanup_is_repeated(world: World, operation: str, after: bool) -> None:
    stores = world.lead()
    run_job(world, stores)
    stores.job_results.create_dirty(result())
    world.failures.fail(operation, StoreUnavailableError("not now"), after=after)
    with pytest.raises(StoreUnavailableError):
        stores.cleanup.run(result())
    stores.cleanup.run(result())
    assert left(world) == []


def test_a_deposed_leader_deletes_no_files(world: World) -> None:
    """The job id was submitted again while the old leader slept in its cleanup."""

    def meanwhile() -> None:
        del world.steps.hooks["cleanup.pointer_removed"]
        take_over(world)
        run_job(world, world.lead())

    world.steps.hooks["cleanup.pointer_removed"] = meanwhile
    stores = world.lead()
    run_job(world, stores)
    stores.job_results.create_dirty(result())
    with pytest.raises(LeadershipLostError):
        stores.cleanup.run(result())
    later = world.lead()
    assert later.job_graphs.recover_all().graphs == (graph(),)
    assert later.completed_checkpoints(JOB, 2).recover().checkpoint is not None


def test_what_a_killed_process_was_writing_goes_with_the_job(world: World) -> None:
    stores = world.lead()
    run_job(world, stores)
    for name in (".completedCheckpoint1.0a.tmp", "state/.x.0b.tmp"):
        world.files.write(f"jobs/{JOB}/{name}", b"half")
    world.files.write(f"jobs/{OTHER_JOB}/._SUBMITTING-x.0c.tmp", b"")
    stores.job_results.create_dirty(result())
    stores.cleanup.run(result())
    assert list(world.files.files) == [f"jobs/{OTHER_JOB}/._SUBMITTING-x.0c.tmp"]
    world.lead().job_graphs.sweep_unacknowledged()
    assert left(world) == []


def resubmitted_during(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], LeaderStores]:
    """Whoever deletes a file next sleeps first, while the same job comes back under another."""
    delete, later = world.files.delete, list[LeaderStores]()

    def slowly(path: str) -> bool:
        monkeypatch.undo()
        take_over(world)
        world.lead().job_graphs.sweep_unacknowledged()
        later.append(world.lead())
        run_job(world, later[0])
        return delete(path)

    monkeypatch.setattr(world.files, "delete", slowly)
    return lambda: later[0]


def test_a_deposed_leader_that_sleeps_before_it_deletes_spares_the_next_ones_files(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last fence: what it deletes is what it had seen, and nobody uses that again."""
    stores = world.lead()
    run_job(world, stores)
    stores.job_results.create_dirty(result())
    stores.job_graphs.remove(JOB)  # deletes a file, too: it is the directory's turn
    later = resubmitted_during(world, monkeypatch)
    with contextlib.suppress(LeadershipLostError):
        stores.cleanup.run(result())
    blobs = [path for path in world.files.files if "/blob/" in path]
    assert [path.rpartition("-")[2] for path in blobs] == [later().session_id.hex[:12]]
    assert world.lead().job_graphs.recover_all().graphs == (graph(),)


def test_a_deposed_sweep_spares_the_next_ones_files(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = world.lead()
    crashed.job_graphs.announce(JOB)
    crashed.blobs.put(JOB, b"artifact")
    sweeping = world.lead()
    later = resubmitted_during(world, monkeypatch)
    sweeping.job_graphs.sweep_unacknowledged()
    blobs = [path for path in world.files.files if "/blob/" in path]
    assert [path.rpartition("-")[2] for path in blobs] == [later().session_id.hex[:12]]
    assert world.lead().job_graphs.recover_all().graphs == (graph(),)


@pytest.mark.parametrize(
    ("values", "delays"),
    [
        ({}, [1, 2, 4, 8]),
        ({"cleanup-strategy.type": "off"}, [None]),
        ({"cleanup-strategy": "fixed-delay"}, [60, 60, 60]),
        (
            {
                "cleanup-strategy.type": "fixed-delay",
                "cleanup-strategy.fixed-delay.delay": "100 ms",
                "cleanup-strategy.fixed-delay.attempts": 2,
            },
            [0.1, 0.1, None],
        ),
        (
            {
                "cleanup-strategy.exponential-delay.initial-backoff": "3 s",
                "cleanup-strategy.exponential-delay.max-backoff": "10 s",
                "cleanup-strategy.exponential-delay.attempts": 4,
            },
            [3, 6, 10, 10, None],
        ),
    ],
)
def test_cleanup_strategies(values: dict[str, object], delays: list[float | None]) -> None:
    strategy = cleanup_strategy(Configuration(values))
    assert [strategy.delay_before(n + 1) for n in range(len(delays))] == delays


def test_an_exponential_delay_does_not_grow_for_ever() -> None:
    assert cleanup_strategy(Configuration({})).delay_before(2**31 - 1) == 3600
