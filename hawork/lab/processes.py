"""The processes of a lab: their names, how they are started, how they are doing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.library_path import module_command
from hawork.core.types import ProcessEnd, ProcessState
from hawork.lab.moved_clock import add_offsets, clock_file
from hawork.lab.run_directory import RunDirectory
from hawork.runtime.process_control import ProcessControl, last_words

JOB_MANAGER = "jobmanager"
TASK_MANAGER = "taskmanager"
_PREFIX = {JOB_MANAGER: "jm", TASK_MANAGER: "tm"}


class LabProcesses:
    """JobManagers ``jm-1``, ``jm-2``, ... and TaskManagers ``tm-1``, ``tm-2``, ..."""

    def __init__(
        self, run: RunDirectory, options: Mapping[str, str], *, release: bool,
        config_file: Callable[[str], Path] | None = None,
    ) -> None:  # fmt: skip
        self._run = run
        self._config_file = config_file or (lambda _: run.config_file)
        self._roles: dict[str, str] = {}
        self.control = ProcessControl(run.path, options, release=release)

    def add(self, role: str) -> str:
        """Start one more process of a role; returns its name."""
        number = 1 + sum(known == role for known in list(self._roles.values()))
        name = f"{_PREFIX[role]}-{number}"
        self._roles[name] = role
        self.start(name)
        return name

    def start(self, name: str) -> None:
        """Start a process of the lab that is not running, under its own name."""
        arguments = [
            self._roles[name],
            "--config", str(self._config_file(name)),
            "--name", name,
            "--run-directory", str(self._run.path),
        ]  # fmt: skip
        clock = clock_file(self._run.path, name)
        program = ["hawork.lab.moved_clock", str(clock)] if clock.exists() else ["hawork.runtime"]
        argv = module_command(*program, *arguments)
        self.control.start(name, argv, log=self.log(name))

    def has_own_clock(self, name: str) -> bool:
        """Whether ``move_clock`` reaches a process that runs, or the next one of its name."""
        return clock_file(self._run.path, name).exists()

    def move_clock(self, name: str, wall: float, slept: float) -> None:
        """Set the wall clock of a process, and let it find that its host has slept; seconds."""
        add_offsets(clock_file(self._run.path, name), wall, slept)

    def names(self, role: str | None = None) -> list[str]:
        return [name for name, known in list(self._roles.items()) if role in (None, known)]

    def states(self) -> dict[str, ProcessState]:
        known = self.control.processes()
        # A copy: another thread may add a process, and the panels look ten times a second.
        return {name: known[name] for name in list(self._roles) if name in known}

    def ends(self) -> list[ProcessEnd]:
        """Every end of a process of the lab so far."""
        return [each for each in self.control.ends() if each.name in self._roles]

    def state(self, name: str) -> ProcessState:
        """One process; ``LabError`` when the lab has none of that name."""
        states = self.states()
        if name not in states:
            raise LabError(
                f"the lab has no process {name!r}: choose one of {', '.join(states)} or 'leader'"
            )
        return states[name]

    def check_started(self) -> None:
        """``LabError`` with the reason when a process has ended unasked."""
        for state in self.states().values():
            if state.state == "exited":
                raise LabError(f"process {state.name} ended: {self.why_it_ended(state.name)}")

    def log(self, name: str) -> Path:
        return self._run.logs / f"{name}.log"

    def last_words(self, name: str) -> str:
        """The last line that a process printed."""
        return last_words(self.log(name))

    def why_it_ended(self, name: str) -> str:
        """The signal that ended a process, which it says nothing of itself; else its last words."""
        status = self.state(name).status
        if status is not None and status < 0:
            return f"{signal.Signals(-status).name} ended it"
        return self.last_words(name)
