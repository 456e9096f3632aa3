"""What the kernel lets a running process do, changed from outside; and the tasks below one."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator

import psutil

from hawork.core.errors import LabError

_LIMITS = {"writes": resource.RLIMIT_FSIZE, "opens": resource.RLIMIT_NOFILE}
"""``writes``: no file grows. ``opens``: no further descriptor is given out."""


def prepared_refusal(pid: int, what: str) -> Callable[[], object]:
    """What makes the kernel refuse ``what`` to a process and its children; ``LabError``."""
    if what not in _LIMITS:
        raise LabError(f"{what!r} cannot be refused: choose one of {', '.join(_LIMITS)}")
    if not hasattr(resource, "prlimit"):
        raise LabError("the limits of another process are changed on Linux only")

    def refuse() -> None:
        for process in _family(pid):
            # Not less than is open: poll() would fail, too, as it does on no machine that is short.
            most = _descriptors(process) if what == "opens" else 0
            _limit(process, _LIMITS[what], most)

    return refuse


def end_refusals(pid: int) -> None:
    """Let a process and its children have as much again as this process may have."""
    for process in _family(pid):
        for limit in _LIMITS.values():
            _limit(process, limit, resource.getrlimit(limit)[0])


def task_processes(pid: int) -> list[int]:
    """The processes of the subtasks below a TaskManager, in a steady order."""
    found = []
    for process in _family(pid):
        try:
            if "hawork.runtime.task_process" in process.cmdline():
                found.append(process.pid)
        except psutil.Error:
            continue  # it ended while it was looked at
    return sorted(found)


def _limit(process: psutil.Process, which: int, soft: int) -> None:
    try:
        _, hard = resource.prlimit(process.pid, which)
        if hard != resource.RLIM_INFINITY and not 0 <= soft <= hard:
            soft = hard
        resource.prlimit(process.pid, which, (soft, hard))
    except (ProcessLookupError, PermissionError):
        return  # it has ended, perhaps before the kernel was asked


def _descriptors(process: psutil.Process) -> int:
    """One more than the highest that is open."""
    try:
        return 1 + max(map(int, os.listdir(f"/proc/{process.pid}/fd")), default=0)
    except OSError:
        return 0  # it has ended


def _family(pid: int) -> Iterator[psutil.Process]:
    try:
        process = psutil.Process(pid)
        yield process
        yield from process.children(recursive=True)
    except psutil.Error:
        return
