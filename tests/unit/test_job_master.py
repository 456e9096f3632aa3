"""One job under one leadership: what it does when others leave at the wrong moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hawork.core.errors import StoreUnavailableError
from hawork.core.jobs import JobStatus, RestartStrategy, SubtaskState
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

    def task_event(self, type: str, **facts: Any) -> None:
        assert self.job.attempt is not None
        self.job.task_event(self.job.attempt.attempt, 0, {"type": type, **facts})


@pytest.fixture
def io() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def play(
    io: ThreadPoolExecutor,
    story: Callable[[Stage], Coroutine[Any, Any, None]],
) -> None:
    """Run a story of one job with one subtask and no checkpoint interval."""

    async def run() -> None:
        world = World()
        term = world.term(io)
        ended: list[JobStatus] = []

        async def end(job: JobMaster, status: JobStatus) -> None:
            ended.append(status)

        strategy = RestartStrategy(initial_backoff=0.001, max_backoff=0.001)
        job = JobMaster(replace(graph(), restart_strategy=strategy), term, end, recovered=False)
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
