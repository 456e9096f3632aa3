"""Faults on purpose: what can happen to a process, as verbs.

Each fault is an event in ``events/lab.jsonl``, written just before it is done, so that the
timeline and every measurement know the moment.
"""

from __future__ import annotations

from collections.abc import Callable

from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind, EventLog
from hawork.lab.processes import LabProcesses


class Faults:
    """The verbs; ``resolve`` turns ``"leader"`` into the name of the process that leads.

    ``leave_step`` lets a process that was paused at an armed step leave it;
    ``abandon_steps`` forgets where a process stood that is dead, or is asked to end.
    """

    def __init__(
        self,
        processes: LabProcesses,
        events: EventLog,
        resolve: Callable[[str], str],
        leave_step: Callable[[str], None],
        abandon_steps: Callable[[str], None],
    ) -> None:
        self._processes = processes
        self._events = events
        self._resolve = resolve
        self._leave_step = leave_step
        self._abandon_steps = abandon_steps

    def kill(self, target: str) -> Event:
        """SIGKILL: the process is gone at once, nothing is released or saved."""
        name = self._alive(target)
        event = self._record("kill", name)
        self._processes.control.signal(name, "KILL")
        self._processes.control.wait_until(name, "exited")
        self._abandon_steps(name)
        return event

    def terminate(self, target: str) -> Event:
        """SIGTERM: the process releases its leadership, keeps all HA data, and ends."""
        name = self._alive(target)
        if self._processes.state(name).state == "paused":
            raise LabError(f"process {name} is paused and hears nothing: resume it, or kill it")
        event = self._record("terminate", name)
        self._processes.control.signal(name, "TERM")
        # It ends when its threads have, and one that stands at a step would not.
        self._abandon_steps(name)
        self._processes.control.wait_until(name, "exited")
        self._abandon_steps(name)
        return event

    def pause(self, target: str) -> Event:
        """SIGSTOP: the process stands still, like a long garbage collection, and knows nothing."""
        name = self._alive(target)
        event = self._record("pause", name)
        self._processes.control.signal(name, "STOP")
        return event

    def resume(self, target: str) -> Event:
        """SIGCONT: a paused process goes on where it was, also if a step had paused it."""
        name = self._alive(target)
        self._leave_step(name)
        event = self._record("resume", name)
        self._processes.control.signal(name, "CONT")
        self._processes.control.wait_until(name, "running", "exited")
        return event

    def wake(self, target: str) -> None:
        """Resume a process that may have been killed since it was stopped."""
        if self._processes.state(target).alive:
            self.resume(target)

    def restart(self, target: str) -> Event:
        """Kill the process if it is alive, and start it again under its name."""
        name = self._known(target)
        event = self._record("restart", name)
        if self._processes.state(name).alive:
            self._processes.control.signal(name, "KILL")
            self._processes.control.wait_until(name, "exited")
            self._abandon_steps(name)
        self._processes.start(name)
        return event

    def _known(self, target: str) -> str:
        name = self._resolve(target)
        self._processes.state(name)
        return name

    def _alive(self, target: str) -> str:
        name = self._known(target)
        if not self._processes.state(name).alive:
            raise LabError(f"process {name} is not running: restart it first")
        return name

    def _record(self, verb: str, target: str) -> Event:
        self._events.emit(EventKind.FAULT, verb=verb, target=target)
        return self._events.recent()[-1]
