"""A TaskManager as a JobManager sees it, with tasks that write exactly what they should.

Not simulated code of hawork's but its counterpart: it speaks ``hawork.runtime.messages``, and its
tasks read, snapshot, commit and restore as those of ``hawork.job`` do. What they commit is the
judge of a run: the output of a job is whole when each record is in it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hawork.core.types import LeaderInformation
from hawork.simulation.job_manager import JobManager
from hawork.simulation.world import World

_AGAIN = 0.25  # seconds until it looks for the leader again
_HEARTBEAT = 10.0
_LATE = 0.4
"""How many TaskManagers are not heard of for a while before they end, all at once afterwards."""
_LATEST = 4.0  # seconds
SLOTS = 8


@dataclass
class Output:
    """What the tasks of all jobs have written: files by name, pending or final.

    A file holds the records of one subtask from one position to another.
    """

    pending: dict[str, tuple[str, int, int, int]] = field(default_factory=dict)
    final: dict[str, tuple[str, int, int, int]] = field(default_factory=dict)

    def commit(self, name: str) -> bool:
        """Rename to the final name; may be repeated. Whether there was such a file."""
        if name in self.pending:
            self.final[name] = self.pending.pop(name)
        return name in self.final

    def discard(self, job_id: str, index: int, keep: tuple[str, ...]) -> None:
        """Remove what no checkpoint names."""
        for name in [
            each
            for each, (job, number, _, _) in self.pending.items()
            if job == job_id and number == index and each not in keep
        ]:
            del self.pending[name]

    def problem(self, job_id: str, parallelism: int, records: int) -> str | None:
        """Why the output of a job is not each of its records once; ``None`` when it is."""
        for index in range(parallelism):
            position = 0
            parts = sorted(
                (begin, end)
                for job, number, begin, end in self.final.values()
                if job == job_id and number == index
            )
            for begin, end in parts:
                if begin < position:
                    return f"records {begin} to {position} of subtask {index} are there twice"
                if begin > position:
                    return f"records {position} to {begin} of subtask {index} are lost"
                position = end
            if position != records:
                return f"subtask {index} has {position} of {records} records"
        return None


class Task:
    """One subtask of one attempt."""

    def __init__(self, manager: TaskManager, connection: Connection, message: Any) -> None:
        self._world = manager.world
        self._output = manager.output
        self._connection = connection
        self._origin = {key: message[key] for key in ("session_id", "job_id", "attempt", "index")}
        self._records = int(message["config"]["records"])
        self._rate = float(message["config"]["rate"])
        restored = message["restore"]
        self._begin = 0
        self._segments: list[tuple[str, int]] = []
        """Files that are written and not known to be committed, with their checkpoint."""
        self._alive = True
        keep = tuple(restored["pending"]) if restored else ()
        job_id, index = message["job_id"], message["index"]
        if restored:
            self._begin = int(restored["position"])
            for name in keep:
                if not self._output.commit(name) and job_id not in self._world.robbed:
                    self._world.violated(
                        f"the output {name} that checkpoint of job {job_id} names is gone"
                    )
        self._output.discard(job_id, index, keep)
        self._started = self._world.scheduler.now
        self._written = self._begin
        self.report({"type": "running"})
        self._at_end()

    @property
    def _position(self) -> int:
        read = int((self._world.scheduler.now - self._started) * self._rate)
        return min(self._records, self._begin + read)

    def _at_end(self) -> None:
        if not self._alive:
            return
        left = self._records - self._position
        if left <= 0:
            self.report({"type": "end_of_input"})
        else:
            self._world.scheduler.at(left / self._rate + 0.002, self._at_end)

    def command(self, command: Any) -> None:
        if not self._alive:
            return
        kind = command["type"]
        if kind == "checkpoint":
            self._snapshot(command["checkpoint_id"])
        elif kind == "notify_complete":
            for name, checkpoint_id in list(self._segments):
                if checkpoint_id <= command["checkpoint_id"]:
                    self._segments.remove((name, checkpoint_id))
                    # A file that is gone was thrown away by a newer attempt: never made again.
                    self._output.commit(name)
            self.report({"type": "committed", "checkpoint_id": command["checkpoint_id"]})
        elif kind == "stop":
            self.end()
            if command["discard"]:
                self._output.discard(self._origin["job_id"], self._origin["index"], ())
            self.report({"type": "stopped"})
            self.report({"type": "gone", "reason": "stopped"})

    def _snapshot(self, checkpoint_id: int) -> None:
        position, index = self._position, self._origin["index"]
        if position > self._written:
            name = f"{self._origin['attempt']}-{index}-{checkpoint_id}"
            self._output.pending[name] = (self._origin["job_id"], index, self._written, position)
            self._segments.append((name, checkpoint_id))
            self._written = position
        self.report(
            {
                "type": "snapshot",
                "checkpoint_id": checkpoint_id,
                "bytes": 8,
                "state": {
                    "index": index, "attempt": self._origin["attempt"], "records": position,
                    "position": position, "state": None, "handle": None,
                    "pending": [name for name, _ in self._segments],
                    "finished": position >= self._records,
                },
            }
        )  # fmt: skip

    def end(self) -> None:
        self._alive = False

    def report(self, event: dict[str, Any]) -> None:
        self._connection.to_leader({"type": "task_event", **self._origin, "event": event})


class Connection:
    """Both ends of the connection between the TaskManager and a leader; messages keep their order.

    The leader's end is a ``TaskManagerConnection``.
    """

    def __init__(self, manager: TaskManager, leader: JobManager, session_id: str) -> None:
        self._manager = manager
        self._world = manager.world
        self.leader = leader
        self.session_id = session_id
        self.open = True
        self._dispatcher: Any = None
        self._arrives = 0.0
        self._stalled_until = 0.0

    def register(self) -> None:
        def begin() -> None:
            dispatcher = self.leader.leading()
            if dispatcher is None or str(dispatcher.term.session_id) != self.session_id:
                self._later(self._manager.hang_up, self)
                return
            self._dispatcher = dispatcher
            dispatcher.term.resource_manager.register("tm-1", SLOTS, 1, self, "1")
            self._later(self.beat)

        self._to_loop(begin)

    def to_leader(self, message: Any) -> None:
        def arrive() -> None:
            dispatcher = self.leader.leading()
            if dispatcher is None or dispatcher is not self._dispatcher:
                self._later(self._manager.hang_up, self)
            else:
                dispatcher.task_event(message)

        if self.open:
            self._to_loop(arrive)

    def beat(self) -> None:
        """A heartbeat, and the next one later."""

        def arrive() -> None:
            if self._dispatcher is not None:
                self._dispatcher.term.resource_manager.heartbeat("tm-1")

        if self.open:
            self._to_loop(arrive)
            self._world.scheduler.at(_HEARTBEAT, self.beat)

    def send(self, message: Any) -> None:
        """The leader sends."""
        if self.open and not self.leader.process.dead:
            self._later(self._manager.receive, self, message)

    def close(self) -> None:
        """The leader hangs up."""
        if self.open:
            self._later(self._manager.hang_up, self)

    def lost(self) -> None:
        """The TaskManager hung up."""

        def closed() -> None:
            if self._dispatcher is not None:
                self._dispatcher.term.resource_manager.lose("tm-1", "its connection closed", self)

        self.open = False
        self._to_loop(closed)

    def stall(self, seconds: float) -> None:
        """Keep back what is told to the leader, also when this is closed meanwhile."""
        self._stalled_until = self._world.scheduler.now + seconds

    def _to_loop(self, action: Callable[[], None]) -> None:
        leader, scheduler = self.leader, self._world.scheduler

        def arrive() -> None:
            left = self._stalled_until - scheduler.now
            if left > 0:
                scheduler.at(left, arrive)  # all in the same order
            elif leader.running and leader._loop is not None:
                leader._loop.call_soon_threadsafe(action)

        self._in_order(arrive)

    def _later(self, action: Callable[..., None], *arguments: Any) -> None:
        self._in_order(lambda: action(*arguments))

    def _in_order(self, arrive: Callable[[], None]) -> None:
        scheduler = self._world.scheduler
        self._arrives = max(self._arrives + 1e-6, scheduler.now + self._manager.latency())
        scheduler.at(self._arrives - scheduler.now, arrive)


class TaskManager:
    """Follows the leader that retrieval tells of; a ``LeaderRetrievalListener``'s last word."""

    def __init__(
        self, world: World, find: Callable[[str], JobManager | None], slowness: int
    ) -> None:
        self.world = world
        self._slowness = slowness
        self.output = Output()
        self._find = find
        self._connection: Connection | None = None
        self._tasks: dict[tuple[str, int], Task] = {}
        self._leader: LeaderInformation | None = None
        self._waiting = False

    def latency(self) -> float:
        """Seconds that a message to or from a leader is under way."""
        return self.world.latency() * self._slowness

    def leader_changed(self, information: LeaderInformation | None) -> None:
        """A leader that is merely unsure (``None``) keeps the connection."""
        self._leader = information
        connection = self._connection
        if information is None:
            return
        if connection is not None and connection.session_id != str(information.session_id):
            self.hang_up(connection)
        elif connection is None:
            self._connect()

    def _connect(self) -> None:
        self._waiting = False
        leader = self._leader
        if leader is None or self._connection is not None:
            return
        manager = self._find(leader.address)
        if manager is None or not manager.running:
            self._again()
            return
        self._connection = Connection(self, manager, str(leader.session_id))
        self._connection.register()

    def _again(self) -> None:
        if not self._waiting:
            self._waiting = True
            self.world.scheduler.at(_AGAIN, self._connect)

    def receive(self, connection: Connection, message: Any) -> None:
        if connection is not self._connection or message["session_id"] != connection.session_id:
            return
        if message["type"] == "deploy_task":
            key = message["attempt"], message["index"]
            if message["job_id"] in self.world.decided - self.world.robbed:
                self.world.violated(
                    f"job {message['job_id']} runs again, although it is decided how it ended"
                )
            self._tasks[key] = Task(self, connection, message)
        elif message["type"] == "task_command":
            task = self._tasks.get((message["attempt"], message["index"]))
            if task is not None:
                task.command(message["command"])

    def hang_up(self, connection: Connection) -> None:
        """The connection is over, and every task that came over it."""
        if connection is not self._connection:
            return
        self._connection = None
        connection.lost()
        for task in self._tasks.values():
            task.end()
        self._tasks.clear()
        self._again()

    def die(self) -> None:
        """Its process ends, and another one takes its place.

        Where the connection stalls before, the leader hears of the next one first.
        """
        connection, random = self._connection, self.world.random.random
        if connection is None:
            return
        if random() < _LATE:
            seconds = random() * _LATEST
            connection.stall(seconds)
            self.world.scheduler.at(seconds * 0.5 * random(), lambda: self.hang_up(connection))
        else:
            self.hang_up(connection)

    def leader_died(self, manager: JobManager) -> None:
        """The kernel of its host tells: the connection is broken."""
        connection = self._connection
        if connection is not None and connection.leader is manager:
            self.hang_up(connection)
