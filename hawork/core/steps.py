"""The steps of the HA protocol, by name; where a process can be held, paused or crashed.

Reaching a step writes an event. A step that is *armed* does something more, once: the
thread is held there until told to continue (``hold``), the whole process is stopped as by
SIGSTOP (``pause``), or it dies as by SIGKILL (``crash``). Steps are armed by writing a file
into the run's control directory, so any process of the lab can be armed from outside, and
a process that starts later is armed, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

from hawork.core.errors import ConfigurationError
from hawork.core.events import EventKind, EventSink

ACTIONS = ("hold", "pause", "crash")

Actor: TypeAlias = Literal["client", "JobManager", "storageDir", "HA store", "tasks"]
"""A party of the protocol."""
CLIENT: Final = "client"
MANAGER: Final = "JobManager"
STORAGE: Final = "storageDir"
STORE: Final = "HA store"
TASKS: Final = "tasks"
ACTORS: tuple[Actor, ...] = (CLIENT, MANAGER, STORAGE, STORE, TASKS)


@dataclass(frozen=True, slots=True)
class Step:
    """A named moment of the protocol, which goes from ``source`` to ``target``.

    Both are the same for a step within one party.
    """

    name: str
    meaning: str
    source: Actor
    target: Actor


# fmt: off
STEPS: Mapping[str, Step] = {
    step.name: step
    for step in (
        Step("submit.artifact_stored", "the job's artifact is in the blob store", MANAGER, STORAGE),
        Step("submit.graph_written", "the job graph's file is in storageDir, nothing points to it",
             MANAGER, STORAGE),
        Step("submit.pointer_added", "the HA store points to the job graph: the job is safe",
             MANAGER, STORE),
        Step("submit.acknowledged", "the client is about to be told that the job is accepted",
             MANAGER, CLIENT),
        Step("checkpoint.triggered", "the TaskManagers are asked for a checkpoint", MANAGER, TASKS),
        Step("checkpoint.written", "the checkpoint's file is in storageDir, nothing points to it",
             MANAGER, STORAGE),
        Step("checkpoint.pointer_added", "the HA store points to the checkpoint: it is completed",
             MANAGER, STORE),
        Step("checkpoint.subsumed", "older checkpoints are removed", MANAGER, STORE),
        Step("checkpoint.notified", "the TaskManagers are told to commit their output",
             MANAGER, TASKS),
        Step("takeover.granted", "this JobManager was granted leadership", STORE, MANAGER),
        Step("takeover.results_cleaned", "what finished jobs had left behind is cleaned up",
             MANAGER, STORAGE),
        Step("takeover.graphs_recovered", "the job graphs of unfinished jobs are read",
             STORE, MANAGER),
        Step("takeover.confirmed", "leadership is confirmed, the address not yet published",
             MANAGER, MANAGER),
        Step("takeover.published", "the new leader's address is published", MANAGER, STORE),
        Step("takeover.job_restored", "a job's latest readable checkpoint is chosen",
             STORE, MANAGER),
        Step("result.decided", "the fenced store says how the job ended", MANAGER, STORE),
        Step("result.dirty", "the job's result is stored as dirty", MANAGER, STORAGE),
        Step("cleanup.checkpoints_removed", "the job's checkpoints and counter are removed",
             MANAGER, STORE),
        Step("cleanup.pointer_removed", "the pointer to the job graph is removed", MANAGER, STORE),
        Step("cleanup.artifacts_removed", "the job's files and artifacts are removed",
             MANAGER, STORAGE),
        Step("result.clean", "the job's result is marked clean", MANAGER, STORAGE),
        Step("leadership.revoked", "leadership is lost, jobs are being suspended", STORE, MANAGER),
        Step("task.started", "a TaskManager starts a subtask", MANAGER, TASKS),
        Step("task.snapshot_taken", "a subtask took its snapshot, not yet acknowledged",
             TASKS, STORAGE),
        Step("task.output_committed", "a subtask committed the output of a checkpoint",
             TASKS, STORAGE),
    )
}
# fmt: on


class Steps(Protocol):
    """What protocol code calls when it reaches a step."""

    def reached(
        self, name: str, *, session_id: object = None, job_id: str | None = None, **facts: Any
    ) -> None: ...


class NoSteps:
    """Steps that are not watched."""

    def reached(self, name: str, **_: Any) -> None:
        """Do nothing."""


class StepGate:
    """Reports steps as events and does what armed steps ask for.

    ``control`` is the run's control directory; see ``arm``.
    """

    def __init__(self, process: str, events: EventSink, control: Path | None = None) -> None:
        self._process = process
        self._events = events
        self._control = control

    def reached(
        self, name: str, *, session_id: object = None, job_id: str | None = None, **facts: Any
    ) -> None:
        if name not in STEPS:
            raise ConfigurationError(f"step {name!r} is not in the registry of steps")
        self._events.emit(
            EventKind.STEP_REACHED, session_id=session_id, job_id=job_id, step=name, **facts
        )
        claimed = self._claim(name)
        if claimed is None:
            return
        action, hit = claimed
        self._events.emit(
            EventKind.STEP_ARMED, session_id=session_id, job_id=job_id, step=name, action=action,
            **facts,
        )  # fmt: skip
        if action == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action == "pause":
            # Sent to this thread: a signal to the process may stop another thread first, and
            # this one would get some way beyond its step.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        # The lab removes the file to continue. Polling: a held step is a teaching device that
        # lasts as long as a person looks at it. A paused one waits as well: a supervisor may
        # wake and stop the process again, until it stands outside of any transaction.
        while hit.exists():
            time.sleep(0.02)
        self._events.emit(
            EventKind.STEP_CONTINUED, session_id=session_id, job_id=job_id, step=name, action=action
        )

    def _claim(self, name: str) -> tuple[str, Path] | None:
        """Take the oldest order for this step; only one process gets each."""
        if self._control is None:
            return None
        try:
            names = sorted(os.listdir(self._control))
        except OSError:  # it is absent, or no descriptor is left: steps must not stop a leader
            return None
        for file_name in names:
            if not file_name.endswith(f".{name}.armed"):
                continue
            path = self._control / file_name
            order = _read_order(path)
            if order is None or order.process not in (None, self._process):
                continue
            hit = path.with_suffix(f".{self._process}.hit")
            with contextlib.suppress(FileNotFoundError):
                path.rename(hit)
                return order.action, hit
        return None


def arm(control: Path, name: str, action: str, process: str | None = None) -> Path:
    """Arm a step once, in one named process or in whichever reaches it first.

    Returns the file that stands for the order. ``ConfigurationError`` for an unknown step
    or action.
    """
    if name not in STEPS:
        raise ConfigurationError(f"step {name!r} is unknown: choose one of {', '.join(STEPS)}")
    if action not in ACTIONS:
        raise ConfigurationError(
            f"action {action!r} is unknown: choose one of {', '.join(ACTIONS)}"
        )
    control.mkdir(parents=True, exist_ok=True)
    path = control / f"{time.monotonic_ns():020d}.{name}.armed"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"step": name, "action": action, "process": process}))
    temporary.rename(path)
    return path


def disarm(control: Path) -> None:
    """Forget every armed step, and let every held thread go on."""
    for pattern in ("*.armed", "*.hit"):
        for path in control.glob(pattern):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class ArmedOrder:
    """What the first process to reach ``step`` does; ``process`` limits it to one."""

    step: str
    action: str
    process: str | None
    file: Path

    def __str__(self) -> str:
        return f"{self.action} at {self.step} for {self.process or 'the first process there'}"


@dataclass(frozen=True, slots=True)
class HeldStep:
    """A process that stands at a step: ``action`` is ``hold`` or ``pause``."""

    step: str
    action: str
    process: str
    file: Path

    @property
    def meaning(self) -> str:
        return STEPS[self.step].meaning

    def __str__(self) -> str:
        return f"{self.process} stands at {self.step}: {self.meaning}"


def armed_steps(control: Path) -> list[ArmedOrder]:
    """The orders that were not carried out yet, the oldest first."""
    return [order for path in sorted(control.glob("*.armed")) if (order := _read_order(path))]


def held_steps(control: Path) -> list[HeldStep]:
    """The orders that were carried out and not continued yet, the oldest first.

    That of a crash is among them: its process stands nowhere any more.
    """
    found = []
    for path in sorted(control.glob("*.hit")):
        if (order := _read_order(path)) is not None:
            process = path.name.removesuffix(".hit").partition(f".{order.step}.")[2]
            found.append(HeldStep(order.step, order.action, process, path))
    return found


def _read_order(path: Path) -> ArmedOrder | None:
    """``None``: it was reached, or forgotten, just now, or is not an order."""
    try:
        order = json.loads(path.read_bytes())
        return ArmedOrder(order["step"], order["action"], order["process"], path)
    except (OSError, ValueError, KeyError, TypeError):
        return None
