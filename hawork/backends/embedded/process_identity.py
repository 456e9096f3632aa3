"""Which process a lease row names, and whether that very process has ended."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def start_time_of(pid: int) -> str:
    """What tells a process from a later one of the same pid; empty when it cannot be told."""
    try:
        # The name in parentheses may hold spaces; the start time is field 22 of all.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[19]
    except (OSError, IndexError):
        return ""


def watch_process(pid: int, start_time: str) -> int | None:
    """A descriptor that becomes readable when the process ends; ``None`` where there is none.

    It stands for the process that started at ``start_time`` and no later one.
    """
    if not start_time or not hasattr(os, "pidfd_open"):
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, OverflowError):  # there is no such process, or it is the id of none
        return None
    # Asked after opening: from here on the descriptor and the pid mean the same process.
    if start_time_of(pid) == start_time:
        return descriptor
    with contextlib.suppress(OSError):
        os.close(descriptor)
    return None
