"""The pipe between a task process and its TaskManager: commands in, events out, as JSON lines.

The two descriptors are taken away from user code: what it prints goes to standard error,
and it finds its standard input empty.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator

from hawork.core.forks import when_forked
from hawork.runtime.messages import Command, Deploy, TaskEvent

PARENT_GONE = 70
"""Exit status of a task whose TaskManager is gone (``EX_SOFTWARE``)."""


class TaskChannel:
    """Commands of the TaskManager in order, and events to it; for one reading thread.

    A thread waits for commands, so that the end of the pipe is noticed while user code
    runs: the process then ends at once, whatever it is doing.
    """

    def __init__(self, commands: int, events: int) -> None:
        self._commands, self._events = commands, events
        # A worker that user code forks would hold them open, and the task never seem to end.
        when_forked(self, TaskChannel._let_go)
        self._queue: queue.SimpleQueue[Deploy | Command] = queue.SimpleQueue()
        threading.Thread(
            target=self._receive, args=(commands,), name="task-commands", daemon=True
        ).start()

    def next_command(self, timeout: float | None) -> Deploy | Command | None:
        """The next command; waits ``timeout`` seconds at most (``None``: for ever)."""
        try:
            return self._queue.get(timeout != 0.0, timeout)
        except queue.Empty:
            return None

    def send(self, event: TaskEvent) -> None:
        """Tell the TaskManager; when it is gone, so is this process."""
        data = json.dumps(event, allow_nan=False).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._events, data) :]
        except OSError:
            os._exit(PARENT_GONE)

    def _let_go(self) -> None:
        for descriptor in (self._commands, self._events):
            os.close(descriptor)

    def _receive(self, commands: int) -> None:
        for line in _lines(commands):
            try:
                command = json.loads(line)
            except ValueError:
                command = {"type": f"unreadable ({line[:40]!r})"}
            self._queue.put(command)
        os._exit(PARENT_GONE)  # not sys.exit: user code must not be able to delay it


def take_standard_streams() -> TaskChannel:
    """Make the process's standard streams a channel, and give user code harmless ones."""
    commands, events = os.dup(0), os.dup(1)  # not inherited by what user code starts
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return TaskChannel(commands, events)


def _lines(descriptor: int) -> Iterator[bytes]:
    """Whole lines until the pipe ends; half a line at its end is not a command."""
    rest = b""
    with contextlib.suppress(OSError):
        while data := os.read(descriptor, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
