"""A JobManager that cannot lead lets another one lead, and takes part again; it never ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError, HaworkError, StoreUnavailableError
from hawork.core.events import EventKind, EventLog
from hawork.core.steps import NoSteps
from hawork.core.types import LeaderSessionID
from hawork.ha.leader_stores import LeaderStores
from hawork.ha.services import HighAvailabilityServices
from hawork.runtime import leader_process
from hawork.runtime.leader_process import LeaderProcess
from hawork.runtime.retry_pause import RetryPause
from hawork.testing import InMemoryCluster


class Process:
    """One JobManager's contender on a cluster in memory; ``broken`` is what it has run out of."""

    def __init__(
        self, name: str, cluster: InMemoryCluster, root: Path, io: Any, **values: str
    ) -> None:
        self.broken: Exception | None = None
        self.fatal: list[str] = []
        self.events = EventLog(name)
        config = Configuration({"high-availability.storageDir": f"file://{root}", **values})
        self.ha = HighAvailabilityServices(config, cluster.backend(), events=self.events)
        context: Any = SimpleNamespace(config=config, events=self.events, steps=NoSteps())
        services: Any = SimpleNamespace(
            leader_election=self.ha.leader_election,
            stores=self._stores,
            storage_watch=self.ha.storage_watch,
            probe_storage=self.ha.probe_storage,
        )
        address = f"http://{name}"
        self.contender = LeaderProcess(services, context, io, address, self.fatal.append)
        self.contender._setbacks = RetryPause(0.05, 0.05)

    def _stores(self, session_id: LeaderSessionID) -> LeaderStores:
        if self.broken is not None:
            raise self.broken
        return self.ha.stores(session_id)

    def leads(self) -> bool:
        return self.contender.dispatcher is not None

    def errors(self) -> list[str]:
        found = [event for event in self.events.recent() if event.kind is EventKind.ERROR]
        return [event.facts["message"] for event in found]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20.0):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        OSError(24, "Too many open files"),
        MemoryError(),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        StoreUnavailableError("storageDir cannot be written: No space left on device"),
    ],
)
def test_whatever_keeps_one_from_leading_another_one_leads(
    tmp_path: Path, error: Exception
) -> None:
    async def story() -> None:
        cluster = InMemoryCluster()
        with ThreadPoolExecutor(8) as io:
            one, two = (Process(name, cluster, tmp_path, io) for name in ("one", "two"))
            one.broken = error
            one.contender.start()
            await until(lambda: bool(one.errors()))
            two.contender.start()
            await until(two.leads)
            one.broken = None
            await two.contender.close()
            await until(one.leads)
            assert one.fatal == two.fatal == []
            assert "cannot lead, and lets others for 0.05 s" in one.errors()[0]
            await one.contender.close()
            for process in (one, two):
                await asyncio.get_running_loop().run_in_executor(io, process.ha.close)
        cluster.close()

    asyncio.run(story())


def test_a_store_that_is_away_at_the_very_start_is_waited_for(tmp_path: Path) -> None:
    """It was there when the services were opened; found by the simulation."""

    async def story() -> None:
        cluster = InMemoryCluster()
        with ThreadPoolExecutor(8) as io:
            one = Process("one", cluster, tmp_path, io)
            cluster.available = False
            one.contender.start()
            await until(lambda: bool(one.errors()))
            cluster.available = True
            await until(one.leads)
            assert one.fatal == []
            await one.contender.close()
            await asyncio.get_running_loop().run_in_executor(io, one.ha.close)
        cluster.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("timeout", "second", "says"),
    [
        ("0 s", StoreUnavailableError("no right is known yet"), "no right is known yet"),
        ("300 s", ConfigurationError("patch is missing"), "patch is missing"),
    ],
)
def test_a_process_that_cannot_take_part_in_time_ends(
    tmp_path: Path, timeout: str, second: HaworkError, says: str
) -> None:
    """A JobManager without a right to write, where an API server does not say if it is ready."""

    async def story() -> None:
        cluster = InMemoryCluster()
        with ThreadPoolExecutor(8) as io:
            one = Process("one", cluster, tmp_path, io, **{"hawork.startup.timeout": timeout})
            tries: list[HaworkError] = [StoreUnavailableError("the store is away")]

            def take_part() -> None:
                raise tries.pop() if tries else second

            one.contender._take_part = take_part  # type: ignore[method-assign]
            one.contender.start()
            await until(lambda: bool(one.fatal))
            assert one.fatal == [says]
            await one.contender.close()
            await asyncio.get_running_loop().run_in_executor(io, one.ha.close)
        cluster.close()

    asyncio.run(story())


def test_a_takeover_that_takes_too_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_process, "_PATIENCE", 0.3)

    async def story() -> None:
        cluster = InMemoryCluster()
        with ThreadPoolExecutor(8) as io:
            one, two = (Process(name, cluster, tmp_path, io) for name in ("one", "two"))
            away = StoreUnavailableError("storageDir is away")
            stores = one._stores

            def without_files(session_id: LeaderSessionID) -> LeaderStores:
                found = stores(session_id)

                def refuse() -> None:
                    raise away

                monkeypatch.setattr(found.job_graphs, "recover_all", refuse)
                return found

            one.contender._ha.stores = without_files  # type: ignore[method-assign]
            one.contender.start()
            await until(lambda: any("away" in message for message in one.errors()))
            two.contender.start()
            await until(two.leads)
            await two.contender.close()
            await one.contender.close()
            for process in (one, two):
                await asyncio.get_running_loop().run_in_executor(io, process.ha.close)
        cluster.close()

    asyncio.run(story())
