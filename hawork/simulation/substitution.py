"""The seam between hawork and its world: Python's own threads, clocks and chance.

While a simulation runs, ``threading``, ``queue``, ``time`` and the sources of randomness give its
thread simulated ones, and every other thread of the program the real ones. So the code that is
simulated is the code that runs in production, without a line of its own for this, and so are the
parts of the standard library that it stands on: ``asyncio``, ``concurrent.futures``, ``uuid``.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hawork.simulation import primitives
from hawork.simulation.scheduler import BEGINNING, Scheduler

_ident = threading.get_ident
_active: dict[int, Scheduler] = {}
"""The scheduler that runs on a real thread."""
_REAL: dict[tuple[Any, str], Any] = {}
_PRIMITIVES: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (threading, "Lock", primitives.Lock),
    (threading, "RLock", primitives.RLock),
    (threading, "Condition", primitives.condition),
    (threading, "Event", primitives.Event),
    (threading, "Thread", primitives.Thread),
    (threading, "Timer", primitives.Timer),
    (queue, "SimpleQueue", primitives.SimpleQueue),
)
_CLOCKS = ("monotonic", "perf_counter", "clock_gettime")
_FUNCTIONS: dict[tuple[Any, str], Callable[..., Any]] = {
    (threading, "current_thread"): primitives.current_thread,
    (time, "time"): lambda scheduler: BEGINNING + scheduler.now,
    (time, "sleep"): lambda scheduler, seconds: scheduler.park(seconds) and None,
    (os, "urandom"): lambda scheduler, size: scheduler.chance.randbytes(size),
    (random, "_urandom"): lambda scheduler, size: scheduler.chance.randbytes(size),
    (random, "random"): lambda scheduler: scheduler.chance.random(),
    (random, "uniform"): lambda scheduler, a, b: scheduler.chance.uniform(a, b),
}


@contextlib.contextmanager
def simulated(
    scheduler: Scheduler, more: Mapping[tuple[Any, str], Callable[..., Any]]
) -> Iterator[None]:
    """Let what this thread does from here on take place in a simulation.

    ``more`` names what else is substituted, by module and name: called with the scheduler first.
    """
    ident = _ident()
    if _active:
        raise RuntimeError("a simulation runs in this program already: one runs at a time")
    for module, name, substitute in _PRIMITIVES:
        _substitute(module, name, substitute)
    for (module, name), substitute in (*_FUNCTIONS.items(), *more.items()):
        _substitute(module, name, substitute)
    for name in _CLOCKS:
        _substitute_clock(name)
    _active[ident] = scheduler
    try:
        yield
    finally:
        _active.clear()
        for (module, name), real in _REAL.items():
            setattr(module, name, real)
        _REAL.clear()


def _substitute(module: Any, name: str, substitute: Callable[..., Any]) -> None:
    """The name now asks who is calling: other threads, of other tests too, are left alone."""
    real = _REAL[module, name] = getattr(module, name)
    active = _active

    def call(*args: Any, **kwargs: Any) -> Any:
        scheduler = active.get(_ident())
        if scheduler is None:
            return real(*args, **kwargs)
        return substitute(scheduler, *args, **kwargs)

    setattr(module, name, call)


def _substitute_clock(name: str) -> None:
    """The same for what is called most, with less around it."""
    real = _REAL[time, name] = getattr(time, name)
    active = _active

    def call(*args: Any) -> Any:
        scheduler = active.get(_ident())
        return real(*args) if scheduler is None else scheduler.now

    setattr(time, name, call)
