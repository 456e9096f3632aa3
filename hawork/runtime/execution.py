"""One execution attempt of a job: its subtasks on slots, from deployment to their end."""

from __future__ import annotations

import asyncio
import enum
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hawork.core.events import EventKind, EventSink
from hawork.core.failures import Blame
from hawork.core.jobs import CompletedCheckpoint, JobGraph
from hawork.core.types import LeaderSessionID
from hawork.runtime.messages import Command, SubtaskOfAttempt
from hawork.runtime.resource_manager import Slot

STOP_TIMEOUT = 10.0
"""Seconds to wait for stopped subtasks; a TaskManager kills them well before."""


class Outcome(enum.Enum):
    """How an attempt ended."""

    FINISHED = "finished"
    FAILED = "failed"
    CANCELED = "canceled"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """An attempt's outcome, and whose fault a failure is: see ``hawork.core.failures``."""

    outcome: Outcome
    reason: str = ""
    blame: Blame = Blame.JOB
    permanent: bool = False


@dataclass(slots=True)
class Subtask:
    """What is known of one subtask of the attempt."""

    index: int
    slot: Slot
    status: str = "DEPLOYING"
    records: int = 0
    read: int = 0
    records_per_second: float = 0.0
    end_of_input: bool = False
    committed: int = 0
    gone: bool = False

    def describe(self) -> dict[str, Any]:
        return {
            "subtask": self.index,
            "taskmanager": self.slot.taskmanager_id,
            "status": self.status,
            "records": self.records,
            "read": self.read,
            "records_per_second": round(self.records_per_second, 1),
        }


@dataclass(slots=True)
class ExecutionAttempt:
    """The subtasks of one attempt. All are started, and all stopped, together."""

    graph: JobGraph
    session_id: LeaderSessionID
    slots: Sequence[Slot]
    events: EventSink
    attempt: str = field(default_factory=lambda: secrets.token_hex(8))
    subtasks: list[Subtask] = field(init=False)
    end: asyncio.Future[AttemptEnd] = field(init=False)
    all_running: asyncio.Event = field(init=False)
    _all_gone: asyncio.Event = field(init=False)

    def __post_init__(self) -> None:
        self.subtasks = [Subtask(index, slot) for index, slot in enumerate(self.slots)]
        self.end = asyncio.get_running_loop().create_future()
        self.all_running = asyncio.Event()
        self._all_gone = asyncio.Event()

    def deploy(self, restored: CompletedCheckpoint | None) -> None:
        """Start every subtask, each with its share of the checkpoint."""
        states = {state.index: state for state in restored.subtasks} if restored else {}
        for subtask in self.subtasks:
            state = states.get(subtask.index)
            if state is not None:
                subtask.records = state.records
            subtask.slot.connection.send(
                {
                    "type": "deploy_task",
                    "parallelism": self.graph.parallelism,
                    "entry_point": self.graph.entry_point,
                    "config": self.graph.config,
                    "artifact": self.graph.artifact.to_json(),
                    "restore": state.to_json() if state else None,
                    **self._origin(subtask),
                }
            )

    def command(self, command: Command) -> None:
        """Send a command to every subtask that is still there."""
        for subtask in self.subtasks:
            if not subtask.gone:
                subtask.slot.connection.send(
                    {"type": "task_command", "command": command, **self._origin(subtask)}
                )

    def fail(self, reason: str, blame: Blame = Blame.JOB, *, permanent: bool = False) -> None:
        self.finish(AttemptEnd(Outcome.FAILED, reason, blame, permanent))

    def finish(self, end: AttemptEnd) -> None:
        """Decide how the attempt ends; the first decision counts."""
        if not self.end.done():
            self.end.set_result(end)

    def status_changed(self, index: int, status: str, reason: str = "") -> None:
        """Note a subtask's new status."""
        subtask = self.subtasks[index]
        subtask.status = status
        self.events.emit(
            EventKind.TASK_STATUS,
            session_id=self.session_id,
            job_id=self.graph.job_id,
            attempt=self.attempt,
            index=index,
            status=status,
            reason=reason,
            taskmanager=subtask.slot.taskmanager_id,
        )
        if all(each.status in ("RUNNING", "FINISHED") for each in self.subtasks):
            self.all_running.set()

    def gone(self, index: int) -> None:
        """A subtask's process has ended."""
        self.subtasks[index].gone = True
        if all(subtask.gone for subtask in self.subtasks):
            self._all_gone.set()

    def taskmanager_lost(self, taskmanager_id: str, reason: str) -> None:
        for subtask in self.subtasks:
            if subtask.slot.taskmanager_id == taskmanager_id and not subtask.gone:
                self.gone(subtask.index)
        self.fail(f"TaskManager {taskmanager_id} was lost: {reason}", Blame.ENVIRONMENT)

    async def stop(self, *, discard: bool) -> None:
        """End every subtask and wait until their processes are gone.

        With ``discard`` they also remove output that no checkpoint has committed. After
        ``STOP_TIMEOUT`` the wait ends: whatever a lost subtask still does, it does under an
        attempt id that is never committed.
        """
        self.command({"type": "stop", "discard": discard})
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._all_gone.wait()
        except TimeoutError:
            return

    @property
    def records(self) -> int:
        return sum(subtask.records for subtask in self.subtasks)

    @property
    def records_per_second(self) -> float:
        return sum(subtask.records_per_second for subtask in self.subtasks if not subtask.gone)

    def _origin(self, subtask: Subtask) -> SubtaskOfAttempt:
        return {
            "session_id": str(self.session_id),
            "job_id": self.graph.job_id,
            "attempt": self.attempt,
            "index": subtask.index,
        }
