"""A checkpoint that cannot be stored: tried again where that may help, else the attempt fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from stores_setup import JOB, World, graph

from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import (
    ConfigurationError,
    HighAvailabilityError,
    JobExecutionError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind
from hawork.core.failures import Blame
from hawork.core.jobs import SubtaskState
from hawork.job.keys import key_text
from hawork.job.state import encode_state
from hawork.runtime.checkpoint_coordinator import CheckpointCoordinator, CheckpointStatistics

HALF = "\ud83d"  # of a surrogate pair


class Attempt:
    """One attempt of a job with one subtask, which acknowledges every checkpoint at once."""

    def __init__(self, world: World, state: Any = None) -> None:
        stores = world.lead()
        self.ended: list[tuple[str, Blame]] = []
        self.completed = 0
        self._state = state
        self.coordinator = CheckpointCoordinator(
            replace(graph(), checkpoint_interval=0.01),
            stores.session_id,
            stores.checkpoint_id_counter(JOB),
            stores.completed_checkpoints(JOB, 1),
            CheckpointStatistics(),
            run_io=self._run,
            send=self._send,
            completed=self._complete,
            failed=lambda reason, blame=Blame.JOB: self.ended.append((reason, blame)),
            clock=SYSTEM_CLOCK,
            events=world.events,
            steps=world.steps,
        )

    async def _run(self, action: Callable[[], Any]) -> Any:
        return action()

    def _send(self, command: dict[str, Any]) -> None:
        if command["type"] == "checkpoint":
            state = SubtaskState(index=0, attempt="a", records=1, position=1, state=self._state)
            acknowledge = self.coordinator.acknowledge
            asyncio.get_running_loop().call_soon(acknowledge, command["checkpoint_id"], state, 1)

    def _complete(self, _: Any) -> None:
        self.completed += 1

    async def run(self) -> None:
        """Until the attempt has ended, or has completed two checkpoints."""
        self.coordinator.start()
        async with asyncio.timeout(10.0):
            while not self.ended and self.completed < 2:
                await asyncio.sleep(0.005)
        self.coordinator.close()
        await self.coordinator.drained()


def failures(world: World) -> list[str]:
    return [facts["reason"] for facts in world.kinds(EventKind.CHECKPOINT_FAILED)]


def test_a_checkpoint_of_text_that_is_none_fails_the_attempt_and_is_told(world: World) -> None:
    """It was neither: the job never checkpointed, never ended, and looked again every 5 ms."""
    attempt = Attempt(world, state={HALF: {"n": 1}})
    asyncio.run(attempt.run())
    ((reason, blame),) = attempt.ended
    assert "checkpoint 1 cannot be stored" in reason and "whole characters" in reason
    assert blame is Blame.JOB
    assert len(failures(world)) == 1
    reason.encode()


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), ConfigurationError("odd"), OSError(28, "")]
)
@pytest.mark.parametrize("operation", ["create", "write", "read"])
def test_any_error_is_told_and_fails_the_attempt(
    world: World, operation: str, error: Exception
) -> None:
    attempt = Attempt(world)
    world.failures.fail(operation, error)
    asyncio.run(attempt.run())
    assert len(attempt.ended) == 1 == len(failures(world))
    expected = Blame.ENVIRONMENT if isinstance(error, OSError) else Blame.JOB
    assert attempt.ended[0][1] is expected


@pytest.mark.parametrize("operation", ["create", "write", "read"])
def test_a_store_that_is_away_is_told_and_waited_for(world: World, operation: str) -> None:
    attempt = Attempt(world)
    world.failures.fail(operation, StoreUnavailableError("not now"))
    asyncio.run(attempt.run())
    assert attempt.ended == [] and failures(world) == ["not now"]


def test_ids_that_are_used_up_fail_the_attempt(world: World) -> None:
    attempt = Attempt(world)
    world.failures.fail("read", HighAvailabilityError("overflows: cancel the job"))
    asyncio.run(attempt.run())
    assert "no checkpoint could be triggered: overflows" in attempt.ended[0][0]


@pytest.mark.parametrize("key", [HALF, ("a", HALF), {"k": HALF}, "\udfff"])
def test_a_key_is_whole_characters(key: Any) -> None:
    with pytest.raises(JobExecutionError, match="whole characters"):
        key_text(key)
    assert key_text("\U0001f600") == '"\U0001f600"'


@pytest.mark.parametrize("value", [{"n": HALF}, {HALF: 1}, {"n": [{"m": HALF}]}])
def test_state_is_whole_characters(value: dict[str, Any]) -> None:
    with pytest.raises(JobExecutionError, match=r"of key good2 .* half a surrogate pair"):
        encode_state({"good1": {"n": "\U0001f600"}, "good2": value})
    assert encode_state({"k": {"n": "\U0001f600"}}) == b'{"k":{"n":"\\ud83d\\ude00"}}'
