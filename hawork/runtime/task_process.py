"""The process of one task attempt: ``python -m hawork.runtime.task_process``.

Its TaskManager writes commands to its standard input and reads events from its standard
output, one JSON object a line; see ``task_channel.py``. User code that raises, hangs, exits
or crashes can only take this process with it.

``messages.py`` lists them. ``started`` comes before all others, and before any code of the job;
``deploy`` is answered by ``running``, then ``progress`` and ``end_of_input``; any command by
``failed``, after which the process ends with status 1.
"""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # what is imported stays: hardly any garbage is there

import os
import shutil
import signal
import sys
import threading
import zipfile

from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.errors import (
    ArtifactError,
    ConfigurationError,
    CorruptStateError,
    HaworkError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind, EventLog, EventSink, NullEventSink
from hawork.core.failures import Blame, blame
from hawork.core.steps import NoSteps, StepGate, Steps
from hawork.job.artifact import Artifact, unpack_artifact
from hawork.job.entry_point import build_pipeline
from hawork.job.sinks import SubtaskContext
from hawork.job.subtask import Subtask
from hawork.job.user_code import describe
from hawork.runtime.messages import Command, Deploy
from hawork.runtime.parent_death import die_with_creator
from hawork.runtime.task_channel import TaskChannel, take_standard_streams
from hawork.runtime.task_deployment import TaskDeployment
from hawork.runtime.task_state import TaskStateFiles

_PROGRESS_INTERVAL = 0.2
_LONGEST_TRACEBACK = 20_000


class Task:
    """Runs a subtask, and answers commands between its batches."""

    def __init__(
        self, deployment: TaskDeployment, channel: TaskChannel, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._deployment = deployment
        self._channel = channel
        self._clock = clock
        self._events, self._steps = _told(deployment)
        self._files = TaskStateFiles(
            deployment.storage_url, deployment.job_id, deployment.memory_threshold
        )
        self._reached("task.started")
        directory = deployment.work_directory
        _unpack(deployment)
        pipeline = build_pipeline(deployment.entry_point, directory, deployment.config)
        restore = deployment.restore
        self._subtask = Subtask(
            pipeline,
            SubtaskContext(
                deployment.job_id,
                deployment.index,
                deployment.parallelism,
                deployment.attempt,
                deployment.storage_url,
                self._files.is_stored,
            ),
            self._files.load(restore) if restore else None,
            clock,
        )
        self._told = (-1, -1)
        self._told_at = clock.monotonic()

    def run(self) -> None:
        """Go on until told to stop."""
        self._channel.send({"type": "running"})
        self._tell_progress()
        finished = progressed = False
        before = self._subtask.read
        wait: float | None = 0.0
        while True:
            command = self._channel.next_command(wait)
            if command is not None:
                if command["type"] == "stop":
                    self._stop(discard=bool(command.get("discard")))
                    return
                self._carry_out(command)
            wait = self._subtask.advance()
            if not progressed and self._subtask.read != before:
                progressed = True
                self._tell_first_record()
            if self._clock.monotonic() >= self._told_at + _PROGRESS_INTERVAL:
                self._tell_progress()
            if wait is None and not finished:
                finished = True
                self._tell_progress()
                self._channel.send({"type": "end_of_input"})

    def _carry_out(self, command: Deploy | Command) -> None:
        if command["type"] == "checkpoint":
            self._snapshot(command["checkpoint_id"])
        elif command["type"] == "notify_complete":
            checkpoint_id = command["checkpoint_id"]
            self._subtask.notify_complete(checkpoint_id)
            self._reached("task.output_committed", checkpoint_id=checkpoint_id)
            self._channel.send({"type": "committed", "checkpoint_id": checkpoint_id})
        else:
            raise ConfigurationError(f"task command {command['type']!r} is unknown")

    def _snapshot(self, checkpoint_id: int) -> None:
        # The sink has closed its file by then: after a refusal the next snapshot names it.
        state, encoded = self._subtask.snapshot(checkpoint_id)
        try:
            state = self._files.store(checkpoint_id, state, encoded)
        except StoreUnavailableError as error:
            self._channel.send(
                {"type": "declined", "checkpoint_id": checkpoint_id, "reason": str(error)}
            )
            return
        self._reached("task.snapshot_taken", checkpoint_id=checkpoint_id)
        self._channel.send(
            {
                "type": "snapshot",
                "checkpoint_id": checkpoint_id,
                "state": state.to_json(),
                "bytes": len(encoded),
            }
        )

    def _tell_progress(self) -> None:
        now = self._clock.monotonic()
        records, read = self._subtask.records, self._subtask.read
        if (records, read) != self._told:
            before = self._told[0] if self._told[0] >= 0 else records
            rate = (records - before) / max(now - self._told_at, 1e-3)
            self._channel.send(
                {
                    "type": "progress",
                    "records": records,
                    "read": read,
                    "records_per_second": round(rate, 1),
                }
            )
            self._told = (records, read)
        self._told_at = now

    def _tell_first_record(self) -> None:
        deployment = self._deployment
        self._events.emit(
            EventKind.TASK_PROGRESSED, session_id=deployment.session_id,
            job_id=deployment.job_id, index=deployment.index,
        )  # fmt: skip

    def _stop(self, *, discard: bool) -> None:
        self._subtask.close(discard=discard)
        self._channel.send({"type": "stopped"})

    def _reached(self, step: str, **facts: object) -> None:
        deployment = self._deployment
        self._steps.reached(
            step,
            session_id=deployment.session_id,
            job_id=deployment.job_id,
            attempt=deployment.attempt,
            index=deployment.index,
            **facts,
        )


def _told(deployment: TaskDeployment) -> tuple[EventSink, Steps]:
    """Events and steps under the TaskManager's name, so that arming it arms its tasks."""
    run, process = deployment.run_directory, deployment.process
    if run is None:
        return NullEventSink(), NoSteps()
    path = run / "events" / f"{process}-task-{deployment.attempt[:8]}.jsonl"
    events = EventLog(process, path)
    return events, StepGate(process, events, run / "control")


def _unpack(deployment: TaskDeployment) -> None:
    try:
        data = deployment.artifact.read_bytes()
        deployment.work_directory.mkdir(parents=True)
    except OSError as error:
        raise ArtifactError(
            f"artifact {deployment.artifact} cannot be unpacked: {error.strerror or error}"
        ) from error
    try:
        Artifact(data, deployment.sha256).verify()
    except ArtifactError as error:
        raise CorruptStateError(str(error)) from None
    unpack_artifact(data, deployment.work_directory, deployment.artifact_max_size)


def _is_unpacked(deployment: TaskDeployment) -> bool:
    """Whether all of the artifact is there: a cleaner of temporary files may have been faster."""
    root = deployment.work_directory
    try:
        with zipfile.ZipFile(deployment.artifact) as archive:
            return all((root / each.filename).exists() for each in archive.infolist())
    except (OSError, zipfile.BadZipFile):
        return False


def _run(channel: TaskChannel) -> int:
    """From the deployment to the end; the exit status."""
    deployment: TaskDeployment | None = None
    channel.send({"type": "started"})
    try:
        command = channel.next_command(None)
        assert command is not None
        if command["type"] == "stop":
            channel.send({"type": "stopped"})
            return 0
        deployment = TaskDeployment.from_json(command)
        Task(deployment, channel).run()
        return 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, the TaskManager is told
        _report_failure(channel, error, deployment)
        return 1
    finally:
        if deployment is not None:
            shutil.rmtree(deployment.work_directory, ignore_errors=True)


def _report_failure(
    channel: TaskChannel, error: BaseException, deployment: TaskDeployment | None
) -> None:
    import traceback

    own = isinstance(error, HaworkError)
    whose = blame(error)
    permanent = whose is Blame.JOB and isinstance(error, ArtifactError | ConfigurationError)
    if permanent and deployment is not None and not _is_unpacked(deployment):
        whose, permanent = Blame.ENVIRONMENT, False
    trace = "".join(traceback.format_exception(error))
    channel.send(
        {
            "type": "failed",
            "reason": str(error) if own else f"the task failed with {describe(error)}",
            "traceback": trace[-_LONGEST_TRACEBACK:],
            "blame": whose.value,
            "permanent": permanent,
            "corrupt_state": isinstance(error, CorruptStateError),
        }
    )


def main() -> None:
    """Run one task attempt; ends the process."""
    die_with_creator()
    # A Ctrl-C in a terminal reaches the whole group; the TaskManager decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.dont_write_bytecode = True
    gc.freeze()
    gc.enable()
    threading.current_thread().name = "task"
    status = _run(take_standard_streams())
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(status)  # not sys.exit: it would wait for threads that user code has left behind


if __name__ == "__main__":
    main()
