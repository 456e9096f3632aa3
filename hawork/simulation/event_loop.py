"""asyncio's own event loop, waiting on the simulated clock instead of on sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from heapq import heappop
from typing import Any, TypeVar

from greenlet import GreenletExit

from hawork.simulation.scheduler import Scheduler, SimulatedThread

T = TypeVar("T")


class SimulatedEventLoop(asyncio.BaseEventLoop):
    """Runs on one simulated thread. Other threads reach it by ``call_soon_threadsafe``."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._selector = self  # what BaseEventLoop waits with
        self._thread: SimulatedThread | None = None
        self._called = False
        self._selecting = False
        self._tasks: list[asyncio.Task[Any]] = []
        self.set_exception_handler(self._keep)
        self.errors: list[str] = []

    _ready: Any
    _scheduled: Any

    # What asyncio does, without its looks at debug mode, of which there is none here. ------------

    def time(self) -> float:
        return self._scheduler.now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        self._called = True
        if self._selecting and self._thread is not None:
            self._scheduler.wake(self._thread)
        return handle

    def _run_once(self) -> None:
        """Wait for the next callback, and run all that are due."""
        ready, scheduled = self._ready, self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heappop(scheduled)._scheduled = False
        if ready:
            timeout: float | None = 0
        elif scheduled:
            timeout = scheduled[0]._when - self._scheduler.now
        else:
            timeout = None
        self.select(timeout)
        due = self._scheduler.now + 1e-9
        while scheduled and scheduled[0]._when < due:
            handle = heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It goes when its time comes."""

    # --------------------------------------------------------------------------------------------

    def run(self, main: Any) -> Any:
        """Run a coroutine to its end, on the thread that calls this."""
        self._thread = self._scheduler.current
        assert self._thread is not None
        self._thread.loop = self
        self._scheduler.use_loop(self)
        task = self.create_task(main)
        try:
            while not task.done():
                self._run_once()
        finally:
            self._thread.loop = None
            self._scheduler.use_loop(None)
        return task.result()

    def create_task(self, coro: Any, **more: Any) -> asyncio.Task[Any]:
        """asyncio's; what is made here is let go of by ``abandon``."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, **more)
        self._tasks.append(task)
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> asyncio.Future[Any]:
        """On a thread of its own: a simulated pool has always one left."""
        assert isinstance(executor, SimulatedExecutor)
        future: asyncio.Future[Any] = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except GreenletExit:
                raise
            except BaseException as error:  # noqa: BLE001 - it is the future's business
                self.call_soon_threadsafe(_settle, future, None, error)
            else:
                self.call_soon_threadsafe(_settle, future, result, None)

        executor.begin(run)
        return future

    def select(self, timeout: float | None) -> list[Any]:
        """A selector's method: wait for another thread's call, at most until the next timer."""
        if not self._called and timeout != 0 and (timeout is None or timeout > 0):
            self._selecting = True
            try:
                self._scheduler.park(timeout)
            finally:
                self._selecting = False
        elif self._thread is not None and self._thread.process.dead:
            raise GreenletExit
        self._called = False
        return []

    def abandon(self) -> None:
        """Let go of all that was going on, when the process is dead: it waits for nothing more."""
        self._scheduler.use_loop(self)
        try:
            for task in self._tasks:
                if task.done():
                    continue
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                for _ in range(20):  # a coroutine may go on waiting in its finally blocks
                    try:
                        task.get_coro().close()
                        break
                    except BaseException:  # noqa: BLE001 - it says so by any error
                        continue
            self._ready.clear()
            self._scheduled.clear()
            self._tasks.clear()
        finally:
            self._scheduler.use_loop(None)

    def _keep(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(f"{context.get('message')}: {error!r}")

    def __del__(self) -> None:
        """Nothing is held that must be closed."""


class _Handle(asyncio.Handle):
    """asyncio's, which asks its loop for debug mode."""

    __slots__ = ()

    def __init__(
        self, callback: Callable[..., Any], args: Any, loop: SimulatedEventLoop, context: Any
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class SimulatedExecutor(Executor):
    """A pool in which there is always a thread left."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._threads: list[SimulatedThread] = []

    def begin(self, action: Callable[[], None]) -> None:
        """On a thread of its own, of the process that asks."""
        scheduler = self._scheduler
        assert scheduler.current is not None
        if len(self._threads) > 32:
            self._threads = [each for each in self._threads if not each.done]
        self._threads.append(scheduler.spawn(scheduler.current.process, action, "io"))

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except GreenletExit:
                raise
            except BaseException as error:  # noqa: BLE001 - it is the future's business
                future.set_exception(error)
            else:
                future.set_result(result)

        self.begin(run)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what was begun, if so."""
        current = self._scheduler.current
        if current is None or not wait:
            return
        for thread in self._threads:
            while not thread.done:
                thread.joiners.append(current)
                self._scheduler.park()
