"""Steps of the protocol that a reader holds, pauses or crashes on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hawork.client.waiting import Waiting
from hawork.core import steps
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind
from hawork.core.steps import HeldStep

_OF_A_JOB = ("submit.", "checkpoint.", "result.", "cleanup.", "task.", "takeover.job_restored")
"""The steps that are reached for a job and no other reason."""
_PATIENCE = 3.0
"""Seconds for which no job must be left, until it is told that none will reach a step."""
_LOOK_EVERY = 0.5
"""Seconds between looks at all events for jobs that are left."""


@dataclass(frozen=True, slots=True)
class ArmedStep:
    """An order for the process that reaches a step first."""

    step: str
    action: str
    process: str | None
    since: float
    events: Callable[[], list[Event]] = field(repr=False)
    check: Callable[[], object] = field(repr=False)
    jobs: Callable[[], Iterable[str]] = field(repr=False)
    order: Path = field(repr=False)

    def reached(self, timeout: float = 30.0) -> Waiting[Event]:
        """Wait until a process stands there, or has crashed there; gives its event.

        ``LabError`` after three seconds in which every job of the lab has ended and is cleaned up,
        for a step that is reached for a job only; it is not armed any more then.
        """
        patience = _Patience(self)

        def look() -> Event | None:
            events = self.events()
            for event in reversed(events):
                if event.monotonic < self.since:
                    break
                if event.kind is EventKind.STEP_ARMED and event.step == self.step:
                    return event
            self.check()
            patience.look(events)
            return None

        return Waiting(f"a process to reach {self.step}", look, timeout=timeout)


class _Patience:
    """Ends the wait for a step that no job is left to reach."""

    def __init__(self, armed: ArmedStep) -> None:
        self._armed = armed
        self._looked = float("-inf")
        self._since: float | None = None

    def look(self, events: list[Event]) -> None:
        """``LabError`` when no job has been left for a while."""
        now = SYSTEM_CLOCK.monotonic()
        if now - self._looked < _LOOK_EVERY or not self._armed.step.startswith(_OF_A_JOB):
            return
        self._looked = now
        if not all_cleaned_up(events, self._armed.jobs()):
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= _PATIENCE and self._armed.order.exists():
            self._armed.order.unlink(missing_ok=True)
            raise LabError(
                f"no process will reach {self._armed.step}: each job of this lab has ended and is "
                "cleaned up; run the cell that submits one, and then this one again"
            )


def all_cleaned_up(events: Iterable[Event], submitted: Iterable[str]) -> bool:
    """Whether there were jobs, and each has ended and left nothing that is still to be removed."""
    known, clean = set(submitted), set[str]()
    for event in events:
        if event.job_id is not None:
            known.add(event.job_id)
            if event.kind is EventKind.JOB_RESULT and event.facts.get("state") == "clean":
                clean.add(event.job_id)
    return bool(known) and known <= clean


class ArmedSteps:
    """What is armed and held in one run's control directory.

    ``check`` raises when no process can reach a step any more, ``jobs`` gives the ids of those that
    were submitted.
    """

    def __init__(
        self, control: Path, events: Callable[[], list[Event]],
        check: Callable[[], object] = lambda: None, jobs: Callable[[], Iterable[str]] = tuple,
    ) -> None:  # fmt: skip
        self._control = control
        self._events = events
        self._check = check
        self._jobs = jobs

    def arm(self, step: str, action: str = "hold", process: str | None = None) -> ArmedStep:
        since = SYSTEM_CLOCK.monotonic()
        order = steps.arm(self._control, step, action, process)
        return ArmedStep(step, action, process, since, self._events, self._check, self._jobs, order)

    def held(self) -> list[HeldStep]:
        """Where processes stand now, the oldest first; a crashed process stands nowhere."""
        return [hit for hit in steps.held_steps(self._control) if hit.action != "crash"]

    def proceed(self, wake: Callable[[str], object]) -> list[HeldStep]:
        """Let every held process go on; ``wake`` continues one that was stopped."""
        hits = steps.held_steps(self._control)
        for hit in hits:
            hit.file.unlink(missing_ok=True)
            if hit.action == "pause":
                wake(hit.process)
        return [hit for hit in hits if hit.action != "crash"]

    def leave(self, process: str) -> None:
        """Let a process that was paused at a step leave it, once it is woken."""
        for hit in steps.held_steps(self._control):
            if hit.process == process and hit.action == "pause":
                hit.file.unlink(missing_ok=True)

    def abandon(self, process: str) -> None:
        """Forget where a process stood that is dead, or ends: one of its name starts afresh."""
        for hit in steps.held_steps(self._control):
            if hit.process == process:
                hit.file.unlink(missing_ok=True)

    def disarm(self) -> None:
        """Forget what is armed and was not reached yet."""
        for order in steps.armed_steps(self._control):
            order.file.unlink(missing_ok=True)
