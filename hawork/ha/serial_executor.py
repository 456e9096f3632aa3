"""One thread that runs what it is given, in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_JOIN_SECONDS = 5.0


class SerialExecutor:
    """Runs actions one after the other on a daemon thread of its own.

    Unlike ``ThreadPoolExecutor`` it does not keep the interpreter from exiting when an
    action hangs, and it knows whether it is being called from its own thread.
    """

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, action: Callable[[], T]) -> Future[T]:
        """Run ``action`` after all that was submitted before; cancelled once closed."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                future.cancel()
            else:
                self._queue.put(lambda: _complete(future, action))
        return future

    def run(self, action: Callable[[], T]) -> Future[T]:
        """Like ``submit``, but at once when called on the executor's own thread.

        An action that waits for another one's future would wait for itself otherwise.
        """
        if not self.on_own_thread():
            return self.submit(action)
        future: Future[T] = Future()
        _complete(future, action)
        return future

    def on_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Finish what was submitted, then end; waits for that a few seconds at most."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if not self.on_own_thread():
            # Bounded: an action that hangs must not keep a process from shutting down.
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while (action := self._queue.get()) is not None:
            action()


def _complete(future: Future[Any], action: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = action()
    except BaseException as error:  # noqa: BLE001 - it is the future's business
        future.set_exception(error)
    else:
        future.set_result(result)
