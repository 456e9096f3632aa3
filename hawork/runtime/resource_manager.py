"""TaskManagers and their slots, as the leading JobManager knows them.

Lives on the event loop of its process. A TaskManager is lost when its connection closes,
when it is silent for ``heartbeat.timeout``, or when it registers again. Its name is one process's
alone: another process of that name is refused for as long as the first is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from hawork.core.clock import Clock
from hawork.core.errors import ConfigurationError
from hawork.core.events import EventKind, EventSink
from hawork.core.types import JobID, LeaderSessionID
from hawork.runtime.heartbeat import HeartbeatMonitor
from hawork.runtime.messages import ToTaskManager


class TaskManagerConnection(Protocol):
    """The leader's end of the connection to one TaskManager."""

    def send(self, message: ToTaskManager) -> None:
        """Send without waiting; a connection that is closed drops the message."""

    def close(self) -> None: ...


class SlotRequester(Protocol):
    """A job that needs slots."""

    @property
    def job_id(self) -> JobID: ...

    @property
    def slots_needed(self) -> int: ...

    def slots_offered(self, slots: list[Slot]) -> None: ...

    def taskmanager_lost(self, taskmanager_id: str, reason: str) -> None: ...


@dataclass(slots=True)
class TaskManagerInfo:
    """A registered TaskManager."""

    taskmanager_id: str
    slots: int
    pid: int
    connection: TaskManagerConnection
    instance: str = ""
    used_by: list[JobID] = field(default_factory=list)

    @property
    def free(self) -> int:
        return self.slots - len(self.used_by)


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot of one TaskManager, assigned to one job."""

    taskmanager_id: str
    connection: TaskManagerConnection


class ResourceManager:
    """Registers TaskManagers and hands their slots to jobs, first come, first served.

    A job gets all its slots at once or none. One that needs more than is free does not hold
    up smaller ones behind it.
    """

    def __init__(
        self,
        session_id: LeaderSessionID,
        heartbeat_timeout: float,
        clock: Clock,
        events: EventSink,
    ) -> None:
        self._session_id = session_id
        self._clock = clock
        self._events = events
        self._heartbeats = HeartbeatMonitor(heartbeat_timeout)
        self._taskmanagers: dict[str, TaskManagerInfo] = {}
        self._waiting: dict[JobID, SlotRequester] = {}
        self._holders: dict[JobID, SlotRequester] = {}

    @property
    def taskmanagers(self) -> list[TaskManagerInfo]:
        return list(self._taskmanagers.values())

    @property
    def slots_total(self) -> int:
        return sum(info.slots for info in self._taskmanagers.values())

    @property
    def slots_free(self) -> int:
        return sum(info.free for info in self._taskmanagers.values())

    def register(
        self,
        taskmanager_id: str,
        slots: int,
        pid: int,
        connection: TaskManagerConnection,
        instance: str = "",
    ) -> None:
        """Take in a TaskManager; what is left of its own earlier connection is lost first.

        ``instance`` tells a process from another one of the same id, which is refused with
        ``ConfigurationError``: to let it in would take the slots away from the first.
        """
        present = self._taskmanagers.get(taskmanager_id)
        if present is not None and present.instance != instance:
            raise ConfigurationError(
                f"a TaskManager named {taskmanager_id} is registered already, with process id "
                f"{present.pid}: give each TaskManager a --name of its own, or none"
            )
        if present is not None:
            self.lose(taskmanager_id, "it registered again")
        info = TaskManagerInfo(taskmanager_id, slots, pid, connection, instance)
        self._taskmanagers[taskmanager_id] = info
        self._heartbeats.watch(taskmanager_id, self._clock.monotonic())
        self._events.emit(
            EventKind.TASKMANAGER_REGISTERED,
            session_id=self._session_id,
            taskmanager=taskmanager_id,
            slots=slots,
        )
        self._offer()

    def heartbeat(self, taskmanager_id: str) -> None:
        self._heartbeats.heard(taskmanager_id, self._clock.monotonic())

    def silence(self, taskmanager_id: str) -> float:
        return self._heartbeats.silence(taskmanager_id, self._clock.monotonic())

    def check_heartbeats(self) -> None:
        """To be called several times per heartbeat timeout."""
        for taskmanager_id in self._heartbeats.lost(self._clock.monotonic()):
            self.lose(taskmanager_id, "its heartbeat timed out")

    def lose(
        self, taskmanager_id: str, reason: str, connection: TaskManagerConnection | None = None
    ) -> None:
        """Forget a TaskManager; its jobs are told.

        With ``connection`` only if that is still the TaskManager's connection.
        """
        info = self._taskmanagers.get(taskmanager_id)
        if info is None or (connection is not None and info.connection is not connection):
            return
        del self._taskmanagers[taskmanager_id]
        self._heartbeats.forget(taskmanager_id)
        self._events.emit(
            EventKind.TASKMANAGER_LOST,
            session_id=self._session_id,
            taskmanager=taskmanager_id,
            reason=reason,
        )
        info.connection.close()
        for job_id in dict.fromkeys(info.used_by):
            holder = self._holders.get(job_id)
            if holder is not None:
                holder.taskmanager_lost(taskmanager_id, reason)

    def has(self, slot: Slot) -> bool:
        """Whether the slot's TaskManager is still here, and has not registered again since."""
        info = self._taskmanagers.get(slot.taskmanager_id)
        return info is not None and info.connection is slot.connection

    def request(self, requester: SlotRequester) -> None:
        """Ask for ``requester.slots_needed`` slots; they are offered once they are free."""
        self._waiting[requester.job_id] = requester
        # What is free was offered to those before it already.
        self._offer_to(requester.job_id, requester)

    def release(self, job_id: JobID) -> None:
        """Take back all slots of a job, and forget its request."""
        self._waiting.pop(job_id, None)
        self._holders.pop(job_id, None)
        freed = False
        for info in self._taskmanagers.values():
            if job_id in info.used_by:
                info.used_by = [user for user in info.used_by if user != job_id]
                freed = True
        if freed:
            self._offer()

    def explain_shortage(self, needed: int) -> str:
        """Why a job still waits, in one sentence."""
        return (
            f"it needs {needed} slot{'s' if needed != 1 else ''}, {self.slots_free} of "
            f"{self.slots_total} are free on {len(self._taskmanagers)} TaskManagers: "
            "start more TaskManagers or lower the parallelism"
        )

    def close(self) -> None:
        for info in self.taskmanagers:
            info.connection.close()
        self._taskmanagers.clear()
        self._waiting.clear()
        self._holders.clear()

    def _offer(self) -> None:
        """Offer what has become free to those that wait."""
        for job_id, requester in list(self._waiting.items()):
            if not self.slots_free:
                return
            self._offer_to(job_id, requester)

    def _offer_to(self, job_id: JobID, requester: SlotRequester) -> None:
        # An offer may come back here through release(): look again each time.
        if job_id in self._waiting and requester.slots_needed <= self.slots_free:
            del self._waiting[job_id]
            self._holders[job_id] = requester
            requester.slots_offered(self._take(job_id, requester.slots_needed))

    def _take(self, job_id: JobID, needed: int) -> list[Slot]:
        """Slots of the TaskManagers with the most free ones first: spread a job out."""
        slots: list[Slot] = []
        for _ in range(needed):
            info = max(self._taskmanagers.values(), key=lambda each: each.free)
            info.used_by.append(job_id)
            slots.append(Slot(info.taskmanager_id, info.connection))
        return slots
