"""The JobManager's contender: what it hears of the election."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hawork.core.errors import LeaderElectionError
from hawork.core.types import DISPATCHER, RESOURCE_MANAGER, REST_SERVER
from hawork.ha.leader_election import LeaderContender
from hawork.runtime.leader_process import LeaderProcess


class Election:
    """Tells everybody who takes part of an error as soon as the first one does."""

    def __init__(self, component_id: str, all_of_them: dict[str, LeaderContender]) -> None:
        self._component_id = component_id
        self._all = all_of_them

    def start(self, contender: LeaderContender) -> None:
        first = not self._all
        self._all[self._component_id] = contender
        if first:
            contender.handle_error(LeaderElectionError("the root belongs to somebody else"))

    def close(self) -> None:
        del self._all[self._component_id]


class Services:
    def __init__(self) -> None:
        self.taking_part: dict[str, LeaderContender] = {}

    def leader_election(self, component_id: str) -> Election:
        return Election(component_id, self.taking_part)


def test_an_error_of_the_election_that_comes_at_once_is_heard() -> None:
    """It once went to a component that does not listen, and the process idled for ever."""

    async def story() -> list[str]:
        services: Any = Services()
        said: list[str] = []
        with ThreadPoolExecutor(1) as io:
            context: Any = None
            process = LeaderProcess(services, context, io, "http://127.0.0.1:1", said.append)
            process.start()
            assert set(services.taking_part) == {DISPATCHER, RESOURCE_MANAGER, REST_SERVER}
            await asyncio.sleep(0)
            await process.close()
        assert services.taking_part == {}
        return said

    assert asyncio.run(story()) == ["the root belongs to somebody else"]
