"""Random faults, one after the other, and the repairs that keep a cluster in business."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psutil

from hawork.core import options
from hawork.core.errors import LabError
from hawork.core.steps import STEPS, disarm
from hawork.lab import LabCluster

SHORT_PAUSE = (0.05, 0.6)
LONG_PAUSE = (1.3, 2.5)
"""Seconds: shorter than the lease and the heartbeat timeout of a soak, and longer."""

_VERBS = {
    "kill": 22, "kill task": 8, "restart": 12, "terminate": 15,
    "short pause": 16, "long pause": 16, "arm": 11, "block": 8,
}  # fmt: skip
_TICK = 0.03


class Chaos:
    """Breaks processes of a lab at random, and mends them a random time later.

    Of every fault the process, the kind and the moment are drawn from ``source``, so a seed
    gives the same wishes again; what they meet depends on the machine.
    """

    def __init__(self, lab: LabCluster, source: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self._lab = lab
        self._random = source
        self._due: dict[str, float] = {}
        self._terminating: dict[str, Future[Any]] = {}
        self._background = ThreadPoolExecutor(8, thread_name_prefix="terminate")

    def break_something(self) -> None:
        """One more fault."""
        verb = self._random.choices(list(_VERBS), list(_VERBS.values()))[0]
        if verb == "arm":
            self._arm()
            return
        if verb == "kill task":
            self._kill_task()
            return
        target = self._target()
        if target is None or (verb == "block" and not self._may_block(target)):
            return
        try:
            self._do(verb, target)
        except LabError:
            if self._lab.processes[target].state == "running":
                raise
            return  # it crashed or stopped at an armed step just before
        self.done[verb] += 1

    def live_on(self, seconds: float) -> None:
        """Let time pass, in which what is due is mended."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self.mend(now)
            time.sleep(min(_TICK, max(0.0, end - now)))

    def mend(self, now: float = float("inf")) -> None:
        """Start what has died and resume what is paused, if it is due; by default all."""
        for name, state in self._lab.processes.items():
            if state.state == "running":
                self._due.pop(name, None)
                continue
            due = self._due.setdefault(name, time.monotonic() + self._random.uniform(0.0, 1.5))
            if now < due:
                continue
            if state.state == "paused":
                self._lab.resume(name)
            elif name not in self._terminating or self._terminating[name].done():
                self._lab.restart(name)

    def end(self) -> None:
        """Mend everything; nothing is armed any more."""
        disarm(self._lab.directory / "control")
        self.live_on(0.5)  # for whoever has just taken up an order
        for name, future in self._terminating.items():
            while not future.done():
                self.mend()
                time.sleep(_TICK)
            if future.exception() is not None:
                raise AssertionError(f"terminating {name} failed") from future.exception()
        self._background.shutdown()
        self.mend()

    def _do(self, verb: str, target: str) -> None:
        if verb == "kill":
            self._lab.kill(target)
        elif verb == "restart":
            self._lab.restart(target)
        elif verb == "terminate":
            # In the background: it may meet an armed step on its way, and stand there.
            self._terminating[target] = self._background.submit(self._lab.terminate, target)
        elif verb == "block":
            self._lab.block(target)
        else:
            length = SHORT_PAUSE if verb == "short pause" else LONG_PAUSE
            self._lab.pause(target)
            self._due[target] = time.monotonic() + self._random.uniform(*length)

    def _may_block(self, target: str) -> bool:
        """The leader, where the watchdog ends it: nothing else would, nor one that only starts."""
        config = self._lab.config
        watched = config.get_option(options.SUPERVISOR)
        if not watched or config.get_option(options.SUPERVISOR_WATCHDOG) <= 0:
            return False
        try:
            return self._lab.leader(timeout=0.0) == target
        except LabError:
            return False

    def _arm(self) -> None:
        """Let whoever comes by crash, or stand still, in the middle of the protocol."""
        step = self._random.choice(list(STEPS))
        # A subtask's process that stops is nobody's to resume: the lab does not know it.
        may_pause = not step.startswith("task.")
        action = self._random.choice(("crash", "pause")) if may_pause else "crash"
        self._lab.arm(step, action)
        self.done[f"arm {action}"] += 1

    def _kill_task(self) -> None:
        """Kill the process of one subtask, as the kernel does when memory runs out."""
        tasks = task_processes()
        if tasks:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._random.choice(tasks).kill()
                self.done["kill task"] += 1

    def _target(self) -> str | None:
        """A process to break: often the leader, and rarely the last one of its kind."""
        states = self._lab.processes
        prefix = "jm" if self._random.random() < 0.65 else "tm"
        running = [
            name
            for name, state in states.items()
            if name.startswith(prefix) and state.state == "running" and not self._is_leaving(name)
        ]
        if not running or (len(running) == 1 and self._random.random() < 0.8):
            return None
        if prefix == "jm" and self._random.random() < 0.6:
            try:
                leader = self._lab.leader(timeout=0.0)
            except LabError:
                leader = ""
            if leader in running:
                return leader
        return self._random.choice(running)

    def _is_leaving(self, name: str) -> bool:
        return name in self._terminating and not self._terminating[name].done()


def task_processes() -> list[psutil.Process]:
    """The processes of all subtasks below this process, in a steady order."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "hawork.runtime.task_process" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue  # it ended while we looked
    return sorted(found, key=lambda process: process.pid)
