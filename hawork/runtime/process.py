"""What every hawork process has: a name, options, events, steps, and a parent to die with."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import secrets
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError
from hawork.core.events import EventKind, EventLog
from hawork.core.private_files import private_directory
from hawork.core.steps import StepGate
from hawork.runtime.parent_death import die_with_creator
from hawork.runtime.supervised_process import PARENT_FD, SUPERVISOR_FD, WITH_THREADS

_MOST_SAID = 600
"""Characters: the line with them is written to the pipe as a whole, however they are encoded."""


def unique_name(role: str) -> str:
    """A name that no other process has, in whatever containers they run.

    Host name and process id alone are alike in two containers more often than not.
    """
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:63].strip(".-") or "host"
    return f"{role}-{host}-{os.getpid()}-{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """A process's surroundings; made once at its start."""

    name: str
    config: Configuration
    run_directory: Path | None
    events: EventLog
    steps: StepGate

    @classmethod
    def create(
        cls,
        name: str,
        config: Configuration,
        run_directory: Path | None,
        tell: Callable[[str], None] | None = None,
    ) -> ProcessContext:
        """``tell`` hears errors and notes when no run directory keeps them."""
        if run_directory is None:
            configured = config.get_option(options.RUN_DIRECTORY)
            run_directory = Path(configured) if configured else None
        path = control = None
        if run_directory is not None:
            path = run_directory / "events" / f"{name}.jsonl"
            control = run_directory / "control"
        try:
            if run_directory is not None:
                private_directory(run_directory)
            events = EventLog(name, path, tell=tell)
            if path is None and tell is not None:
                events = _TellingEventLog(name, tell)
        except OSError as error:
            raise ConfigurationError(
                f"run directory {run_directory} cannot be written ({error.strerror}): "
                f"choose another with {options.RUN_DIRECTORY.key}"
            ) from None
        return cls(name, config, run_directory, events, StepGate(name, events, control))


class _TellingEventLog(EventLog):
    """Keeps events in memory, and tells those that a reader should see."""

    def __init__(self, process: str, tell: Callable[[str], None]) -> None:
        super().__init__(process)
        self._tell = tell

    def emit(self, kind: EventKind, **facts: Any) -> None:
        super().emit(kind, **facts)
        text = facts.get("message" if kind is EventKind.ERROR else "note")
        if text:
            self._tell(str(text))


class ParentWatch:
    """Makes sure that this process does not outlive the one that started it.

    The parent holds the other end of the pipe ``HAWORK_PARENT_FD``: its end means that the
    parent is gone, however it went. A supervisor's watchdog asks its questions on it, which are
    passed on to ``asked``, on a thread of its own. One that ends in ``WITH_THREADS`` has this
    thread write to standard error what every thread does.
    """

    def __init__(self) -> None:
        self.asked: Callable[[int], None] = lambda _: None
        die_with_creator()
        text = os.environ.pop(PARENT_FD, "")
        if text:
            threading.Thread(
                target=self._listen, args=(int(text),), name="parent-watch", daemon=True
            ).start()

    def _listen(self, descriptor: int) -> None:
        with open(descriptor, "rb") as questions:
            for line in questions:
                with contextlib.suppress(ValueError):
                    question, _, wanted = line.partition(b" ")
                    self.asked(int(question))
                    if wanted.strip() == WITH_THREADS:
                        _write_threads()
        os._exit(70)  # not sys.exit: nothing may delay or prevent it


def _write_threads() -> None:
    """What each thread does, to standard error, if that can be written to.

    Not ``faulthandler``: in the handler of a signal it reads the frames of threads that run
    meanwhile, and ends the process every now and then; called, it keeps every thread waiting while
    it writes, and standard error may be a disk that hangs.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    lines = []
    for ident, frame in sys._current_frames().items():
        lines.append(f"Thread {names.get(ident, ident)}, most recent call first:")
        for each, line in traceback.walk_stack(frame):
            code = each.f_code
            lines.append(f'  File "{code.co_filename}", line {line}, in {code.co_name}')
    text = "\n".join([*lines, ""]).encode(errors="backslashreplace")
    # On a thread of its own: behind a write that hangs, later questions would stay unanswered.
    with contextlib.suppress(RuntimeError):  # no thread is left
        threading.Thread(target=_write, args=(text,), name="threads-told", daemon=True).start()


def _write(text: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(2, text)


@functools.cache
def supervisor_of_environment() -> ToSupervisor | None:
    """The way to tell the supervisor something, if there is a supervisor."""
    text = os.environ.pop(SUPERVISOR_FD, "")
    return ToSupervisor(int(text)) if text else None


class ToSupervisor:
    """Writes JSON lines to the supervisor's pipe. On any thread; see ``supervised_process``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def ticket(self, ticket: dict[str, str]) -> None:
        """With this our leadership can be given up once we are dead."""
        self._tell({"ticket": ticket})

    def watch(self, wanted: bool) -> None:
        """Whether we answer from now on when we are asked whether we are alive."""
        self._tell({"watch": wanted})

    def alive(self, part: str, question: int) -> None:
        """Called by the part itself."""
        self._tell({"alive": part, "question": question})

    def said(self, text: str) -> None:
        """What could not be written to standard error; the end of it, if it is long."""
        self._tell({"said": text[-_MOST_SAID:]})

    def _tell(self, message: dict[str, Any]) -> None:
        # A supervisor that is gone takes this process with it: nothing to handle here.
        with contextlib.suppress(OSError):
            os.write(self._descriptor, (json.dumps(message) + "\n").encode())


def report_start(context: ProcessContext, role: str) -> None:
    context.events.emit(EventKind.PROCESS_STARTED, pid=os.getpid(), role=role)


def report_stop(context: ProcessContext, reason: str) -> None:
    context.events.emit(EventKind.PROCESS_STOPPED, pid=os.getpid(), reason=reason)
