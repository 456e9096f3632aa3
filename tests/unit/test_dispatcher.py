"""The jobs of one term: what was acknowledged stays, whatever was in doubt before."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hawork.core.errors import (
    DuplicateJobSubmissionError,
    JobNotFoundError,
    LeadershipLostError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind
from hawork.core.jobs import JobGraph, JobStatus
from hawork.core.types import JobID, StateHandle
from hawork.ha.job_result_json import encode_job_result
from hawork.ha.pointer_store import RESULTS
from hawork.runtime import dispatcher, submissions
from hawork.runtime.dispatcher import Dispatcher
from hawork.runtime.retry_pause import RetryPause
from tests.unit.stores_setup import JOB, OTHER_JOB, World, graph, result

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


def test_a_job_that_is_stored_as_the_leadership_ends_is_the_next_leaders(
    io: ThreadPoolExecutor,
) -> None:
    """The dispatcher that was closed meanwhile ran it, without slots, for as long as it lived."""

    async def story(stage: Stage) -> None:
        stored, closed = threading.Event(), threading.Event()

        def until_closed() -> None:
            stored.set()
            assert closed.wait(20.0)

        stage.world.steps.hooks["submit.pointer_added"] = until_closed
        submitted = asyncio.create_task(stage.dispatcher.submit(submission(), ARTIFACT))
        while not stored.is_set():
            await asyncio.sleep(0.001)
        await stage.dispatcher.close()
        closed.set()
        assert await submitted == JOB
        assert stage.dispatcher.jobs() == []
        assert stage.stored() == [JOB]

    play(io, story)


def test_a_deposed_leader_does_not_acknowledge_what_the_next_one_has_stored(
    io: ThreadPoolExecutor,
) -> None:
    """It was paused with a submission under way, which the client sent to the next leader, too.

    That one had stored it, and answered by an error: so its client was told to try again, and
    by the deposed leader that all is well. Nothing ran the job. Found by the simulation, as
    zookeeper:1013034+long-pause@takeover.published+refused@storage.delete/submit.pointer_added.
    """

    async def story(stage: Stage) -> None:
        await stage.dispatcher.recover()
        stores = stage.world.lead()
        handle = stores.blobs.put(JOB, ARTIFACT)
        stores.job_graphs.put(replace(submission(), artifact=handle))
        with pytest.raises(LeadershipLostError):
            await stage.dispatcher.submit(submission(), ARTIFACT)
        with pytest.raises(JobNotFoundError):
            stage.dispatcher.running(JOB)

    play(io, story)


@pytest.mark.parametrize("how", ["deposed", "closing"])
def test_a_leader_that_leads_no_more_says_of_no_job_that_it_is_not_known(
    io: ThreadPoolExecutor, how: str
) -> None:
    """It had stood still, or was told to end, and answered what came meanwhile.

    The job is stored, and the next leader runs it: its client is to ask that one.
    """

    async def story(stage: Stage) -> None:
        there, old = stage.world.lead(), stage.dispatcher
        if how == "closing":
            old = Dispatcher(stage.world.term(io))
            await old.submit(submission(), ARTIFACT)
            await old.close()
        else:
            handle = there.blobs.put(JOB, ARTIFACT)
            there.job_graphs.put(replace(submission(), artifact=handle))
        for ask in (old.details, old.cancel, old.checkpoints):
            with pytest.raises(LeadershipLostError):
                await ask(JOB)

    play(io, story)


def test_a_deposed_leader_acknowledges_no_cancel(io: ThreadPoolExecutor) -> None:
    """Its job is suspended next, and the next leader restores it."""

    async def story(stage: Stage) -> None:
        await stage.dispatcher.submit(submission(), ARTIFACT)
        stage.world.lead()
        with pytest.raises(LeadershipLostError):
            await stage.dispatcher.cancel(JOB)
        with pytest.raises(JobNotFoundError):
            await Dispatcher(stage.world.term(io)).checkpoints(OTHER_JOB)

    play(io, story)


def test_a_job_that_ends_while_its_mark_is_removed_is_not_kept(io: ThreadPoolExecutor) -> None:
    """Its graph was, until that id was submitted again."""

    async def story(stage: Stage) -> None:
        await stage.dispatcher.submit(submission(), ARTIFACT)
        async with stage.dispatcher._submissions.alone(JOB):
            await stage.dispatcher.cancel(JOB)
            while stage.stored():
                await asyncio.sleep(0.01)
        assert not stage.dispatcher._ended_meanwhile

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


def test_a_damaged_job_graph_waits_for_its_repair_and_the_others_run(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "_LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(dispatcher, "RetryPause", lambda *_, **__: RetryPause(0.02, 0.05))
    world = World()
    stores = world.lead()
    for job_id in (JOB, OTHER_JOB):
        handle = stores.blobs.put(job_id, ARTIFACT)
        stores.job_graphs.put(replace(graph(job_id), artifact=handle))
    (path,) = (p for p in world.files.files if p.startswith(f"jobs/{JOB}/submittedJobGraph"))
    kept = world.files.files.pop(path)

    async def story(stage: Stage) -> None:
        await stage.dispatcher.recover()
        stage.dispatcher.restore_jobs()
        assert stage.dispatcher.running(OTHER_JOB)
        with pytest.raises(JobNotFoundError, match=r"cannot be run, because .* missing .* repair"):
            await stage.dispatcher.details(JOB)
        await asyncio.sleep(0.2)
        assert [job.job_id for job in stage.dispatcher.jobs()] == [OTHER_JOB]
        assert stage.stored() == [OTHER_JOB]
        world.files.files[path] = kept
        while JOB not in [job.job_id for job in stage.dispatcher.jobs()]:
            await asyncio.sleep(0.01)

    play(io, story, world)


def test_what_cannot_be_swept_does_not_keep_the_leader_from_leading(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "RetryPause", lambda *_, **__: RetryPause(0.02, 0.05))
    world = World()
    world.lead().job_graphs.announce(JOB)

    async def story(stage: Stage) -> None:
        await stage.dispatcher.recover()
        for _ in range(3):
            world.failures.fail("delete", StoreUnavailableError("the disk is read-only"))
        stage.dispatcher.restore_jobs()
        while world.files.files:
            await asyncio.sleep(0.01)
        told = [facts["message"] for facts in world.kinds(EventKind.ERROR)]
        assert len(told) == 1 and "stay to be swept" in told[0] and "read-only" in told[0]

    play(io, story, world)


@pytest.mark.parametrize("status", ["CANCELED", "UNKNOWN"])
def test_a_result_that_another_hand_has_decided_stands(io: ThreadPoolExecutor, status: str) -> None:
    world = World()
    payload = encode_job_result(result(status="CANCELED")).replace(b"CANCELED", status.encode())

    async def story(stage: Stage) -> None:
        await stage.dispatcher.submit(submission(), ARTIFACT)
        session_id = stage.dispatcher.term.session_id
        world.cluster.backend().pointers(RESULTS).create(JOB, payload, session_id)
        await stage.dispatcher.cancel(JOB)
        while world.pointers(RESULTS) or stage.stored():
            await asyncio.sleep(0.01)
        assert (await stage.dispatcher.details(JOB)).status is JobStatus.CANCELED

    play(io, story, world)


def test_more_jobs_that_have_ended_than_are_remembered_do_not_run_again(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "_KEEP_FINISHED", 1)
    world = World()
    for job_id in (JOB, OTHER_JOB):
        stores = world.lead()
        stores.job_graphs.put(graph(job_id))
        stores.job_results.create_dirty(result(job_id))

    async def story(stage: Stage) -> None:
        for _ in range(2):
            world.failures.fail("drop", StoreUnavailableError("not now"))
        await stage.dispatcher.recover()
        stage.dispatcher.restore_jobs()
        assert all(job.status.globally_terminal for job in stage.dispatcher.jobs())

    play(io, story, world)


def test_a_job_that_has_ended_does_not_run_when_its_graph_is_repaired(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "_KEEP_FINISHED", 0)
    monkeypatch.setattr(dispatcher, "RetryPause", lambda *_, **__: RetryPause(0.01, 0.01))
    world = World()
    ended_and_not_cleaned(world)
    (path,) = (p for p in world.files.files if "submittedJobGraph" in p)
    kept = world.files.files.pop(path)

    async def story(stage: Stage) -> None:
        for _ in range(10):
            world.failures.fail("drop", StoreUnavailableError("not now"))
        await stage.dispatcher.recover()
        stage.dispatcher.restore_jobs()
        world.files.files[path] = kept
        await asyncio.sleep(0.2)
        assert stage.dispatcher.jobs() == []

    play(io, story, world)


@pytest.mark.parametrize("failing", ["write", "create"])
def test_what_a_refused_submission_left_goes_under_the_same_leader(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The mark or the pointer could not be written, and what was there not be removed at once.

    It stayed, with its mark, for as long as no other JobManager led.
    """
    monkeypatch.setattr(submissions, "RetryPause", lambda *_, **__: RetryPause(0.02, 0.05))
    world = World()

    async def story(stage: Stage) -> None:
        world.failures.fail(failing, StoreUnavailableError("not now"), after=failing == "write")
        with pytest.raises(StoreUnavailableError):
            await stage.dispatcher.submit(submission(), ARTIFACT)
        assert any("_SUBMITTING-" in path for path in world.files.files)
        world.failures.fail("delete", StoreUnavailableError("not yet"))
        while world.files.files:
            await asyncio.sleep(0.01)
        (told,) = [facts["message"] for facts in world.kinds(EventKind.ERROR)]
        assert "stay to be swept" in told and "not yet" in told
        assert await stage.dispatcher.submit(submission(), ARTIFACT) == JOB
        assert stage.stored() == [JOB]

    play(io, story, world)


def test_what_is_left_of_one_job_and_cannot_be_removed_keeps_no_other_there(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "RetryPause", lambda *_, **__: RetryPause(0.01, 0.05))

    async def story(stage: Stage) -> None:
        graphs = stage.dispatcher.term.stores.job_graphs
        clear_up = graphs.clear_up

        def not_that_of_the_first(job_id: JobID) -> None:
            if job_id == JOB:
                raise StoreUnavailableError("its directory is read-only")
            clear_up(job_id)

        monkeypatch.setattr(graphs, "clear_up", not_that_of_the_first)
        for each in (JOB, OTHER_JOB):
            stage.world.failures.fail("create", StoreUnavailableError("not now"))
            with pytest.raises(StoreUnavailableError):
                await stage.dispatcher.submit(replace(submission(), job_id=each), ARTIFACT)
        while any(OTHER_JOB in path for path in stage.world.files.files):
            await asyncio.sleep(0.01)
        assert any(JOB in path for path in stage.world.files.files)

    play(io, story)


def test_a_mark_that_cannot_be_removed_is_removed_under_the_same_leader(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "RetryPause", lambda *_, **__: RetryPause(0.01, 0.05))

    async def story(stage: Stage) -> None:
        for _ in range(3):
            stage.world.failures.fail("delete", StoreUnavailableError("too many open files"))
        assert await stage.dispatcher.submit(submission(), ARTIFACT) == JOB
        while any("_SUBMITTING-" in path for path in stage.world.files.files):
            await asyncio.sleep(0.01)
        assert stage.stored() == [JOB]

    play(io, story)
