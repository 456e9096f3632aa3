"""Every message between JobManager, TaskManager and task process: JSON objects, by ``type``.

They travel as they are written here: between JobManager and TaskManager over a web socket, each
with the ``session_id`` of the leader it belongs to, and between TaskManager and task process as
lines (``task_channel.py``). The types are for the checker, which knows by a message's ``type``
what is in it; what arrives is JSON of another process and is read as such.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypeAlias, TypedDict

from hawork.core.jobs import JsonObject
from hawork.core.types import JobID

# --- TaskManager to task process --------------------------------------------------------


class Deploy(TypedDict):
    """The first command; ``TaskDeployment`` says what is in it."""

    type: Literal["deploy"]
    job_id: str
    attempt: str
    index: int
    parallelism: int
    entry_point: str
    config: JsonObject
    restore: JsonObject | None
    session_id: str
    artifact: str
    sha256: str
    storage_url: str
    memory_threshold: int
    artifact_max_size: int
    run_directory: str | None
    process: str


class TriggerCheckpoint(TypedDict):
    """Answered by ``snapshot``, or ``declined`` when storageDir is out of reach."""

    type: Literal["checkpoint"]
    checkpoint_id: int


class NotifyComplete(TypedDict):
    """The checkpoint is completed; answered by ``committed``."""

    type: Literal["notify_complete"]
    checkpoint_id: int


class Stop(TypedDict):
    """Answered by ``stopped``; with ``discard`` the job is over."""

    type: Literal["stop"]
    discard: bool


Command: TypeAlias = TriggerCheckpoint | NotifyComplete | Stop
"""What a JobManager asks of a running subtask."""

# --- task process to TaskManager, and on to the JobManager ------------------------------


class Noted(TypedDict):
    """``started`` comes before any code of the job, ``running`` once it is built."""

    type: Literal["started", "running", "end_of_input", "stopped"]


class Progress(TypedDict):
    type: Literal["progress"]
    records: int
    read: int
    records_per_second: float


class Snapshot(TypedDict):
    """``state`` is a ``SubtaskState``, ``bytes`` the size of what it holds."""

    type: Literal["snapshot"]
    checkpoint_id: int
    state: JsonObject
    bytes: int


class Declined(TypedDict):
    type: Literal["declined"]
    checkpoint_id: int
    reason: str


class Committed(TypedDict):
    type: Literal["committed"]
    checkpoint_id: int


class Failed(TypedDict):
    """``reason`` is one sentence, ``blame`` a ``Blame``; the process ends after it.

    It is ``permanent`` when starting the task again would only fail again; ``corrupt_state`` says
    that the state file of the checkpoint is damaged.
    """

    type: Literal["failed"]
    reason: str
    blame: NotRequired[str]
    traceback: NotRequired[str]
    permanent: NotRequired[bool]
    corrupt_state: NotRequired[bool]


class Gone(TypedDict):
    """The TaskManager's own: nothing of the process is left."""

    type: Literal["gone"]
    reason: str
    blame: NotRequired[str]


TaskEvent: TypeAlias = Noted | Progress | Snapshot | Declined | Committed | Failed | Gone

# --- JobManager to TaskManager ----------------------------------------------------------


class SubtaskOfAttempt(TypedDict):
    """Which subtask of which attempt, and under which leadership."""

    session_id: str
    job_id: JobID
    attempt: str
    index: int


class DeployTask(SubtaskOfAttempt):
    """``artifact`` is a ``StateHandle``, ``restore`` a ``SubtaskState``."""

    type: Literal["deploy_task"]
    parallelism: int
    entry_point: str
    config: JsonObject
    artifact: JsonObject
    restore: JsonObject | None


class TaskCommand(SubtaskOfAttempt):
    type: Literal["task_command"]
    command: Command


class Heartbeat(TypedDict):
    """Either way; the TaskManager begins."""

    type: Literal["heartbeat"]
    session_id: str


class Refused(TypedDict):
    """The registration was refused."""

    type: Literal["refused"]
    session_id: str
    reason: str


ToTaskManager: TypeAlias = DeployTask | TaskCommand | Heartbeat | Refused

# --- TaskManager to JobManager ----------------------------------------------------------


class Register(TypedDict):
    """``instance`` is another for each process that uses the name."""

    type: Literal["register"]
    session_id: str
    taskmanager_id: str
    slots: int
    pid: int
    instance: str


class ReportTaskEvent(SubtaskOfAttempt):
    type: Literal["task_event"]
    event: TaskEvent


ToJobManager: TypeAlias = Register | Heartbeat | ReportTaskEvent
