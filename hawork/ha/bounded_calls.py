"""Calls that may hang, on threads that may: the caller waits for a bounded time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from hawork.core.clock import LONGEST_WAIT
from hawork.core.forks import OwningProcess

T = TypeVar("T")
_Call = tuple[Future[Any], Callable[[], Any]]
_Worker = queue.SimpleQueue[_Call | None]


class CallHangsError(Exception):
    """The call did not return in time. It may still do what it was to do."""


class NoThreadError(CallHangsError):
    """The call was not begun: the process may start no thread more, as at a limit of its pod."""


class BoundedCalls:
    """Runs each call on a daemon thread of its own, which is used again when it returns.

    A name that is being resolved, a disk that does not answer and a program that is waited for
    know no time limit. What must not be late, a lease for example, does not wait for them.
    """

    def __init__(self, name: str, most_hanging: int = 1) -> None:
        """``most_hanging``: how many calls may be given up on before no more are begun."""
        self._name = name
        self._process = OwningProcess()
        self._most_hanging = most_hanging
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._given_up: set[Future[Any]] = set()
        self._closed = False

    def call(self, action: Callable[[], T], seconds: float) -> T:
        """What ``action`` returns or raises.

        ``CallHangsError`` when that takes longer, ``NoThreadError`` when it cannot be begun.
        """
        future = self._begin(action)
        try:
            return future.result(max(0.0, seconds))
        except TimeoutError:
            return self._give_up(future, f"it took longer than {seconds:g} s")

    def call_while(self, condition: Callable[[], bool], action: Callable[[], T]) -> T:
        """The same, for as long as ``condition`` holds; it is looked at every now and then."""
        future = self._begin(action)
        while True:
            try:
                return future.result(LONGEST_WAIT)
            except TimeoutError:
                if future.done() or not condition():
                    return self._give_up(future, "it took too long")

    def _begin(self, action: Callable[[], T]) -> Future[T]:
        if not self._process.is_this:
            raise CallHangsError(self._process.excludes("it"))
        with self._lock:
            if len(self._given_up) >= self._most_hanging:
                raise CallHangsError(f"{len(self._given_up)} earlier ones have not returned yet")
            worker = self._idle.pop() if self._idle else self._start()
        future: Future[T] = Future()
        worker.put((future, action))
        return future

    def _give_up(self, future: Future[T], reason: str) -> T:
        """``CallHangsError``, unless it has returned just now, or raised such an error itself."""
        with self._lock:
            if not future.done():
                self._given_up.add(future)
                raise CallHangsError(reason) from None
        return future.result()

    def close(self) -> None:
        """Let the threads end; one that hangs does so when its call returns."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.put(None)

    def _start(self) -> _Worker:
        calls: _Worker = queue.SimpleQueue()
        thread = threading.Thread(target=self._work, args=(calls,), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise NoThreadError(f"{error}: raise the limit of processes") from None
        return calls

    def _work(self, calls: _Worker) -> None:
        while (call := calls.get()) is not None:
            future, action = call
            result, failure = None, None
            try:
                result = action()
            except BaseException as error:  # noqa: BLE001 - it is the caller's business
                failure = error
            with self._lock:
                self._given_up.discard(future)
                if self._closed:
                    calls.put(None)
                else:
                    self._idle.append(calls)
                if failure is None:
                    future.set_result(result)
                else:
                    future.set_exception(failure)
            # What was returned is not kept until the next call.
            del call, future, action, result, failure
