"""A cluster of paper: it notes what is done to it, and its processes are names."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from hawork.core import options
from hawork.core.errors import LabError
from hawork.core.types import ProcessEnd, ProcessState

BEYOND = 1 << 23
"""Process ids that no process has."""


def _noted(verb: str) -> Any:
    def note(self: PaperCluster, *arguments: str) -> None:
        self.__getattr__(verb)(*arguments)

    return note


class PaperCluster:
    """Notes what is done to it; its processes are names."""

    absent: dict[str, str] = {}
    # By name, since a check of a protocol does not ask ``__getattr__`` from Python 3.12 on.
    block, kill_task = _noted("block"), _noted("kill_task")
    clear_scratch, move_clock = _noted("clear_scratch"), _noted("move_clock")

    def __init__(self, storage: Path) -> None:
        self.done: list[tuple[str, ...]] = []
        self.refusing: set[str] = set()
        self.storage = storage
        self.step = 100
        """By how much the process id of the next process of a name is higher."""
        self.config = options.checked(
            {
                options.HA_TYPE.key: "embedded",
                options.STORAGE_DIR.key: f"file://{storage}",
                options.EMBEDDED_LEASE_DURATION.key: "1 s",
                options.EMBEDDED_RENEW_DEADLINE.key: "800 ms",
                options.EMBEDDED_RETRY_PERIOD.key: "200 ms",
                options.SUPERVISOR_WATCHDOG.key: "1 s",
            }
        )
        self.ends: list[ProcessEnd] = []
        self.processes = {
            name: ProcessState(name, pid, "running", starts=1)
            for pid, name in enumerate(("jm-1", "jm-2", "tm-1"), start=BEYOND)
        }

        self.client: Any = None

    def storage_directory(self) -> Path:
        return self.storage

    def last_words(self, process: str) -> str:
        return f"the last words of {process}"

    def set(self, name: str, state: str, pid: int | None = None, status: int = 1) -> None:
        was = self.processes[name]
        self.processes[name] = ProcessState(
            name, was.pid if pid is None else pid, state, status=status, starts=was.starts
        )
        if state == "exited":
            self.ends.append(ProcessEnd(name, was.pid, status, time.monotonic()))

    def kill(self, target: str) -> None:
        self.done.append(("kill", target))
        self.set(target, "exited", status=-signal.SIGKILL)

    def restart(self, target: str) -> None:
        self.done.append(("restart", target))
        self.set(target, "running", self.processes[target].pid + self.step)

    def pause(self, target: str) -> None:
        self.set(target, "paused")

    def resume(self, target: str) -> None:
        self.done.append(("resume", target))
        self.set(target, "running")

    def __getattr__(self, verb: str) -> Any:
        def note(*arguments: str) -> None:
            if verb in self.refusing:
                raise LabError(f"{verb} is refused")
            self.done.append((verb, *arguments))

        return note
