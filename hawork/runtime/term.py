"""What everything that runs under one leadership shares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from hawork.core.clock import Clock
from hawork.core.configuration import Configuration
from hawork.core.events import EventSink
from hawork.core.steps import Steps
from hawork.core.types import LeaderSessionID

if TYPE_CHECKING:
    from hawork.ha.leader_stores import LeaderStores
    from hawork.runtime.resource_manager import ResourceManager

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Term:
    """One term of leadership: its session id, the stores bound to it, and the surroundings."""

    session_id: LeaderSessionID
    stores: LeaderStores
    resource_manager: ResourceManager
    config: Configuration
    clock: Clock
    events: EventSink
    steps: Steps
    io: Executor

    async def run_io(self, action: Callable[[], T]) -> T:
        """Run something that blocks (storage, a held step) on the I/O threads."""
        return await asyncio.get_running_loop().run_in_executor(self.io, action)

    async def step(self, name: str, **facts: Any) -> None:
        """Reach a step of the protocol; it may be held, so not on the event loop."""
        await self.run_io(lambda: self.steps.reached(name, session_id=self.session_id, **facts))

    def now_millis(self) -> int:
        return int(self.clock.time() * 1000)
