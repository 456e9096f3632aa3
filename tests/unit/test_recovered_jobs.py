"""Jobs that a new leader has recovered: each runs once, and nothing gives their files away."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from hawork.core.errors import (
    AlreadyExistsError,
    DuplicateJobSubmissionError,
    StoreUnavailableError,
)  # fmt: skip
from hawork.core.jobs import JobStatus
from hawork.core.types import JobID
from hawork.ha.pointer_store import RESULTS
from hawork.runtime import dispatcher
from hawork.runtime.dispatcher import Dispatcher
from tests.unit.stores_setup import JOB, World
from tests.unit.test_dispatcher import ARTIFACT, Stage, io, play, submission

__all__ = ["io"]


def stored_before(world: World) -> None:
    stores = world.lead()
    handle = stores.blobs.put(JOB, ARTIFACT)
    stores.job_graphs.put(replace(submission(), artifact=handle))


async def canceled_and_cleaned_up(stage: Stage) -> None:
    await stage.dispatcher.cancel(JOB)
    while stage.stored() or stage.world.pointers(RESULTS):
        await asyncio.sleep(0.01)


def statuses(stage: Stage) -> list[JobStatus]:
    return [job.status for job in stage.dispatcher.jobs()]


@pytest.mark.parametrize("shown", [1000, 0])
def test_a_recovered_job_that_ends_before_it_is_restored_does_not_run_again(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, shown: int
) -> None:
    """The address is published: its client has submitted it again, and so it ran already."""
    monkeypatch.setattr(dispatcher, "_KEEP_FINISHED", shown)
    world = World()
    stored_before(world)

    async def story(stage: Stage) -> None:
        await stage.dispatcher.recover()
        assert await stage.dispatcher.submit(submission(), ARTIFACT) == JOB
        await canceled_and_cleaned_up(stage)
        stage.dispatcher.restore_jobs()
        assert statuses(stage) == [JobStatus.CANCELED][:shown]

    play(io, story, world)


def test_a_job_that_ends_while_it_is_submitted_again_does_not_run_again(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The submission found it stored, and was slow; meanwhile the job was restored and ended."""
    world = World()
    stored_before(world)

    async def story(stage: Stage) -> None:
        found, ended = threading.Event(), threading.Event()

        def slow() -> None:
            monkeypatch.undo()
            found.set()
            assert ended.wait(20.0)

        await stage.dispatcher.recover()
        monkeypatch.setattr(stage.dispatcher.term.stores.job_graphs, "check_leads", slow)
        again = asyncio.create_task(stage.dispatcher.submit(submission(), ARTIFACT))
        while not found.is_set():
            await asyncio.sleep(0.001)
        stage.dispatcher.restore_jobs()
        await canceled_and_cleaned_up(stage)
        ended.set()
        assert await again == JOB
        assert statuses(stage) == [JobStatus.CANCELED]

    play(io, story, world)


@pytest.mark.parametrize("name", ["flights", "another"])
def test_a_job_that_is_cleaned_up_while_it_is_submitted_again_does_not_run_again(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The submission saw no result, and was slow: when it looked for the job that was gone."""
    world = World()
    stored_before(world)

    async def story(stage: Stage) -> None:
        looked, ended = threading.Event(), threading.Event()
        results = stage.dispatcher.term.stores.job_results
        has_entry = results.has_entry

        def slow(job_id: JobID) -> bool:
            monkeypatch.undo()
            found = has_entry(job_id)
            looked.set()
            assert ended.wait(20.0)
            return found

        await stage.dispatcher.recover()
        monkeypatch.setattr(results, "has_entry", slow)
        again = asyncio.create_task(stage.dispatcher.submit(submission(name=name), ARTIFACT))
        while not looked.is_set():
            await asyncio.sleep(0.001)
        stage.dispatcher.restore_jobs()
        await canceled_and_cleaned_up(stage)
        ended.set()
        if name == "flights":
            assert await again == JOB
        else:
            with pytest.raises(DuplicateJobSubmissionError, match="belongs to another job"):
                await again
        assert statuses(stage) == [JobStatus.CANCELED]
        assert stage.stored() == []

    play(io, story, world)


def test_a_job_whose_graph_is_damaged_while_it_runs_is_known_by_its_submission(
    io: ThreadPoolExecutor,
) -> None:
    """Its client, which had got no answer, was told for ever that the job id is another's."""
    world = World()
    remember = {"hawork.job-result-store.expiration-time": "6 h"}

    async def story() -> None:
        stage = Stage(world, Dispatcher(world.term(io, **remember)))
        await stage.dispatcher.submit(submission(), ARTIFACT)
        (path,) = (p for p in world.files.files if "submittedJobGraph" in p)
        world.damage(path)
        await stage.dispatcher.cancel(JOB)
        while world.files.files or world.pointers(RESULTS):
            await asyncio.sleep(0.01)
        assert await stage.dispatcher.submit(submission(submitted_at=2), ARTIFACT) == JOB
        await stage.dispatcher.close()

    asyncio.run(asyncio.wait_for(story(), 20.0))


def test_nothing_is_stored_beside_a_job_that_cannot_be_read(io: ThreadPoolExecutor) -> None:
    """Its client submits it again; the mark of that would stay, and speak for its files."""
    world = World()
    stored_before(world)
    (path,) = (p for p in world.files.files if "submittedJobGraph" in p)
    world.damage(path)
    before = dict(world.files.files)

    async def story(stage: Stage) -> None:
        await stage.dispatcher.recover()
        with pytest.raises(AlreadyExistsError, match="damaged: remove it"):
            await stage.dispatcher.submit(submission(), ARTIFACT)
        assert world.files.files == before

    play(io, story, world)


def test_a_recovered_job_can_be_canceled_before_it_is_restored(io: ThreadPoolExecutor) -> None:
    """The client was told that it is, and the job ran on."""
    world = World()
    stored_before(world)

    async def story(stage: Stage) -> None:
        await stage.dispatcher.recover()
        await canceled_and_cleaned_up(stage)
        stage.dispatcher.restore_jobs()
        assert statuses(stage) == [JobStatus.CANCELED]

    play(io, story, world)


def test_what_a_job_that_runs_already_has_in_store_is_not_read_ahead(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be asked for at its next restart, and the answer be older than its checkpoints."""
    world = World()
    stored_before(world)
    expected: list[JobID] = []

    async def story(stage: Stage) -> None:
        monkeypatch.setattr(stage.dispatcher.term.stores, "expect_recovery", expected.extend)
        await stage.dispatcher.recover()
        await stage.dispatcher.submit(submission(), ARTIFACT)
        stage.dispatcher.restore_jobs()
        assert expected == []

    play(io, story, world)


def stored_with_its_mark(world: World) -> str:
    """Submit a job whose mark cannot be removed; the path of its artifact."""
    stores = world.lead()
    stores.job_graphs.announce(JOB)
    handle = stores.blobs.put(JOB, ARTIFACT)
    world.failures.fail("delete", StoreUnavailableError("too many open files"))
    stores.job_graphs.put(replace(submission(), artifact=handle))
    return handle.path


async def mark_is_gone(world: World) -> None:
    while any("_SUBMITTING" in each for each in world.files.files):
        await asyncio.sleep(0.01)


def test_a_stored_job_that_cannot_be_read_keeps_no_mark_of_its_submission(
    io: ThreadPoolExecutor,
) -> None:
    """n3-73004: its files were given away when its pointer was gone for a while."""
    world = World()
    artifact = stored_with_its_mark(world)
    (path,) = (p for p in world.files.files if "submittedJobGraph" in p)
    del world.files.files[path]

    async def story(stage: Stage) -> None:
        await stage.dispatcher.recover()
        stage.dispatcher.restore_jobs()
        await mark_is_gone(world)
        assert list(world.files.files) == [artifact]

    play(io, story, world)


def test_a_recovered_job_without_a_checkpoint_keeps_no_mark_of_its_submission(
    io: ThreadPoolExecutor,
) -> None:
    world = World()
    stored_with_its_mark(world)

    async def story(stage: Stage) -> None:
        await stage.dispatcher.recover()
        stage.dispatcher.restore_jobs()
        await mark_is_gone(world)
        assert stage.stored() == [JOB]

    play(io, story, world)
