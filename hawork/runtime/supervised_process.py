"""One child of a supervisor: a process group with a pipe from its parent and one to it.

The child inherits two descriptors, named in its environment:

``HAWORK_PARENT_FD``
    read end of a pipe that the supervisor holds open: it reaches end of file when the
    supervisor is gone, and the child ends itself. On it come the watchdog's questions, a line
    with a number each. After the number of the last may stand ``WITH_THREADS``.
``HAWORK_SUPERVISOR_FD``
    write end of a pipe on which a JobManager writes JSON lines: the ticket with which its
    leadership can be given up once it is dead, whether it wants to be asked whether it is
    alive, and its answers; and any process what it could not write to its log itself::

        {"ticket": {"type": "embedded", "contender": "..."}}
        {"watch": true}
        {"alive": "event loop", "question": 7}
        {"said": "hawork jobmanager: OSError: [Errno 27] File too large"}
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hawork.runtime.parent_death import die_with_creator
from hawork.runtime.watchdog import Watchdog

PARENT_FD = "HAWORK_PARENT_FD"
SUPERVISOR_FD = "HAWORK_SUPERVISOR_FD"
WITH_THREADS = b"threads"
"""Asks for what each thread does, written to standard error."""
MOST_TICKETS = 8
"""Newest tickets kept of one process; it has a new one whenever its session changes."""


@dataclass
class SupervisedProcess:
    """A running child and what is known of it."""

    name: str
    process: subprocess.Popen[bytes]
    told_fd: int
    parent_fd: int
    log: Path | None = None
    tickets: list[dict[str, str]] = field(default_factory=list)
    paused: bool = False
    watchdog: Watchdog | None = None
    _unread: bytes = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: int) -> None:
        """Send a signal to the whole process group; a group that is gone is fine."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def contains(self, pid: int) -> bool:
        """Whether ``pid`` belongs to this process group."""
        try:
            return os.getpgid(pid) == self.pid
        except ProcessLookupError:
            return False

    def read(self) -> list[dict[str, Any]] | None:
        """What the child has told since the last time; ``None`` once nothing can any more.

        Tickets are kept in ``tickets``, too, and what it said is in its log.
        """
        told: list[dict[str, Any]] = []
        while True:
            try:
                data = os.read(self.told_fd, 65536)
            except BlockingIOError:
                return told
            if not data:
                return told or None
            *lines, self._unread = (self._unread + data).split(b"\n")
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:
                    continue
                if isinstance(message, dict):
                    told.append(message)
                    self._keep(message.get("ticket"))
                    if isinstance(message.get("said"), str):
                        self._log(message["said"])

    def _keep(self, ticket: object) -> None:
        if isinstance(ticket, dict) and ticket not in self.tickets:
            self.tickets.append(ticket)
            del self.tickets[:-MOST_TICKETS]

    def _log(self, text: str) -> None:
        """In its name: a limit of its own may keep it from that, and not us."""
        descriptor = 2
        with contextlib.suppress(OSError):
            if self.log is not None:
                descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND)
            os.write(descriptor, text.encode(errors="backslashreplace"))
        if descriptor != 2:
            os.close(descriptor)

    def ask(self, question: int, *, threads: bool = False) -> None:
        """Ask it to prove that it is alive; it hears nothing when it has ended.

        With ``threads`` it writes to its log what each of them does, while it still can.
        """
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self.parent_fd, b"%d %s\n" % (question, WITH_THREADS if threads else b""))

    def tracer(self) -> int | None:
        """The process id of the debugger that holds it, where the system tells (Linux)."""
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("TracerPid:"):
                    return int(line.split()[1]) or None
        return None

    def wait_status(self) -> int | None:
        """What the kernel has to tell about the child, as a wait status, without blocking."""
        flags = os.WNOHANG | os.WUNTRACED | os.WCONTINUED
        pid, status = os.waitpid(self.pid, flags)
        return status if pid else None

    def reaped(self, status: int) -> None:
        """Note the exit code, end what is left of the group and free the pipes."""
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.send(signal.SIGKILL)
        self.read()
        os.close(self.told_fd)
        os.close(self.parent_fd)


def start_process(
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    log: Path | None = None,
    group: bool = True,
    directory: Path | None = None,
) -> SupervisedProcess:
    """Start ``argv`` as the leader of a process group of its own, in ``directory``.

    Output is appended to ``log``, or shared with this process when there is none.
    ``OSError`` when the program cannot be started.
    """
    told_read, told_write = os.pipe()
    parent_read, parent_write = os.pipe()
    output = None
    try:
        os.set_blocking(told_read, False)
        os.set_blocking(parent_write, False)
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            env={
                **os.environ,
                **environment,
                PARENT_FD: str(parent_read),
                SUPERVISOR_FD: str(told_write),
            },
            pass_fds=(parent_read, told_write),
            process_group=0 if group else None,
            # Safe: the supervisor has one thread, so no lock is left locked by the fork.
            preexec_fn=die_with_creator,
        )
    except BaseException:
        os.close(told_read)
        os.close(parent_write)
        raise
    finally:
        os.close(told_write)
        os.close(parent_read)
        if output is not None:
            os.close(output)
    return SupervisedProcess(name, process, told_read, parent_write, log)
