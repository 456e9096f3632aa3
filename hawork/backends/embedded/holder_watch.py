"""How a standby notices that the leader's process has died."""

from __future__ import annotations

import math
import os
import select
from pathlib import Path

from hawork.backends.embedded.crash_lock import is_dead
from hawork.backends.embedded.lease_table import UNREADABLE, LeaseRow
from hawork.backends.embedded.process_identity import watch_process

_LOCK_INTERVAL = 0.05
"""Seconds between looks at a file lock, where no descriptor tells of a process's end."""


class HolderWatch:
    """Watches the process of the present lease holder.

    The contender's file lock decides. A process descriptor, where the kernel has them (Linux) and
    the process can be seen, says when to look at it; else that is done again and again. The
    descriptor alone proves nothing: in another container the same process id, begun in the same
    hundredth of a second, is another process.
    """

    def __init__(self, contenders: Path | None) -> None:
        """``contenders`` is the directory of the file locks; ``None`` switches this off."""
        self._contenders = contenders
        self._row: LeaseRow | None = None
        self._descriptor: int | None = None
        self._dead = False

    @property
    def contender(self) -> str:
        """The process that this follows; empty for none."""
        return "" if self._row is None else self._row.contender

    def follow(self, row: LeaseRow) -> None:
        """Watch the holder of ``row`` from now on."""
        if row.contender == UNREADABLE:
            self.forget()
        elif self._contenders is not None and row.contender != self.contender:
            self.forget()
            self._row = row
            self._descriptor = watch_process(row.pid, row.start_time)

    def forget(self) -> None:
        """Watch nothing."""
        self._row = None
        self._dead = False
        self._stop_watching()

    def is_dead(self) -> bool:
        """Whether the holder is known to be dead. False without a holder, and when unsure."""
        if self._row is None or self._contenders is None:
            return False
        if not self._dead:
            ended = self._descriptor is not None and _readable(self._descriptor)
            self._dead = is_dead(self._contenders, self._row.contender)
            if self._dead or ended:
                # What is readable for ever would end every wait at once.
                self._stop_watching()
        return self._dead

    def descriptor(self) -> int | None:
        """What becomes readable when the holder dies, where there is such a thing."""
        return self._descriptor

    def interval(self) -> float:
        """How long one may wait before asking ``is_dead`` again, in seconds."""
        polled = self._row is not None and self._descriptor is None and not self._dead
        return _LOCK_INTERVAL if polled else math.inf

    def _stop_watching(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
