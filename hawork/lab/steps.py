"""Steps of the protocol that a reader holds, pauses or crashes on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hawork.client.waiting import Waiting
from hawork.core import steps
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.events import Event, EventKind
from hawork.core.steps import HeldStep


@dataclass(frozen=True, slots=True)
class ArmedStep:
    """An order for the process that reaches a step first."""

    step: str
    action: str
    process: str | None
    since: float
    events: Callable[[], list[Event]] = field(repr=False)
    check: Callable[[], object] = field(repr=False)

    def reached(self, timeout: float = 30.0) -> Waiting[Event]:
        """Wait until a process stands there, or has crashed there; gives its event."""

        def look() -> Event | None:
            for event in reversed(self.events()):
                if event.monotonic < self.since:
                    break
                if event.kind is EventKind.STEP_ARMED and event.step == self.step:
                    return event
            self.check()
            return None

        return Waiting(f"a process to reach {self.step}", look, timeout=timeout)


class ArmedSteps:
    """What is armed and held in one run's control directory.

    ``check`` raises when no process can reach a step any more.
    """

    def __init__(
        self, control: Path, events: Callable[[], list[Event]],
        check: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        self._control = control
        self._events = events
        self._check = check

    def arm(self, step: str, action: str = "hold", process: str | None = None) -> ArmedStep:
        since = SYSTEM_CLOCK.monotonic()
        steps.arm(self._control, step, action, process)
        return ArmedStep(step, action, process, since, self._events, self._check)

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
