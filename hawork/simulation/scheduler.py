"""The simulated scheduler and clock: threads of which one runs at a time, handed over by a seed.

A simulated thread runs on a greenlet, until it waits (for a lock, for time, for the network) and
hands over to the next of those that may run, which is picked at random from the seed. When none may
run, the clock goes to the next moment for which a thread waits. So nothing takes real time, and the
same seed gives the same run. A thread hands over by itself, and not through the scheduler's own
greenlet: often it is its own turn again, and nothing is to be switched at all. A greenlet whose
thread has ended runs another one: memory for its stack is had once.
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
        self._burials = False
        """Whether a process has died whose threads are not freed yet."""
        # Of the run that goes on:
        self._until = 0.0
        self._finished: Callable[[], bool] = lambda: True
        self._look = 0.0
        self._result: bool | None = None
        self._failure: BaseException | None = None
        self._chosen: SimulatedThread | None = None
        """The adopted thread, when it is its turn."""

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
        self._burials = True
        if self.current is not None and self.current.process is process:
            raise GreenletExit

    def bury(self) -> None:
        """Free the threads of dead processes, from the scheduler's own greenlet."""
        self._burials = False
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
        thread.woken = False
        if seconds is not None:
            moment = self.now + seconds if seconds > 0.0 else self.now
            timers = self._timers
            if (
                not self._ready
                and (not timers or timers[0][0] > moment)
                and self.now < self._look
                and moment <= self._until
                and thread.greenlet is not self._hub
                and not self._burials
                and self.turns < self._most_turns
            ):
                # Nothing else happens until then, and nothing could be drawn: it goes on by itself.
                self.now = moment
                self.turns += 1
                return False
            heappush(timers, (moment, next(self._count), thread, thread.token + 1))
        thread.token += 1
        thread.parked = True
        self._hand_over(thread)
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
        self._hand_over(thread)

    def _hand_over(self, thread: SimulatedThread) -> None:
        """Let the next thread run; returns when it is the turn of this one, and it still lives."""
        hub = self._hub
        if thread.greenlet is hub:
            self._run_meanwhile(thread)
        else:
            self.current = None
            chosen = self._next()
            if chosen is thread:
                self.current = thread  # and asyncio takes its event loop for the running one still
                return
            if chosen is None or chosen.greenlet is hub:
                self._chosen = chosen
                hub.switch()
            else:
                self._begin_turn(chosen).switch(chosen)
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
        self._until, self._finished, self._look = until, finished, self.now
        self._result = None
        try:
            return self._run()
        finally:
            self.use_loop(None)

    def _run(self) -> bool:
        hub = self._hub
        while True:
            if self._burials:
                self.bury()
            chosen = self._next()
            if chosen is not None and chosen.greenlet is not hub:
                self._chosen = None
                self._begin_turn(chosen).switch(chosen)  # until the next turn of this greenlet
                self.current = None
                chosen = self._chosen
            if chosen is not None:
                return True
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if self._result is not None:
                return self._result

    def _begin_turn(self, thread: SimulatedThread) -> greenlet:
        """On which greenlet it goes on."""
        self.current = thread
        if thread.loop is not self._loop:
            self.use_loop(thread.loop)
        own = thread.greenlet
        if own is None:
            thread.greenlet = own = self._greenlet()
        return own

    def _greenlet(self) -> greenlet:
        idle = _IDLE.greenlets
        if idle and idle[-1].parent is self._hub:
            return idle.pop()
        return greenlet(_work, self._hub)

    def _next(self) -> SimulatedThread | None:
        """Whose turn it is; ``None`` when it is that of the scheduler's own greenlet.

        That is so when all is over, when something failed, and when a process has died.
        """
        ready = self._ready
        while not self._burials:
            if not ready:
                if not self._pass_time():
                    return None
                continue
            thread = ready.pop()
            if ready:
                index = int(self.random.random() * (len(ready) + 1))
                if index < len(ready):
                    thread, ready[index] = ready[index], thread
            process = thread.process
            if process.dead:
                continue
            if process.frozen:
                process.held.append(thread)
                continue
            self.turns += 1
            if self.turns > self._most_turns:
                self._failure = Stuck(
                    f"{self.turns} turns at {self.now - 1000:.3f} s, last {thread}"
                )
                return None
            return thread
        return None

    def _pass_time(self) -> bool:
        """Go to the next moment for which something waits, and let all of that go on.

        False when all is over instead, or when what was called for that moment has failed.
        """
        timers = self._timers
        try:
            if self.now >= self._look:
                if self._finished():
                    self._result = True
                    return False
                self._look = self.now + _LOOKS
            if not timers or timers[0][0] > self._until:
                self._result = self._finished()
                return False
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
        except BaseException as error:  # noqa: BLE001 - raised again by whatever runs all this
            self._failure = error
            return False
        return True

    def close(self) -> None:
        """End everything."""
        for process in self._processes:
            process.dead = True
        self._ready.clear()
        self._timers.clear()
        self.bury()
        self.use_loop(None)
