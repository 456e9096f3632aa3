"""What the simulated processes share: scheduler, network, faults, and what happened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from greenlet import GreenletExit

from hawork.core.errors import StoreUnavailableError
from hawork.core.events import Event, EventKind
from hawork.simulation.event_loop import SimulatedEventLoop
from hawork.simulation.faults import Faults
from hawork.simulation.scheduler import BEGINNING, Scheduler, SimulatedProcess

T = TypeVar("T")

PAUSE = 0.6
"""Seconds; less than a lease, and longer than a try to renew it."""
LONG_PAUSE = 6.0
"""Seconds; longer than each backend's lease or session."""
_SOON = 1.0
"""Seconds after a grant within which a process that stood still goes on, in most long pauses: most
often soon, when the new leader has just begun to read and to put in order."""
DELAY = 0.8
HANG = 16.0
"""Seconds; longer than ``hawork.storage.timeout`` and the pause between two looks at it."""
CUT = 3.5
UNMOUNTED = 9.0
"""Seconds for which storageDir is not mounted, at most."""

_Recorded = tuple[float, str, EventKind, object, str | None, str | None, dict[str, Any]]


class World:
    """One simulated cluster's surroundings."""

    def __init__(self, random: Random, faults: Faults) -> None:
        self.scheduler = Scheduler(random, Random(random.random()))
        self.faults = faults
        self.random = random
        self.recorded: list[_Recorded] = []
        self.steps: list[tuple[str, str, str | None]] = []
        """Process, step and job of each step of the registry, in order."""
        self.last_step: dict[str, str] = {}
        """By process: the step to which it has come last."""
        self.cleaned: set[str] = set()
        """Jobs of which nothing but the result is left."""
        self.granted: list[str] = []
        """Session ids in the order in which they were granted."""
        self.spared: SimulatedProcess | None = None
        """The process that nothing strikes any more."""
        self.decided: set[str] = set()
        """Jobs of which it is decided how they ended."""
        self.violations: list[str] = []
        self.leading: Callable[[], str | None] = lambda: None
        """The session id under which the store would accept a write now."""
        self.stop: dict[str, Callable[[], None]] = {}
        """By process: what SIGTERM does."""
        self.hosts: dict[SimulatedProcess, Any] = {}
        """The JobManager of a process, for what is made deep in production code."""
        self.crashed: Callable[[SimulatedProcess], None] = lambda process: None
        self.loops: list[SimulatedEventLoop] = []
        self.lose_tasks: Callable[[], None] = lambda: None
        """Ends the TaskManager, which starts again."""
        self.resumed: Callable[[SimulatedProcess], None] = lambda process: None
        """Told of a process that stood still and goes on."""
        self.cut_off: Callable[[str], None] = lambda name: None
        """Told the name of a process that nothing reaches from here on."""
        self.take_pointer: Callable[[], None] = lambda: None
        """Takes a pointer out of the HA store, as another hand does."""
        self.robbed: set[str] = set()
        """Jobs of which a pointer was taken: what becomes of them is not asked."""
        self._directories: set[Path] = set()
        self._unmounted_until = 0.0
        self._is_made_anew = False
        """Whether root has made the directories below the mount point, too, which are empty."""
        self._cut: dict[str, tuple[float, float]] = {}
        self._until_deposed: list[SimulatedProcess] = []
        """Processes that stand still until soon after another one was granted."""

    def close(self) -> None:
        """End everything, and let go of what was going on."""
        self.scheduler.close()
        for loop in self.loops:
            loop.abandon()

    # --- what happened ----------------------------------------------------------------------

    def sink(self, process: SimulatedProcess) -> Sink:
        return Sink(self, process)

    def violated(self, sentence: str) -> None:
        """Note that something happened that never may."""
        if sentence not in self.violations:
            self.violations.append(sentence)
            self.record("simulation", EventKind.ERROR, message=f"violated: {sentence}")

    def record(self, process: str, kind: EventKind, **facts: Any) -> None:
        self.recorded.append(
            (self.scheduler.now, process, kind, facts.pop("session_id", None),
             facts.pop("job_id", None), facts.pop("step", None), facts)
        )  # fmt: skip

    def events(self) -> list[Event]:
        """What the processes told, in the lab's own format."""
        return [
            Event(
                kind, process, BEGINNING + now, now,
                None if session_id is None else str(session_id), job_id, step, facts,
            )
            for now, process, kind, session_id, job_id, step, facts in self.recorded
        ]  # fmt: skip

    def audit(self, process: str, writer: str | None, leader: str | None) -> None:
        """A store carries a write of a process out: whose leadership is it, and who leads?"""
        if writer is not None and leader != writer:
            self.violated(
                f"a write of {process} under {writer} was accepted while {leader or 'no one'} led"
            )

    def audit_granted(self, process: str, writer: str) -> None:
        """The same where many objects have a leadership each: who was granted last?"""
        granted = self.granted
        if writer in granted and granted[-1] != writer:
            self.violated(
                f"a write of {process} under {writer} was accepted after {granted[-1]} was granted"
            )

    def audit_file(self, path: str) -> None:
        """A thread is about to touch a file of a result, which is not fenced.

        It may be paused between asking the fence and this, but no step is in between.
        """
        current = self.scheduler.current
        if current is None or current.asked or current.led is None:
            return
        leader = self.leading()
        if leader != current.led:
            self.violated(
                f"{current.process.name} touched file {path} of a result under {current.led}, "
                f"without asking the fence before, while {leader or 'no one'} led"
            )

    def was_granted(self, session_id: str) -> None:
        """A JobManager leads from here on: one that stood still may wake up at any moment."""
        self.granted.append(session_id)
        sleepers, self._until_deposed = self._until_deposed, []
        for process in sleepers:
            self.scheduler.thaw_in(process, self.random.random() ** 2 * _SOON)

    # --- storageDir -------------------------------------------------------------------------

    @property
    def is_unmounted(self) -> bool:
        """Whether the file system of storageDir is not mounted now."""
        return self._unmounted_until > self.scheduler.now

    def is_there(self, directory: Path) -> bool:
        if self.is_unmounted:
            return self._is_made_anew
        return directory in self._directories

    def make_directory(self, directory: Path) -> None:
        """``StoreUnavailableError`` while the place belongs to root, who mounts there."""
        if self.is_unmounted:
            raise StoreUnavailableError(f"{directory} could not be written: Permission denied")
        self._directories.add(directory)

    # --- points where something may happen --------------------------------------------------

    def request(
        self,
        label: str,
        land: Callable[[], T],
        *,
        lost: Callable[[str], Exception] | None = None,
        refused: Callable[[str], Exception] = StoreUnavailableError,
    ) -> T:
        """Send a request to a server or a disk, which ``land`` carries out, and get its answer.

        Outside of a simulation, and for processes that no fault strikes, only that is done.
        """
        scheduler = self.scheduler
        current = scheduler.current
        if current is None:
            return land()
        name = current.process.name
        fault = self.fault(label)
        scheduler.park(self.latency())
        if self._cut and self.is_cut(name):
            scheduler.park(0.2)
            raise refused(f"{label}: {name} is cut off")
        if fault is None:
            return land()
        if fault == "refused":
            raise refused(f"{label}: the request did not arrive")
        hangs = fault == "hang" and label.startswith("storage.")
        scheduler.park(HANG if hangs else self.delay_of(fault))
        result = land()
        if fault == "lost" and lost is not None:
            raise lost(f"{label}: the answer was lost")
        if fault in _AFTER:
            self._strike(current.process, fault)
        return result

    def fault(self, label: str) -> str | None:
        """What strikes the thread's process as it sends a request; what comes before has struck."""
        current = self.scheduler.current
        if current is None:
            return None
        process = current.process
        if process.dead:
            raise GreenletExit
        if process.name[:3] != "jm-":
            return None
        name = process.name
        step = _BESIDES.get(current.name) or self.last_step.get(name)
        fault = self.faults.at(name, label, self.scheduler.now, step)
        if fault in _BEFORE:
            self._strike(process, fault)
            return None
        return fault

    def strike_after(self, fault: str) -> None:
        """Strike the thread's process once the request that it has just sent has landed."""
        current = self.scheduler.current
        if fault in _AFTER and current is not None:
            process = current.process
            self.scheduler.at(0.003, lambda: self._strike(process, fault))

    def strike_now(self, fault: str) -> None:
        """Strike the thread's process: its request has landed."""
        current = self.scheduler.current
        if fault in _AFTER and current is not None:
            self._strike(current.process, fault)

    def delay_of(self, fault: str | None) -> float:
        """Seconds that a request is under way besides."""
        return DELAY if fault in ("delay", "hang") else 0.0

    def step(self, process: SimulatedProcess, name: str, job_id: str | None) -> None:
        """A step of the registry was reached."""
        self.steps.append((process.name, name, job_id))
        before, self.last_step[process.name] = self.last_step.get(process.name), name
        if job_id is not None and name == "result.decided":
            self.decided.add(job_id)
        elif job_id is not None and name == "result.clean":
            self.cleaned.add(job_id)
        scheduler = self.scheduler
        if scheduler.current is None:
            return
        scheduler.current.asked = False
        fault = self.faults.at(process.name, name, scheduler.now, before)
        scheduler.park(self.latency())
        if fault == "delay":
            scheduler.park(DELAY)
        elif fault in _BEFORE or fault in _AFTER:
            self._strike(process, fault)

    def latency(self) -> float:
        """Seconds that a message is under way: short, and now and then not."""
        chance = self.random.random()
        return 0.0004 + (chance * 0.002 if chance < 0.93 else (chance - 0.93) * 1.2)

    def is_cut(self, name: str) -> bool:
        return name in self._cut and self._cut[name][1] > self.scheduler.now

    def cut_since(self, name: str) -> float | None:
        return self._cut[name][0] if self.is_cut(name) else None

    def _strike(self, process: SimulatedProcess, fault: str) -> None:
        scheduler = self.scheduler
        if process.dead or process is self.spared:
            return
        target = "tm-1" if fault == "no-tasks" else process.name
        self.record("simulation", EventKind.FAULT, verb=_VERBS[fault], target=target)
        if fault in ("crash", "crash-after"):
            self.kill(process)
        elif fault == "cut":
            now = scheduler.now
            seconds = CUT * (0.2 + self.random.random())
            self._cut[process.name] = now, now + seconds
            self.cut_off(process.name)
            scheduler.at(seconds, partial(self._undone, "heal", process))
        elif fault == "stop":
            stop = self.stop.get(process.name)
            if stop is not None:
                stop()
        elif fault == "no-tasks":
            self.lose_tasks()
        elif fault == "unmount":
            seconds = UNMOUNTED * self.random.random()
            self._unmounted_until = scheduler.now + seconds
            self._is_made_anew = self.random.random() < 0.5
            scheduler.at(seconds, partial(self._undone, "heal", process))
        elif fault == "taken":
            self.take_pointer()
        else:
            is_long = fault.startswith("long")
            seconds = LONG_PAUSE if is_long else PAUSE
            seconds *= 0.7 + 0.6 * self.random.random()
            scheduler.freeze(process, seconds, partial(self._undone, "resume", process))
            if is_long and self.random.random() < 0.6:
                self._until_deposed.append(process)
            if scheduler.current is not None and scheduler.current.process is process:
                scheduler.hand_over()

    def _undone(self, verb: str, process: SimulatedProcess) -> None:
        if not process.dead:
            self.record("simulation", EventKind.FAULT, verb=verb, target=process.name)
            if verb == "resume":
                self.resumed(process)

    def kill(self, process: SimulatedProcess) -> None:
        """SIGKILL; does not return to a thread of the process."""
        self.crashed(process)
        self.scheduler.kill(process)


_BESIDES = {
    name: f"thread.{name.replace('-', '_')}"
    for name in (
        "embedded-election", "embedded-lease", "embedded-store-watcher", "kubernetes-election",
        "kubernetes-watch", "leader-correction", "leader-retrieval", "zookeeper-latch",
        "zookeeper-watch",
    )
}  # fmt: skip
"""Threads that work whatever step the process has come to: what they do is not told apart by it."""
_BEFORE = frozenset({"crash", "pause", "long-pause", "cut", "stop", "no-tasks", "unmount", "taken"})
_AFTER = frozenset({"crash-after", "pause-after", "long-pause-after"})
_VERBS = {
    "crash": "kill", "crash-after": "kill", "pause": "pause", "long-pause": "pause",
    "pause-after": "pause", "long-pause-after": "pause", "delay": "delay", "cut": "partition",
    "stop": "terminate", "no-tasks": "kill", "unmount": "unmount", "taken": "take",
}  # fmt: skip


class Sink:
    """The event log and the step gate of a simulated process."""

    def __init__(self, world: World, process: SimulatedProcess) -> None:
        self._world = world
        self._process = process
        self.process = process.name

    def emit(
        self,
        kind: EventKind,
        *,
        session_id: object = None,
        job_id: str | None = None,
        step: str | None = None,
        **facts: Any,
    ) -> None:
        if not self._process.dead:
            world = self._world
            world.recorded.append(
                (world.scheduler.now, self.process, kind, session_id, job_id, step, facts)
            )

    def reached(
        self, name: str, *, session_id: object = None, job_id: str | None = None, **facts: Any
    ) -> None:
        if self._process.dead:
            raise GreenletExit
        self.emit(EventKind.STEP_REACHED, session_id=session_id, job_id=job_id, step=name, **facts)
        self._world.step(self._process, name, job_id)
