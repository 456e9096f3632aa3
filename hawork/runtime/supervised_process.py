"""One child of a supervisor: a process group with a parent pipe and a ticket pipe.

The child inherits two descriptors, named in its environment:

``HAWORK_PARENT_FD``
    read end of a pipe that the supervisor holds open: it reaches end of file when the
    supervisor is gone, and the child ends itself.
``HAWORK_TICKET_FD``
    write end of a pipe on which a JobManager tells, as JSON lines, the ticket with which
    its leadership can be given up once it is dead.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hawork.runtime.parent_death import die_with_creator

PARENT_FD = "HAWORK_PARENT_FD"
TICKET_FD = "HAWORK_TICKET_FD"
MOST_TICKETS = 8
"""Newest tickets kept of one process; it has a new one whenever its session changes."""


@dataclass
class SupervisedProcess:
    """A running child and what is known of it."""

    name: str
    process: subprocess.Popen[bytes]
    ticket_fd: int
    tickets: list[dict[str, str]] = field(default_factory=list)
    paused: bool = False
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

    def read_tickets(self) -> bool:
        """Take in what the ticket pipe holds; false once nothing can write to it any more."""
        while True:
            try:
                data = os.read(self.ticket_fd, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            *lines, self._unread = (self._unread + data).split(b"\n")
            for line in lines:
                try:
                    ticket = json.loads(line)
                except ValueError:
                    continue
                if isinstance(ticket, dict) and ticket not in self.tickets:
                    self.tickets.append(ticket)
            del self.tickets[:-MOST_TICKETS]

    def wait_status(self) -> int | None:
        """What the kernel has to tell about the child, as a wait status, without blocking."""
        flags = os.WNOHANG | os.WUNTRACED | os.WCONTINUED
        pid, status = os.waitpid(self.pid, flags)
        return status if pid else None

    def reaped(self, status: int) -> None:
        """Note the exit code, end what is left of the group and free the pipe."""
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.send(signal.SIGKILL)
        self.read_tickets()
        os.close(self.ticket_fd)


def start_process(
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    parent_fd: int,
    *,
    log: Path | None = None,
    group: bool = True,
    directory: Path | None = None,
) -> SupervisedProcess:
    """Start ``argv`` as the leader of a process group of its own, in ``directory``.

    Output is appended to ``log``, or shared with this process when there is none.
    ``OSError`` when the program cannot be started.
    """
    ticket_read, ticket_write = os.pipe()
    output = None
    try:
        os.set_blocking(ticket_read, False)
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
                PARENT_FD: str(parent_fd),
                TICKET_FD: str(ticket_write),
            },
            pass_fds=(parent_fd, ticket_write),
            process_group=0 if group else None,
            # Safe: the supervisor has one thread, so no lock is left locked by the fork.
            preexec_fn=die_with_creator,
        )
    except BaseException:
        os.close(ticket_read)
        raise
    finally:
        os.close(ticket_write)
        if output is not None:
            os.close(output)
    return SupervisedProcess(name, process, ticket_read)
