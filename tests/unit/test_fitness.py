"""A leader that cannot lead gives up, and a process whose store is away waits for it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tornado.httpserver

from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.core.events import EventKind
from hawork.ha.local_storage import LocalStateStorage
from hawork.ha.services import HighAvailabilityServices
from hawork.ha.storage_watch import StorageWatch, WatchedStorage
from hawork.runtime import leader_process, retry_pause, startup
from hawork.runtime.dispatcher import Dispatcher
from hawork.runtime.fitness import CannotLeadError, Fitness
from hawork.runtime.leader_process import LeaderProcess
from hawork.runtime.own_thread import in_own_thread
from hawork.runtime.process import ProcessContext
from hawork.runtime.rest_endpoint import RestEndpoint
from hawork.runtime.retry_pause import RetryPause
from hawork.runtime.startup import open_when_there
from hawork.testing import InMemoryCluster, InMemoryStorage, ManualClock

SOON = {
    "heartbeat.interval": "20 ms",
    "heartbeat.timeout": "10 s",
    "hawork.storage.timeout": "200 ms",
}


class HangingStorage(InMemoryStorage):
    """A disk that answers no write while it hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()

    def write(self, path: str, data: bytes, *, flush: bool = True, fresh: bool = False) -> None:
        self.answers.wait()
        super().write(path, data, flush=flush)


# --- what is looked at -------------------------------------------------------------------


def test_an_operation_that_hangs_is_noticed_and_one_that_ends_is_not() -> None:
    clock = ManualClock()
    watch = StorageWatch(clock)
    fitness = Fitness(watch, 60.0, clock)
    with watch.during("writing jobs/a in storageDir"):
        clock.advance(30.0)
        with watch.during("reading jobs/b in storageDir"):
            clock.advance(31.0)
        with pytest.raises(CannotLeadError, match="writing jobs/a in storageDir has taken 61 s"):
            fitness.check()
    fitness.check()


def test_every_operation_of_a_storage_is_watched() -> None:
    """Called from inside of each one, the watch knows of it."""
    seen: list[str | None] = []
    watch = StorageWatch(ManualClock())

    class Looking:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_, **__: seen.append(watch.hanging(-1.0))

    storage: Any = WatchedStorage(Looking(), watch)  # type: ignore[arg-type]
    storage.write("a", b"")
    storage.read("a")
    storage.delete("a")
    storage.list("")
    storage.rename("a", "b")
    assert [str(each).split()[0] for each in seen] == [
        "writing", "reading", "deleting", "listing", "renaming",
    ]  # fmt: skip
    assert watch.hanging(-1.0) is None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_descriptors_may_be_exhausted_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    clock = ManualClock()
    fitness = Fitness(StorageWatch(clock), 60.0, clock)

    def none_left(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    fitness.check()
    monkeypatch.setattr(os, "open", none_left)
    for _ in range(3):
        fitness.check()
        clock.advance(2.0)
    with pytest.raises(CannotLeadError, match="raise the limit of open files"):
        fitness.check()
    with pytest.raises(CannotLeadError):
        fitness.check_at_once()
    monkeypatch.undo()
    fitness.check()
    fitness.check_at_once()


def test_threads_may_be_exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    fitness = Fitness(StorageWatch(clock), 60.0, clock)

    def none_left(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    fitness.check()
    clock.advance(6.0)
    with pytest.raises(CannotLeadError, match="no thread can be started"):
        fitness.check()


def test_pauses_grow_to_their_limit_and_begin_anew() -> None:
    pause = RetryPause(1.0, 5.0)
    assert [pause.next() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    pause.over()
    assert pause.next() == 1.0


# --- giving leadership up ------------------------------------------------------------------


class JobManager:
    """The part of a JobManager that leads, on a cluster in memory."""

    def __init__(self, name: str, cluster: InMemoryCluster, directory: Path) -> None:
        values = {**SOON, "high-availability.storageDir": str(directory)}
        self.context = ProcessContext.create(name, Configuration(values), None)
        self.ha = HighAvailabilityServices(
            self.context.config, cluster.backend(), events=self.context.events
        )
        self.io = ThreadPoolExecutor(2)
        self.fatal: list[str] = []
        self.process = LeaderProcess(
            self.ha, self.context, self.io, f"http://{name}:1", self.fatal.append
        )

    @property
    def leads(self) -> bool:
        return self.process.dispatcher is not None

    def said(self) -> list[str]:
        return [
            event.facts["message"]
            for event in self.context.events.recent()
            if event.kind is EventKind.ERROR
        ]

    async def close(self) -> None:
        await self.process.close()
        await in_own_thread(self.ha.close)
        self.io.shutdown()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> InMemoryCluster:
    soon = RetryPause(0.01, 0.02)
    monkeypatch.setattr(leader_process, "RetryPause", lambda *_, **__: soon)
    monkeypatch.setattr(leader_process, "_PATIENCE", 0.05)
    return InMemoryCluster()


def play(
    cluster: InMemoryCluster,
    directory: Path,
    story: Callable[[JobManager, JobManager], Coroutine[Any, Any, None]],
) -> None:
    """The first one stands first."""

    async def run() -> None:
        first, second = (JobManager(name, cluster, directory) for name in ("one", "two"))
        for each in (first, second):
            await in_own_thread(each.ha.check_storage)
            each.process.start()
        try:
            async with asyncio.timeout(20.0):
                await story(first, second)
        finally:
            await first.close()
            await second.close()
            cluster.close()
        assert first.fatal == second.fatal == []

    asyncio.run(run())


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        OSError(errno.EMFILE, "Too many open files"),
        MemoryError(),
        StoreUnavailableError("storageDir cannot be read"),
        ValueError("a bug"),
    ],
)
def test_a_takeover_that_fails_gives_leadership_up_and_another_one_leads(
    cluster: InMemoryCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Each JobManager that led ended itself, one after the other."""
    recover = Dispatcher.recover
    failing = True

    async def failing_in_one(dispatcher: Dispatcher) -> None:
        if failing and getattr(dispatcher.term.events, "process", "") == "one":
            raise error
        await recover(dispatcher)

    monkeypatch.setattr(Dispatcher, "recover", failing_in_one)

    async def story(first: JobManager, second: JobManager) -> None:
        nonlocal failing
        await until(lambda: second.leads)
        told = [text for text in first.said() if "cannot lead, and lets others" in text]
        assert str(error) in told[0]
        failing = False
        await until(lambda: len(cluster._contenders) == 2)
        cluster.expire_leadership()
        await until(lambda: first.leads)

    play(cluster, tmp_path, story)


def test_a_leader_whose_disk_hangs_gives_leadership_up_and_stands_again(
    cluster: InMemoryCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It renewed for ever and did nothing."""

    async def story(first: JobManager, second: JobManager) -> None:
        await until(lambda: first.leads)
        dispatcher = first.process.dispatcher
        assert dispatcher is not None
        hanging, write = threading.Event(), LocalStateStorage.write

        def hang(storage: LocalStateStorage, path: str, data: bytes, **how: bool) -> None:
            if "hangs" in path or ".probe" in path:
                hanging.wait()
            write(storage, path, data, **how)

        monkeypatch.setattr(LocalStateStorage, "write", hang)
        stuck = [
            asyncio.ensure_future(
                dispatcher.term.run_io(lambda: dispatcher.term.stores.storage.write("hangs", b""))
            )
            for _ in range(2)  # as many as there are I/O threads
        ]
        await until(lambda: second.leads)
        assert not first.leads
        assert any("writing hangs in storageDir has taken" in text for text in first.said())
        hanging.set()
        await asyncio.gather(*stuck)
        await until(lambda: len(cluster._contenders) == 2)
        cluster.expire_leadership()
        await until(lambda: first.leads)

    play(cluster, tmp_path, story)


def test_a_process_whose_disk_hangs_ends_all_the_same(
    cluster: InMemoryCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = threading.Event()
    monkeypatch.setattr(LocalStateStorage, "write", lambda *_, **__: hanging.wait())

    async def story() -> None:
        only = JobManager("one", cluster, tmp_path)
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await in_own_thread(only.ha.check_storage)
        await in_own_thread(only.ha.close)
        only.io.shutdown()
        assert time.monotonic() - started < 10.0

    asyncio.run(story())
    hanging.set()
    cluster.close()


# --- waiting at the start --------------------------------------------------------------------


def start(tries: list[Exception | str], **values: str) -> tuple[str, list[str]]:
    """What is opened in the end, and what was said meanwhile."""
    context = ProcessContext.create("jm-1", Configuration(values), None)

    def open_all() -> str:
        outcome = tries.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    opened = asyncio.run(open_when_there(context, open_all))
    return opened, [event.facts["message"] for event in context.events.recent()]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "RetryPause", lambda: retry_pause.RetryPause(0.001, 0.001))


@pytest.mark.usefixtures("soon")
def test_a_store_that_is_away_at_the_start_is_waited_for() -> None:
    away = StoreUnavailableError("no ZooKeeper server answered")
    opened, said = start([away, away, away, "services"])
    assert opened == "services"
    assert len(said) == 1, "once"
    assert "no ZooKeeper server answered; it is tried again for up to 300 s" in said[0]


@pytest.mark.usefixtures("soon")
def test_the_wait_ends_when_it_was_told_to() -> None:
    away = StoreUnavailableError("no ZooKeeper server answered")
    with pytest.raises(StoreUnavailableError, match="no ZooKeeper server answered"):
        start([away, "services"], **{"hawork.startup.timeout": "0 s"})
    with pytest.raises(StoreUnavailableError, match="no ZooKeeper server answered"):
        start([away] * 1000, **{"hawork.startup.timeout": "50 ms"})


@pytest.mark.usefixtures("soon")
def test_what_is_wrong_is_not_waited_for() -> None:
    with pytest.raises(ConfigurationError, match="is no port"):
        start([ConfigurationError("7x is no port"), "services"])
    in_the_way = StoreUnavailableError("storageDir cannot be made")
    in_the_way.__cause__ = NotADirectoryError(errno.ENOTDIR, "Not a directory")
    with pytest.raises(StoreUnavailableError, match="cannot be made"):
        start([in_the_way, "services"])


def told(error: Exception) -> ConfigurationError:
    """As a sentence of ours, which leaves out what came before."""
    try:
        try:
            raise error
        except OSError as cause:
            raise ConfigurationError(f"the token cannot be written ({cause.strerror})") from None
    except ConfigurationError as sentence:
        return sentence


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("error", [
    OSError(errno.EMFILE, "Too many open files"), MemoryError("none left"),
    RuntimeError("can't start new thread"), told(OSError(errno.ENFILE, "Too many open files")),
])  # fmt: skip
def test_a_process_that_has_run_out_of_what_it_needs_waits_at_the_start(error: Exception) -> None:
    opened, said = start([error, error, "services"])
    assert opened == "services"
    assert said == [
        f"this process cannot start: {error}; it is tried again for up to 300 s "
        "(hawork.startup.timeout)"
    ]
    with pytest.raises(CannotLeadError, match="this process cannot start"):
        start([error], **{"hawork.startup.timeout": "0 s"})


def test_what_other_errors_say_is_not_waited_for() -> None:
    with pytest.raises(ConfigurationError, match="Permission denied"):
        start([told(OSError(errno.EACCES, "Permission denied"))])


def test_a_rest_server_that_cannot_serve_is_closed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_descriptor(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def story() -> None:
        rest = RestEndpoint(Configuration({"rest.bind-port": "0"}))
        monkeypatch.setattr(tornado.httpserver.HTTPServer, "add_socket", no_descriptor)
        none: Any = None
        with pytest.raises(OSError, match="Too many open files"):
            rest.serve(none, none, none, [])
        await rest.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", rest.port), timeout=5)

    asyncio.run(story())


def test_a_rest_server_imports_nothing_when_it_begins_to_serve() -> None:
    """Python needs a descriptor for that, and the process may have none left."""
    look = (
        "import sys, hawork.runtime.rest_endpoint; print('tornado.platform.asyncio' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-P", "-c", look], capture_output=True, text=True, check=True
    )
    assert said.stdout == "True\n"


def test_a_store_that_hangs_at_the_start() -> None:
    hanging = threading.Event()
    values = {"hawork.startup.timeout": "0 s", "hawork.storage.timeout": "20 ms"}
    context = ProcessContext.create("jm-1", Configuration(values), None)
    with pytest.raises(StoreUnavailableError, match="did not answer within"):
        asyncio.run(open_when_there(context, hanging.wait))
    hanging.set()
