"""A simulated JobManager process: ``hawork.runtime.job_manager`` without sockets and signals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError
from hawork.core.events import EventKind
from hawork.runtime import job_manager
from hawork.runtime.dispatcher import Dispatcher
from hawork.runtime.own_thread import in_the_end
from hawork.runtime.process import ProcessContext
from hawork.runtime.submission import graph_of_request
from hawork.simulation.event_loop import SimulatedEventLoop, SimulatedExecutor
from hawork.simulation.scheduler import SimulatedProcess
from hawork.simulation.world import World

Answer = Callable[[Any], None]


class JobManager:
    """One process from its start to its end. ``address`` is where clients reach it."""

    def __init__(self, world: World, name: str, config: Configuration, address: str) -> None:
        self.world = world
        self.name = name
        self.address = address
        self.process: SimulatedProcess = world.scheduler.process(name)
        self.ticket: dict[str, str] = {}
        self.ended: str | None = None
        """Why it ended by itself; ``None`` while it runs, and when it was killed."""
        self.serving = False
        """Whether it has found its store and takes part."""
        self.stopping = False
        """Whether it was asked to end."""
        self._dispatcher: Callable[[], Dispatcher | None] = lambda: None
        self._config = config
        self._loop: SimulatedEventLoop | None = None
        self._stopped: asyncio.Future[str] | None = None
        world.scheduler.spawn(self.process, self._main, "main")

    # --- the process ------------------------------------------------------------------------

    def _main(self) -> None:
        loop = self._loop = SimulatedEventLoop(self.world.scheduler)
        self.world.loops.append(loop)
        sink = self.world.sink(self.process)
        sink.emit(EventKind.PROCESS_STARTED, role="jobmanager", address=self.address)
        context = ProcessContext(self.name, self._config, None, cast(Any, sink), cast(Any, sink))
        self.world.stop[self.name] = lambda: self.stop("SIGTERM")
        reason = loop.run(self._serve(context))
        self.ended = reason
        sink.emit(EventKind.PROCESS_STOPPED, reason=reason)
        if reason.startswith("fatal"):
            self.world.violated(f"{self.name} ended by itself: {reason}")
        for error in loop.errors:
            self.world.violated(f"{self.name}: {error}")
        self.world.kill(self.process)

    async def _serve(self, context: ProcessContext) -> str:
        loop = asyncio.get_running_loop()
        stopped = self._stopped = loop.create_future()
        io = SimulatedExecutor(self.world.scheduler)
        self.world.hosts[self.process] = self
        try:
            return await job_manager._serve(
                context,
                cast(Any, UnaskedParent()),
                cast(Any, io),
                stopped,
                asyncio.Event(),
                lambda message: self.stop(f"fatal: {message}"),
            )
        except HaworkError as error:
            return f"fatal: {error}"
        finally:
            await in_the_end(io.shutdown)  # as ``run_job_manager`` does

    def stop(self, reason: str) -> None:
        """What SIGTERM does; on any thread."""
        self.stopping = True
        stopped, loop = self._stopped, self._loop
        if stopped is not None and loop is not None:
            loop.call_soon_threadsafe(_settle, stopped, reason)

    # --- what others reach over the network -----------------------------------------------------

    @property
    def running(self) -> bool:
        return not self.process.dead

    def leading(self) -> Dispatcher | None:
        """On the event loop: the dispatcher, while the address is published."""
        return self._dispatcher()

    def deliver(self, action: Callable[[], None]) -> None:
        """Run ``action`` on the event loop after the time that a message takes; never when cut."""

        def arrive() -> None:
            if self.running and self._loop is not None and not self.world.is_cut(self.name):
                self._loop.call_soon_threadsafe(action)

        self.world.scheduler.at(self.world.latency(), arrive)

    def ask(self, handle: Callable[[Dispatcher], Coroutine[Any, Any, Any]], answer: Answer) -> None:
        """What REST does with a request: answers a value, or the error of hawork's that was raised.

        Like a connection it may break without an answer: then nothing is told.
        """

        async def serve() -> None:
            dispatcher = self.leading()
            try:
                if dispatcher is None:
                    found: Any = NotLeading("this JobManager does not lead")
                else:
                    found = await handle(dispatcher)
            except HaworkError as error:
                found = error
            self.world.scheduler.at(self.world.latency(), lambda: answer(found))

        tasks: set[Any] = set()

        def begin() -> None:
            task = asyncio.get_running_loop().create_task(serve())
            tasks.add(task)
            task.add_done_callback(_looked_at)

        self.deliver(begin)

    def submit(self, request: dict[str, Any], artifact: bytes, answer: Answer) -> None:
        """``POST /jobs``, as its handler does it."""

        async def handle(dispatcher: Dispatcher) -> str:
            limit = dispatcher.term.config.get_option(options.ARTIFACT_MAX_SIZE)
            graph = await dispatcher.term.run_io(
                lambda: graph_of_request(request, artifact, dispatcher.term.config, limit)
            )
            return await dispatcher.submit(graph, artifact)

        self.ask(handle, answer)


class NotLeading(HaworkError):
    """What a standby answers."""


def _settle(future: asyncio.Future[str], value: str) -> None:
    if not future.done():
        future.set_result(value)


def _looked_at(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


class SimulatedRest:
    """A ``RestEndpoint`` without sockets."""

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager
        self.address = manager.address

    def serve(
        self,
        access: object,
        leader: Callable[[], Dispatcher | None],
        proved: object,
        routes: object,
    ) -> None:
        self._manager._dispatcher = leader
        self._manager.serving = True

    async def close(self) -> None:
        self._manager._dispatcher = lambda: None


class SimulatedSupervisor:
    """Takes tickets; asks no questions: its watchdog is a rule of its own, without the HA core."""

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def ticket(self, ticket: dict[str, str]) -> None:
        self._manager.ticket.update(ticket)

    def watch(self, wanted: bool) -> None: ...


class UnaskedParent:
    """The other end of the supervisor's questions."""

    asked: Callable[[int], None]


def substitutes(world: World) -> dict[tuple[Any, str], Callable[..., Any]]:
    """What stands for sockets, tokens and the supervisor's pipe."""

    def rest(_: object, config: Configuration) -> SimulatedRest:
        assert world.scheduler.current is not None
        return SimulatedRest(world.hosts[world.scheduler.current.process])

    def supervisor(_: object) -> SimulatedSupervisor:
        assert world.scheduler.current is not None
        return SimulatedSupervisor(world.hosts[world.scheduler.current.process])

    return {
        (job_manager, "RestEndpoint"): rest,
        (job_manager, "ensure_token"): lambda _, config: "",
        (job_manager, "supervisor_of_environment"): supervisor,
        (job_manager, "routes"): lambda _: [],
    }
