"""What ``threading``, ``queue`` and ``time`` offer, on a simulated scheduler.

Only what hawork and the libraries below it use, with the same meaning. A lock that is free is taken
without handing over: between two places where a thread waits nothing else runs, which is an order
that real threads may have, too.
"""

from __future__ import annotations

import _queue
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from greenlet import GreenletExit

from hawork.simulation.scheduler import Scheduler, SimulatedThread


class Lock:
    """``threading.Lock``."""

    __slots__ = ("_scheduler", "_waiting", "owner")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.owner: object = None
        self._waiting: list[SimulatedThread] | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self.owner is None:
            self.owner = self._scheduler.current or self._scheduler
            return True
        return self._wait(blocking, timeout)

    def _wait(self, blocking: bool, timeout: float) -> bool:
        scheduler = self._scheduler
        current = scheduler.current
        if current is None or current.process.dead:
            raise GreenletExit
        if not blocking:
            return False
        until = None if timeout < 0 else scheduler.now + timeout
        while self.owner is not None:
            left = None if until is None else until - scheduler.now
            if left is not None and left <= 0:
                return False
            if self._waiting is None:
                self._waiting = []
            self._waiting.append(current)
            scheduler.park(left)
            if current in self._waiting:
                self._waiting.remove(current)
        self.owner = current
        return True

    def release(self) -> None:
        if self.owner is None:
            raise RuntimeError("release unlocked lock")
        self.owner = None
        waiting = self._waiting
        if waiting:
            for each in waiting:
                self._scheduler.wake(each)

    def locked(self) -> bool:
        return self.owner is not None

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        if self._waiting or self.owner is None:
            self.release()
        else:
            self.owner = None


class RLock(Lock):
    """``threading.RLock``."""

    __slots__ = ("_count",)

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.owner: object = None
        self._waiting: list[SimulatedThread] | None = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        caller = self._scheduler.current or self._scheduler
        if self.owner is None:
            self.owner = caller
        elif self.owner is caller:
            self._count += 1
            return True
        elif not self._wait(blocking, timeout):
            return False
        self._count = 1
        return True

    __enter__ = acquire

    def release(self) -> None:
        self._count -= 1
        if self._count == 0:
            super().release()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if self._count == 0:
            if self._waiting:
                super().release()
            else:
                self.owner = None


class Condition(RLock):
    """``threading.Condition`` with a lock of its own, which it is itself."""

    __slots__ = ("_waiters",)

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.owner: object = None
        self._waiting: list[SimulatedThread] | None = None
        self._count = 0
        self._waiters: deque[SimulatedThread] | None = None

    def wait(self, timeout: float | None = None) -> bool:
        current = self._scheduler.current
        if current is None or current.process.dead:
            raise GreenletExit
        waiters = self._waiters
        if waiters is None:
            waiters = self._waiters = deque()
        waiters.append(current)
        count = self._let_go()
        try:
            return self._scheduler.park(timeout)
        finally:
            if current in waiters:
                waiters.remove(current)
            self._take_again(count)

    def _let_go(self) -> int:
        """Release what the caller holds; how many times it does."""
        count, self._count = self._count, 0
        Lock.release(self)
        return count

    def _take_again(self, count: int) -> None:
        Lock.acquire(self)
        self._count = count

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        until = None if timeout is None else self._scheduler.now + timeout
        while not (result := predicate()):
            left = None if until is None else until - self._scheduler.now
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    def notify(self, n: int = 1) -> None:
        waiters = self._waiters
        while n > 0 and waiters:
            self._scheduler.wake(waiters.popleft())
            n -= 1

    def notify_all(self) -> None:
        if self._waiters:
            self.notify(len(self._waiters))


class ConditionOn(Condition):
    """``threading.Condition`` on a lock that others have, too (``Barrier``, ``Queue``)."""

    __slots__ = ("_lock",)

    def __init__(self, scheduler: Scheduler, lock: Lock) -> None:
        super().__init__(scheduler)
        self._lock = lock

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return self._lock.acquire(blocking, timeout)

    __enter__ = acquire

    def release(self) -> None:
        self._lock.release()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _let_go(self) -> int:
        count = self._lock._count if isinstance(self._lock, RLock) else 1
        for _ in range(count):
            self._lock.release()
        return count

    def _take_again(self, count: int) -> None:
        for _ in range(count):
            self._lock.acquire()


def condition(scheduler: Scheduler, lock: Lock | None = None) -> Condition:
    """``threading.Condition``: with a lock of its own unless there is one."""
    return Condition(scheduler) if lock is None else ConditionOn(scheduler, lock)


class Event:
    """``threading.Event``."""

    __slots__ = ("_flag", "_scheduler", "_waiting")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._flag = False
        self._waiting: list[SimulatedThread] = []

    def is_set(self) -> bool:
        return self._flag

    def set(self) -> None:
        self._flag = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._scheduler.wake(each)

    def clear(self) -> None:
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        scheduler = self._scheduler
        if self._flag:
            return True
        until = None if timeout is None else scheduler.now + timeout
        current = scheduler.current
        if current is None:
            raise RuntimeError("only a simulated thread can wait")
        while not self._flag:
            left = None if until is None else until - scheduler.now
            if left is not None and left <= 0:
                break
            self._waiting.append(current)
            scheduler.park(left)
            if current in self._waiting:
                self._waiting.remove(current)
        return self._flag


class SimpleQueue:
    """``queue.SimpleQueue``."""

    __slots__ = ("_items", "_scheduler", "_waiting")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._items: deque[Any] = deque()
        self._waiting: deque[SimulatedThread] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self._items.append(item)
        if self._waiting:
            self._scheduler.wake(self._waiting.popleft())

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        scheduler = self._scheduler
        until = None if timeout is None else scheduler.now + timeout
        while not self._items:
            left = None if until is None else until - scheduler.now
            if not block or (left is not None and left <= 0):
                raise _queue.Empty
            current = scheduler.current
            if current is None:
                raise RuntimeError("only a simulated thread can wait")
            self._waiting.append(current)
            scheduler.park(left)
            if current in self._waiting:
                self._waiting.remove(current)
        return self._items.popleft()

    def empty(self) -> bool:
        return not self._items

    def qsize(self) -> int:
        return len(self._items)


class Thread:
    """``threading.Thread``: begins in the process of the thread that starts it."""

    def __init__(
        self,
        scheduler: Scheduler,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._target, self._args, self._kwargs = target, tuple(args), dict(kwargs or {})
        self.name = name or "thread"
        self.daemon = bool(daemon)
        self._thread: SimulatedThread | None = None

    def start(self) -> None:
        current = self._scheduler.current
        if current is None or current.process.dead:
            raise GreenletExit
        self._thread = self._scheduler.spawn(current.process, self.run, self.name)
        self._thread.handle = self

    def run(self) -> None:
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def join(self, timeout: float | None = None) -> None:
        thread, scheduler = self._thread, self._scheduler
        if thread is None or scheduler.current is None:
            return
        until = None if timeout is None else scheduler.now + timeout
        while not thread.done:
            left = None if until is None else until - scheduler.now
            if left is not None and left <= 0:
                return
            current = scheduler.current
            thread.joiners.append(current)
            scheduler.park(left)
            if current in thread.joiners:
                thread.joiners.remove(current)

    def is_alive(self) -> bool:
        return self._thread is not None and not self._thread.done


class Timer(Thread):
    """``threading.Timer``."""

    def __init__(
        self,
        scheduler: Scheduler,
        interval: float,
        function: Callable[..., Any],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(scheduler, target=function, name="timer", args=args or (), kwargs=kwargs)
        self._interval = interval
        self._canceled = Event(scheduler)

    def run(self) -> None:
        if not self._canceled.wait(self._interval):
            super().run()

    def cancel(self) -> None:
        self._canceled.set()


def current_thread(scheduler: Scheduler) -> Any:
    """``threading.current_thread``."""
    current = scheduler.current
    return None if current is None else current.handle or current
