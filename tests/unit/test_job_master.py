"""One job under one leadership: what it does when others leave at the wrong moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hawork.core.errors import PossibleInconsistentStateError, StoreUnavailableError
from hawork.core.jobs import JobStatus, RestartStrategy, SubtaskState
from hawork.ha.checkpoint_store import CompletedCheckpointStore
from hawork.runtime import execution, restart_strategy
from hawork.runtime.execution import ExecutionAttempt, Outcome
from hawork.runtime.job_master import JobMaster
from hawork.runtime.term import Term
from tests.unit.stores_setup import World, graph

Message = dict[str, Any]


@dataclass
class TaskManagerStub:
    """A TaskManager's connection that keeps what it is told."""

    messages: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        self.messages.append(message)

    def close(self) -> None:
        """Nothing is held."""

    def commands(self, kind: str) -> list[Message]:
        found = [message.get("command", message) for message in self.messages]
        return [command for command in found if command["type"] == kind]


@dataclass
class Stage:
    """A job master with everything around it but TaskManagers."""

    world: World
    term: Term
    job: JobMaster
    ended: list[JobStatus]

    manager: TaskManagerStub = field(default_factory=TaskManagerStub)

    def task_event(self, type: str, **facts: Any) -> None:
        assert self.job.attempt is not None
        self.job.task_event(self.job.attempt.attempt, 0, {"type": type, **facts})

    async def deployed(self, times: int) -> None:
        """The job's subtask has been deployed so often by now."""
        if not self.term.resource_manager.taskmanagers:
            self.term.resource_manager.register("tm-1", 1, 1, self.manager)
        await until(lambda: len(self.manager.commands("deploy_task")) == times or self.ended)
        assert not self.ended

    async def complete_a_checkpoint(self) -> None:
        self.task_event("running")
        await until(lambda: self.manager.commands("checkpoint"))
        checkpoint_id = self.manager.commands("checkpoint")[-1]["checkpoint_id"]
        state = SubtaskState(0, "a1", 7, 7).to_json()
        self.task_event("snapshot", checkpoint_id=checkpoint_id, state=state, bytes=1)
        await until(lambda: self.job.statistics.completed)

    def fail(self, blame: str, *, permanent: bool = False) -> None:
        self.task_event("failed", reason=f"by the {blame}", blame=blame, permanent=permanent)
        self.task_event("gone")


@pytest.fixture
def io() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def play(
    io: ThreadPoolExecutor,
    story: Callable[[Stage], Coroutine[Any, Any, None]],
    strategy: RestartStrategy | None = None,
    recovered: bool = False,
    **more: Any,
) -> None:
    """Run a story of one job with one subtask and no checkpoint interval."""

    async def run() -> None:
        world = World()
        term = world.term(io)
        ended: list[JobStatus] = []

        async def end(job: JobMaster, status: JobStatus) -> None:
            ended.append(status)

        restart = strategy or RestartStrategy(initial_backoff=0.001, max_backoff=0.001)
        job_graph = replace(graph(), restart_strategy=restart, **more)
        job = JobMaster(job_graph, term, end, lambda _: None, recovered=recovered)
        try:
            async with asyncio.timeout(20.0):
                await story(Stage(world, term, job, ended))
        finally:
            await job.suspend()
            world.close()

    asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    """Wait for what happens on other threads; ``play`` limits it."""
    while not condition():
        await asyncio.sleep(0.001)


def test_a_taskmanager_that_leaves_before_the_deployment_does_not_hang_the_job(
    io: ThreadPoolExecutor,
) -> None:
    async def story(stage: Stage) -> None:
        job, resources, second = stage.job, stage.term.resource_manager, TaskManagerStub()
        await until(lambda: job.waiting_for_slots)
        resources.register("tm-1", 1, 1, TaskManagerStub())
        resources.lose("tm-1", "its connection closed")
        await until(lambda: job.restarts == 1 and job.waiting_for_slots)
        resources.register("tm-2", 1, 2, second)
        await until(lambda: second.commands("deploy_task"))

    play(io, story)


def test_the_last_checkpoint_is_tried_until_it_is_stored(io: ThreadPoolExecutor) -> None:
    """The job has no checkpoint interval: nobody else would ask for another one."""

    async def story(stage: Stage) -> None:
        manager = TaskManagerStub()
        await until(lambda: stage.job.waiting_for_slots)
        stage.term.resource_manager.register("tm-1", 1, 1, manager)
        await until(lambda: manager.commands("deploy_task"))
        stage.task_event("running")
        stage.task_event("end_of_input")
        for number, failing in ((1, "create"), (2, "write"), (3, None)):
            await until(lambda count=number: len(manager.commands("checkpoint")) == count)
            if failing:
                stage.world.failures.fail(failing, StoreUnavailableError("the disk is full"))
            checkpoint_id = manager.commands("checkpoint")[-1]["checkpoint_id"]
            state = SubtaskState(0, "a1", 7, 7, finished=True)
            stage.task_event(
                "snapshot", checkpoint_id=checkpoint_id, state=state.to_json(), bytes=1
            )
        await until(lambda: manager.commands("notify_complete"))
        stage.task_event("committed", checkpoint_id=checkpoint_id)
        await until(lambda: manager.commands("stop"))
        stage.task_event("gone")
        await until(lambda: stage.ended == [JobStatus.FINISHED])

    play(io, story)


@pytest.mark.parametrize("stored", ["yes", "no", "unknown"])
def test_a_job_that_is_canceled_throws_away_nothing_that_a_checkpoint_names(
    io: ThreadPoolExecutor, stored: str
) -> None:
    """Its leader was killed before the end was durable, and the next one restored it from there:
    embedded:81001026, with a client that cancels.
    """

    async def story(stage: Stage) -> None:
        await stage.deployed(1)
        stage.task_event("running")
        await until(lambda: stage.manager.commands("checkpoint"))
        number = stage.manager.commands("checkpoint")[-1]["checkpoint_id"]

        def canceled() -> None:
            asyncio.run_coroutine_threadsafe(cancel(), loop).result(5.0)
            if stored == "no":
                stage.world.failures.fail("create", StoreUnavailableError("not now"))
            elif stored == "unknown":
                error = PossibleInconsistentStateError("no answer")
                stage.world.failures.fail("create", error, after=True)

        async def cancel() -> None:
            stage.job.cancel()
            await asyncio.sleep(0)

        loop = asyncio.get_running_loop()
        stage.world.steps.hooks["checkpoint.written"] = canceled
        state = SubtaskState(0, "a1", 7, 7).to_json()
        stage.task_event("snapshot", checkpoint_id=number, state=state, bytes=1)
        await until(lambda: stage.manager.commands("stop"))
        told = [each["checkpoint_id"] for each in stage.manager.commands("notify_complete")]
        assert told == ([number] if stored == "yes" else [])
        assert stage.manager.commands("stop")[-1]["discard"] == (stored != "unknown")
        stage.task_event("gone")
        await until(lambda: stage.ended == [JobStatus.CANCELED])

    play(io, story, checkpoint_interval=0.005)


def test_what_a_task_of_an_earlier_attempt_says_counts_for_nothing(io: ThreadPoolExecutor) -> None:
    """It is on its way when the TaskManager is lost, and comes when the next attempt runs.

    An old ``committed`` that came between the last ones of two subtasks kept the job from ending.
    """

    async def story(stage: Stage) -> None:
        job, manager, resources = stage.job, stage.manager, stage.term.resource_manager
        resources.register("tm-1", 2, 1, manager)
        await until(lambda: len(manager.commands("deploy_task")) == 2)
        assert job.attempt is not None
        old = job.attempt.attempt
        resources.lose("tm-1", "its connection closed")
        await until(lambda: job.restarts == 1)
        resources.register("tm-1", 2, 1, manager)
        await until(lambda: len(manager.commands("deploy_task")) == 4)
        attempt = job.attempt
        assert attempt.attempt != old

        def tell(index: int, type: str, of: str = attempt.attempt, **facts: Any) -> None:
            job.task_event(of, index, {"type": type, **facts})  # type: ignore[misc, arg-type]

        tell(0, "running")
        tell(1, "running")
        tell(0, "end_of_input", of=old)
        tell(1, "end_of_input", of=old)
        tell(0, "failed", of=old, reason="it was killed", blame="environment")
        tell(1, "gone", of=old)
        await asyncio.sleep(0)
        assert not manager.commands("checkpoint")
        assert not attempt.end.done()
        assert job.restarts == 1
        tell(0, "end_of_input")
        tell(1, "end_of_input")
        await until(lambda: manager.commands("checkpoint"))
        last = manager.commands("checkpoint")[-1]["checkpoint_id"]
        for index in (0, 1):
            state = SubtaskState(index, attempt.attempt, 7, 7, finished=True)
            tell(index, "snapshot", checkpoint_id=last, state=state.to_json(), bytes=1)
        await until(lambda: manager.commands("notify_complete"))
        tell(0, "committed", checkpoint_id=last)
        tell(0, "committed", of=old, checkpoint_id=last - 1)
        tell(1, "committed", checkpoint_id=last)
        await until(attempt.end.done)
        assert attempt.end.result().outcome is Outcome.FINISHED
        await until(lambda: manager.commands("stop"))
        tell(0, "gone")
        tell(1, "gone")
        await until(lambda: stage.ended == [JobStatus.FINISHED])

    play(io, story, parallelism=2)


TWICE = RestartStrategy("fixed-delay", attempts=2, delay=0.001)


def test_the_environment_never_ends_a_job_that_has_completed_a_checkpoint(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk ended a job that had run for hours, and its checkpoints were removed."""
    monkeypatch.setattr(restart_strategy, "_OUTAGE_PAUSE", 0.001)

    async def story(stage: Stage) -> None:
        await stage.deployed(1)
        await stage.complete_a_checkpoint()
        for times in range(2, 8):
            stage.fail("environment")
            await stage.deployed(times)
        assert stage.manager.commands("deploy_task")[-1]["restore"] is not None
        for times in (8, 9):  # the job's own failures count from here
            stage.fail("job")
            await stage.deployed(times)
        stage.fail("job")
        await until(lambda: stage.ended == [JobStatus.FAILED])

    play(io, story, TWICE, checkpoint_interval=0.005)


def test_a_job_that_has_completed_nothing_ends_when_its_restart_strategy_does(
    io: ThreadPoolExecutor,
) -> None:
    """As in Flink; nothing is lost that it had reached."""

    async def story(stage: Stage) -> None:
        for times in (1, 2, 3):
            await stage.deployed(times)
            stage.fail("environment")
        await until(lambda: stage.ended == [JobStatus.FAILED])
        assert stage.job.failure == "by the environment"

    play(io, story, TWICE)


@pytest.mark.parametrize("has_run", [False, True])
def test_a_permanent_failure_is_believed_of_a_job_that_has_not_run(
    io: ThreadPoolExecutor, has_run: bool
) -> None:
    """After a checkpoint the same artifact and config did work: that is not a failure at once."""

    async def story(stage: Stage) -> None:
        await stage.deployed(1)
        if has_run:
            await stage.complete_a_checkpoint()
            stage.fail("job", permanent=True)
            await stage.deployed(2)
            return
        stage.fail("job", permanent=True)
        await until(lambda: stage.ended == [JobStatus.FAILED])

    play(io, story, TWICE, checkpoint_interval=0.005)


@pytest.mark.parametrize("operation", ["recover", "deploy"])
def test_a_surprise_in_the_jobmanager_is_not_the_end_of_a_job(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """No thread or no descriptor was left, or hawork has a bug."""
    where = CompletedCheckpointStore if operation == "recover" else ExecutionAttempt

    real = getattr(where, operation)

    def surprise(*_: Any) -> None:
        monkeypatch.setattr(where, operation, real)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(where, operation, surprise)
    monkeypatch.setattr(execution, "STOP_TIMEOUT", 0.01)

    async def story(stage: Stage) -> None:
        await stage.deployed(1)
        assert stage.job.restarts == 1
        assert stage.job.failure is not None and "can't start new thread" in stage.job.failure

    play(io, story)


def test_what_keeps_a_recovered_job_from_its_checkpoints_does_not_end_it(
    io: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread was left at the takeover. The job's failure was counted, and its data deleted."""
    monkeypatch.setattr(restart_strategy, "_OUTAGE_PAUSE", 0.001)
    tries: list[int] = []

    async def story(stage: Stage) -> None:
        recover = stage.job._store.recover

        def exhausted() -> Any:
            tries.append(1)
            if len(tries) < 4:
                raise RuntimeError("can't start new thread")
            return recover()

        stage.job._store.recover = exhausted  # type: ignore[method-assign]
        await stage.deployed(1)
        # From here on it has no checkpoint, and its failures count.
        stage.fail("environment")
        await until(lambda: stage.ended)

    play(io, story, RestartStrategy("none"), recovered=True)
    assert len(tries) == 4
