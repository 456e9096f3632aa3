"""The jobs of one term: what was acknowledged stays, whatever was in doubt before."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hawork.core.errors import (
    DuplicateJobSubmissionError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.jobs import JobGraph
from hawork.core.types import JobID, StateHandle
from hawork.runtime.dispatcher import Dispatcher
from tests.unit.stores_setup import JOB, World, graph, result

ARTIFACT = b"def delays(config): ..."
RETRY = {
    "cleanup-strategy.type": "fixed-delay",
    "cleanup-strategy.fixed-delay.delay": "50 ms",
    "cleanup-strategy.fixed-delay.attempts": 3,
}
DOUBT = PossibleInconsistentStateError("no answer in time")


@dataclass
class Stage:
    """A dispatcher over a world of stores, before it has recovered anything."""

    world: World
    dispatcher: Dispatcher

    def stored(self) -> list[str]:
        """The names of the jobs whose graph and artifact a next leader would find."""
        found = self.dispatcher.term.stores.job_graphs.recover_all().graphs
        assert all(each.artifact.path in self.world.files.files for each in found)
        return [each.job_id for each in found]


@pytest.fixture
def io() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def play(
    io: ThreadPoolExecutor,
    story: Callable[[Stage], Coroutine[Any, Any, None]],
    world: World | None = None,
) -> None:
    async def run() -> None:
        there = world or World()
        dispatcher = Dispatcher(there.term(io, **RETRY))
        try:
            async with asyncio.timeout(20.0):
                await story(Stage(there, dispatcher))
        finally:
            await dispatcher.close()
            there.close()

    asyncio.run(run())


def submission(submitted_at: int = 1, name: str = "flights") -> JobGraph:
    """As REST hands it over: without a stored artifact, but with what it has to be."""
    artifact = StateHandle("", len(ARTIFACT), hashlib.sha256(ARTIFACT).hexdigest())
    return replace(graph(name=name), artifact=artifact, submitted_at=submitted_at)


def ended_and_not_cleaned(world: World) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph())
    stores.job_results.create_dirty(result())


def test_a_cleanup_that_comes_late_leaves_the_next_job_of_that_id_alone(
    io: ThreadPoolExecutor,
) -> None:
    """The first half of a takeover failed in the middle, and was repeated."""
    world = World()
    ended_and_not_cleaned(world)

    async def story(stage: Stage) -> None:
        def job_graphs_cannot_be_read() -> None:
            del world.steps.hooks["takeover.results_cleaned"]
            world.failures.fail("entries", StoreUnavailableError("not now"))

        world.failures.fail("drop", StoreUnavailableError("not now"))
        world.steps.hooks["takeover.results_cleaned"] = job_graphs_cannot_be_read
        with pytest.raises(StoreUnavailableError):
            await stage.dispatcher.recover()
        await stage.dispatcher.recover()
        while stage.dispatcher.term.stores.job_results.has_entry(JOB):
            await asyncio.sleep(0.01)
        await stage.dispatcher.submit(submission(), ARTIFACT)
        await asyncio.sleep(0.3)  # several times the delay before a retry
        assert stage.stored() == [JOB]
        assert stage.dispatcher.running(JOB)

    play(io, story, world)


def test_a_cleanup_whose_end_was_in_doubt_is_not_begun_again(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    ended_and_not_cleaned(world)

    async def story(stage: Stage) -> None:
        results = stage.dispatcher.term.stores.job_results
        mark_clean = results.mark_clean

        def in_doubt(job_id: JobID) -> None:
            monkeypatch.undo()
            mark_clean(job_id)
            raise DOUBT

        monkeypatch.setattr(results, "mark_clean", in_doubt)
        await stage.dispatcher.recover()
        assert not results.has_entry(JOB)
        await stage.dispatcher.submit(submission(), ARTIFACT)
        await asyncio.sleep(0.3)
        assert stage.stored() == [JOB]

    play(io, story, world)


@pytest.mark.parametrize("landed", [True, False])
def test_a_submission_in_doubt_is_put_again(io: ThreadPoolExecutor, landed: bool) -> None:
    async def story(stage: Stage) -> None:
        stage.world.failures.fail("create", DOUBT, after=landed)
        assert await stage.dispatcher.submit(submission(), ARTIFACT) == JOB
        assert stage.dispatcher.running(JOB)
        assert stage.stored() == [JOB]

    play(io, story)


def test_a_submission_that_stays_in_doubt_is_acknowledged_when_it_comes_again(
    io: ThreadPoolExecutor,
) -> None:
    """The client tries again, and the job has another time of submission then."""

    async def story(stage: Stage) -> None:
        stage.world.steps.hooks["submit.graph_written"] = lambda: landed_and_away(stage.world)
        with pytest.raises(StoreUnavailableError):
            await stage.dispatcher.submit(submission(), ARTIFACT)
        assert stage.stored() == [JOB]
        with pytest.raises(DuplicateJobSubmissionError, match="belongs to another job"):
            await stage.dispatcher.submit(submission(name="another"), ARTIFACT)
        assert await stage.dispatcher.submit(submission(submitted_at=2), ARTIFACT) == JOB
        assert stage.dispatcher.running(JOB).graph.submitted_at == 1
        assert stage.stored() == [JOB]

    def landed_and_away(world: World) -> None:
        world.failures.fail("create", DOUBT, after=True)
        world.failures.fail("read", StoreUnavailableError("not now"))

    play(io, story)


def test_another_job_does_not_replace_one_that_is_not_started_yet(io: ThreadPoolExecutor) -> None:
    """The address is published, the recovered jobs are started next."""
    world = World()
    stores = world.lead()
    handle = stores.blobs.put(JOB, ARTIFACT)
    stores.job_graphs.put(replace(submission(), artifact=handle))

    async def story(stage: Stage) -> None:
        await stage.dispatcher.recover()
        with pytest.raises(DuplicateJobSubmissionError, match="belongs to another job"):
            await stage.dispatcher.submit(submission(name="another"), ARTIFACT)
        assert await stage.dispatcher.submit(submission(submitted_at=5), ARTIFACT) == JOB
        stage.dispatcher.restore_jobs()
        assert stage.dispatcher.running(JOB).graph.name == "flights"
        assert stage.stored() == [JOB]

    play(io, story, world)
