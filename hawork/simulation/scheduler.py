"""The simulated scheduler and clock: threads of which one runs at a time, handed over by a seed.

A simulated thread runs on a greenlet, until it waits (for a lock, for time, for the network) and
hands over to the scheduler, which picks the next of those that may run, at random from the seed.
When none may run, the clock goes to the next moment for which a thread waits. So nothing takes real
time, and the same seed gives the same run. A greenlet whose thread has ended runs another one:
memory for its stack is had once.
"""

from __future__ import annotations

import itertools
import threading
from asyncio import AbstractEventLoop, events
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

BEGINNING = 1_700_000_000.0
"""Wall-clock time at which each simulation begins."""

_LOOKS = 0.01
"""Seconds after which the scheduler looks again whether all is over."""


class Stuck(Exception):
    """The simulation took more turns than any schedule should: something runs in a circle."""


class SimulatedProcess:
    """A process: its threads stop, go on and die together."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.scheduler = scheduler
        self.name = name
        self.dead = False
        self.frozen = False
        self.frozen_since = 0.0
        self.frozen_until = 0.0
        self.thawed: Callable[[], None] = lambda: None
        self.threads: list[SimulatedThread] = []
        self.held: list[SimulatedThread] = []

    def __repr__(self) -> str:
        return f"SimulatedProcess({self.name!r})"


class SimulatedThread:
    """One thread of a process. ``loop`` is the event loop that it runs, if it runs one."""

    __slots__ = (
        "action", "asked", "daemon", "done", "greenlet", "handle", "joiners", "led", "loop", "name",
        "parked", "process", "token", "woken", "writing",
    )  # fmt: skip

    def __init__(
        self, process: SimulatedProcess, name: str, action: Callable[[], Any] = lambda: None
    ) -> None:
        self.process = process
        self.name = name
        self.daemon = True
        self.done = False
        self.parked = False
        self.woken = False
        self.token = 0
        self.loop: AbstractEventLoop | None = None
        self.joiners: list[SimulatedThread] = []
        self.handle: Any = None
        self.writing: str | None = None
        """The leadership under which it has a store write just now."""
        self.led: str | None = None
        """The leadership under which it has written last."""
        self.asked = False
        """Whether the store has accepted that since the thread's last step."""
        self.action = action
        self.greenlet: greenlet | None = None
        """On which it runs: from its first turn until it is done."""

    def __repr__(self) -> str:
        return f"{self.process.name}/{self.name}"


class _Idle(threading.local):
    """Greenlets without a thread, of this real thread: no other one may switch to them."""

    def __init__(self) -> None:
        self.greenlets: list[greenlet] = []


_IDLE = _Idle()


def _work(thread: SimulatedThread) -> None:
    """What a greenlet does: run a thread to its end, and wait for another one."""
    me = getcurrent()
    hub = me.parent
    assert hub is not None
    while True:
        _run_to_its_end(thread)
        _IDLE.greenlets.append(me)
        del thread  # nothing of it is kept until the next one
        thread = hub.switch()


def _run_to_its_end(thread: SimulatedThread) -> None:
    scheduler = thread.process.scheduler
    try:
        if not thread.process.dead:
            thread.action()
    except GreenletExit:
        pass
    except BaseException as error:  # noqa: BLE001 - the checker is told of it
        scheduler.crashes.append((thread, error))
    thread.done = True
    thread.greenlet = None
    joiners, thread.joiners = thread.joiners, []
    for joiner in joiners:
        scheduler.wake(joiner)


class Scheduler:
    """Runs simulated threads in an order that ``random`` decides, on a clock of its own."""

    def __init__(self, random: Random, chance: Random, most_turns: int = 400_000) -> None:
        self.now = 1000.0
        self.random = random
        self.chance = chance
        """Where ids and jitter come from, which must not shift with the order of threads."""
        self.turns = 0
        self.thawed_at = 0.0
        """When a process went on last that had stood still."""
        self.current: SimulatedThread | None = None
        self.crashes: list[tuple[SimulatedThread, BaseException]] = []
        """Threads that ended by an exception that was raised to their very top."""
        self._most_turns = most_turns
        self._ready: list[SimulatedThread] = []
        self._timers: list[tuple[float, int, Any, int]] = []
        self._count = itertools.count()
        self._hub = getcurrent()
        self._loop: AbstractEventLoop | None = None
        self._processes: list[SimulatedProcess] = []

    # --- processes and threads ------------------------------------------------------------

    def process(self, name: str) -> SimulatedProcess:
        made = SimulatedProcess(self, name)
        self._processes.append(made)
        return made

    def spawn(
        self, process: SimulatedProcess, action: Callable[[], Any], name: str
    ) -> SimulatedThread:
        """A thread that begins with ``action`` when its turn comes."""
        thread = SimulatedThread(process, name, action)
        process.threads.append(thread)
        if len(process.threads) > 64:
            process.threads = [each for each in process.threads if not each.done]
        self._ready.append(thread)
        return thread

    def adopt(self, process: SimulatedProcess, name: str) -> SimulatedThread:
        """Make what calls this a thread of the process: the scheduler runs while it waits."""
        thread = self.current = SimulatedThread(process, name)
        thread.greenlet = self._hub
        return thread

    def freeze(
        self, process: SimulatedProcess, seconds: float, thawed: Callable[[], None] = lambda: None
    ) -> None:
        """Stop the process, as SIGSTOP does, for ``seconds``; ``thawed`` is called then."""
        process.frozen = True
        process.frozen_since = self.now
        process.thawed = thawed
        self.thaw_in(process, seconds)

    def thaw_in(self, process: SimulatedProcess, seconds: float) -> None:
        """Let a process that stands still go on after ``seconds``, and not when it should have."""
        until = process.frozen_until = self.now + seconds
        self.at(seconds, lambda: self._thaw(process, until))

    def _thaw(self, process: SimulatedProcess, until: float) -> None:
        if not process.frozen or process.frozen_until != until:
            return
        process.frozen = False
        self.thawed_at = self.now
        held, process.held = process.held, []
        self._ready += held
        if not process.dead:
            process.thawed()

    def kill(self, process: SimulatedProcess) -> None:
        """End the process as SIGKILL does: none of its threads does anything any more."""
        process.dead = True
        if self.current is None:
            self.bury()
        elif self.current.process is process:
            raise GreenletExit

    def bury(self) -> None:
        """Free the threads of dead processes, from the scheduler's own turn."""
        for process in self._processes:
            if process.dead and process.threads:
                threads, process.threads = process.threads, []
                process.held = []
                for thread in threads:
                    self._unwind(thread)

    def _unwind(self, thread: SimulatedThread) -> None:
        """Let a thread's stack go; every wait in it raises again at once."""
        if thread.greenlet is None or thread.greenlet is self._hub:
            return
        self.current = thread
        try:
            self.use_loop(thread.loop)
            for _ in range(100):
                thread.greenlet.throw(GreenletExit)
                if thread.done:
                    break
        finally:
            self.current = None

    def use_loop(self, loop: AbstractEventLoop | None) -> None:
        """Let asyncio take this for the event loop that runs on the thread."""
        if loop is not self._loop:
            self._loop = loop
            events._set_running_loop(loop)

    # --- waiting, called by threads ---------------------------------------------------------

    def park(self, seconds: float | None = None) -> bool:
        """Wait to be woken, for at most ``seconds``; whether it was."""
        thread = self.current
        if thread is None:
            raise RuntimeError("only a simulated thread can wait")
        if thread.process.dead:
            raise GreenletExit
        thread.token += 1
        thread.parked = True
        thread.woken = False
        if seconds is not None:
            moment = self.now + seconds if seconds > 0.0 else self.now
            heappush(self._timers, (moment, next(self._count), thread, thread.token))
        if thread.greenlet is self._hub:
            self._run_meanwhile(thread)
        else:
            self._hub.switch()
        if thread.process.dead:
            raise GreenletExit
        return thread.woken

    def wake(self, thread: SimulatedThread) -> None:
        """Let a waiting thread go on, when its turn comes."""
        if thread.parked:
            thread.parked = False
            thread.woken = True
            self._ready.append(thread)

    def hand_over(self) -> None:
        """Let any other thread that may run go first."""
        thread = self.current
        assert thread is not None
        thread.parked = False
        self._ready.append(thread)
        if thread.greenlet is self._hub:
            self._run_meanwhile(thread)
        else:
            self._hub.switch()
        if thread.process.dead:
            raise GreenletExit

    def _run_meanwhile(self, thread: SimulatedThread) -> None:
        """What an adopted thread does while it waits."""
        if not self.run(float("inf"), lambda: False):
            self.current = thread
            raise Stuck(f"{thread} waits for what never comes")
        self.current = thread

    def at(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        """Call ``action`` in ``seconds``, on no thread, unless the returned function was called."""
        entry: list[Callable[[], None] | None] = [action]
        moment = self.now + max(0.0, seconds)
        heappush(self._timers, (moment, next(self._count), entry, 0))
        return entry.clear

    # --- the scheduler's own turn -----------------------------------------------------------

    def run(self, until: float, finished: Callable[[], bool]) -> bool:
        """Run until ``finished``, or the clock says ``until``; whether it finished.

        It returns as well when it is the turn of an adopted thread. ``finished`` is asked when no
        thread may run, and not more often than every ``_LOOKS`` seconds.
        """
        self.current = None
        try:
            return self._run(until, finished)
        finally:
            self.use_loop(None)

    def _run(self, until: float, finished: Callable[[], bool]) -> bool:
        ready, timers, random = self._ready, self._timers, self.random.random
        look = self.now
        while True:
            if not ready:
                if self.now >= look:
                    if finished():
                        return True
                    look = self.now + _LOOKS
                if not timers or timers[0][0] > until:
                    return finished()
                self._pass_time()
                continue
            index = int(random() * len(ready))
            thread = ready[index]
            last = ready.pop()
            if thread is not last:
                ready[index] = last
            process = thread.process
            if process.dead:
                continue
            if process.frozen:
                process.held.append(thread)
                continue
            self.turns += 1
            if self.turns > self._most_turns:
                raise Stuck(f"{self.turns} turns at {self.now - 1000:.3f} s, last {thread}")
            own = thread.greenlet
            if own is self._hub:
                return True
            self.current = thread
            if thread.loop is not self._loop:
                self.use_loop(thread.loop)
            if own is None:
                thread.greenlet = own = self._greenlet()
            own.switch(thread)
            self.current = None
            if process.dead:
                self.bury()

    def _greenlet(self) -> greenlet:
        idle = _IDLE.greenlets
        if idle and idle[-1].parent is self._hub:
            return idle.pop()
        return greenlet(_work, self._hub)

    def _pass_time(self) -> None:
        """Go to the next moment for which something waits, and let all of that go on."""
        timers = self._timers
        moment = timers[0][0]
        if moment > self.now:
            self.now = moment
        while timers and timers[0][0] <= moment:
            _, _, waiting, token = heappop(timers)
            if token:
                if waiting.parked and waiting.token == token:
                    waiting.parked = False
                    self._ready.append(waiting)
            elif waiting:
                waiting[0]()

    def close(self) -> None:
        """End everything."""
        for process in self._processes:
            process.dead = True
        self._ready.clear()
        self._timers.clear()
        self.bury()
        self.use_loop(None)
