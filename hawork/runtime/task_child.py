"""One task attempt's process, as its TaskManager holds it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from hawork.core.failures import Blame
from hawork.core.library_path import module_command
from hawork.runtime.messages import Command, Deploy, TaskEvent

_LONGEST_LINE = 64 << 20  # bytes; a snapshot is one line, its state may lie in it
_STOP_GRACE = 0.5  # seconds a task has to stop by itself before it is killed


class TaskChild:
    """Starts a task process, passes on commands and events, and makes sure of its end.

    ``on_event`` is told every event of the process, and at last one of type ``gone`` with
    the reason, after which nothing of the process is left.
    """

    def __init__(
        self,
        environment: dict[str, str],
        log: Path | None,
        on_event: Callable[[TaskEvent], None],
    ) -> None:
        self._environment = environment
        self._log = log
        self._on_event = on_event
        self._process: asyncio.subprocess.Process | None = None
        self._started = False
        self._killed = False
        self._expected = False
        self._kill_timer: asyncio.TimerHandle | None = None

    async def run(self, deploy: Deploy) -> None:
        """Run the process from its deployment to its end."""
        if self._killed:
            self._on_event({"type": "gone", "reason": "the subtask was stopped"})
            return
        log: int | None = None
        try:
            log = self._open_log()
            self._process = await asyncio.create_subprocess_exec(
                *module_command("hawork.runtime.task_process"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._environment},
                limit=_LONGEST_LINE,
            )
        except (OSError, RuntimeError) as error:  # no descriptor, process or thread is left
            self.fail(f"the subtask's process could not be started: {error}")
            return
        finally:
            if log is not None:
                os.close(log)
        if self._killed:
            self.kill()
        self.command(deploy)
        try:
            await self._pump(self._process)
        finally:
            self.kill()
            status = await self._process.wait()
            if self._kill_timer is not None:
                self._kill_timer.cancel()
            reason, blame = self._reason(status)
            self._on_event({"type": "gone", "reason": reason, "blame": blame.value})

    def fail(self, reason: str) -> None:
        """Report a subtask that could not be started, for a reason that is not the job's."""
        blame = Blame.ENVIRONMENT.value
        self._on_event({"type": "failed", "reason": reason, "blame": blame})
        self._on_event({"type": "gone", "reason": reason, "blame": blame})

    def _open_log(self) -> int:
        """What the task prints goes there, or nowhere: a full disk must not stop it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.parent.mkdir(parents=True, exist_ok=True)
                return os.open(self._log, flags, 0o600)
        return os.open(os.devnull, flags)

    def command(self, command: Deploy | Command) -> None:
        """Send a command; one to a process that has ended is dropped."""
        if command["type"] == "stop":
            self._expected = True
            self._kill_timer = asyncio.get_running_loop().call_later(_STOP_GRACE, self.kill)
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError, RuntimeError):
            self._process.stdin.write((json.dumps(command) + "\n").encode())

    def kill(self) -> None:
        """End the process now: nothing of it may go on under another leadership."""
        self._killed = True
        if self._process is not None and self._process.returncode is None:
            # Not Process.send_signal: it may reap the child behind asyncio's back, which then
            # no longer learns the exit status.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def _pump(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                self._on_event(
                    {"type": "failed", "reason": f"a snapshot is larger than {_LONGEST_LINE} bytes"}
                )
                return
            if not line:
                return
            try:
                event: TaskEvent = json.loads(line)
            except ValueError:
                continue  # not the protocol: a library wrote to the descriptor
            if not isinstance(event, dict) or "type" not in event:
                continue
            if event["type"] == "started":
                self._started = True
                continue
            if event["type"] in ("failed", "stopped"):
                self._expected = True
            self._on_event(event)

    def _reason(self, status: int) -> tuple[str, Blame]:
        if self._expected or (self._killed and status == 0):
            return "the subtask was stopped", Blame.JOB
        if status < 0:
            name = signal.Signals(-status).name
            return f"the subtask's process was killed by {name}", Blame.ENVIRONMENT
        if not self._started:
            reason = (
                f"the subtask's process ended with status {status} before it had started: its "
                "TaskManager's log says why"
            )
            return reason, Blame.ENVIRONMENT
        reason = "its user code may have called exit"
        return f"the subtask's process ended with status {status}: {reason}", Blame.JOB
