"""Which ends of processes the nemesis has brought about, and which break a promise.

Each end is judged once, by the process id and the status with which its parent has seen it.
"""

from __future__ import annotations

import math
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from hawork.core.types import ProcessEnd
from hawork.lab.nemesis.cluster import Breakable, has_begun
from hawork.lab.nemesis.means import watchdog_seconds

KILLED = frozenset({-signal.SIGKILL})
TERMINATED = frozenset({0, -signal.SIGTERM, 128 + signal.SIGTERM})
"""In order; before there was a handler for it; and a JVM."""
_NOTICED = 1.0
"""Seconds after which a process has ended for what was so until then."""


@dataclass
class _Spell:
    """From when to when, on ``time.monotonic``, something was so."""

    since: float
    until: float = math.inf

    def explains(self, end: float) -> bool:
        return self.since <= end <= self.until + _NOTICED


class Ends:
    """Keeps account of what was done to processes, and of how they ended."""

    def __init__(self, cluster: Breakable, begun: Callable[[int], bool] | None = None) -> None:
        self.by_itself: list[str] = []
        """The ends that nothing excuses, in words."""
        self._cluster = cluster
        self._has_begun = begun or has_begun
        self._seen = len(cluster.ends)
        self._expected: dict[int, frozenset[int]] = {}
        self._paused: set[int] = set()
        self._without_files: dict[int, _Spell] = {}
        """Of processes that had not begun when they were refused files, nor at any look since."""
        self._without_right: dict[str, list[tuple[str, _Spell]]] = {}

    # --- what is done ------------------------------------------------------------------
    def expect(self, pid: int, statuses: frozenset[int]) -> None:
        """A process may end so from now on."""
        self._expected[pid] = self._expected.get(pid, frozenset()) | statuses

    def pause(self, pid: int) -> None:
        """A watchdog takes a pause for what it looks like."""
        self._paused.add(pid)

    def refuse_files(self, pid: int) -> None:
        """A process may open nothing: Python needs files to begin, and must not to go on."""
        if not self._has_begun(pid):
            self._without_files[pid] = _Spell(time.monotonic())

    def allow_files(self, pid: int) -> None:
        if pid in self._without_files:
            self._without_files[pid].until = time.monotonic()

    def revoke(self, name: str, verb: str) -> None:
        """A JobManager that lacks a right says so, and ends: time does not mend it."""
        self._without_right.setdefault(name, []).append((verb, _Spell(time.monotonic())))

    def grant(self, name: str, verb: str) -> None:
        for revoked, spell in self._without_right.get(name, ()):
            if revoked == verb:
                spell.until = min(spell.until, time.monotonic())

    # --- what came of it -----------------------------------------------------------------
    def look(self) -> None:
        """Judge the ends since the last look."""
        ends = self._cluster.ends
        for each in ends[self._seen :]:
            if not self._is_ours(each):
                self.by_itself.append(
                    f"{each.name} (process {each.pid}) ended with status {each.status}: "
                    f"{self._cluster.last_words(each.name)}"
                )
        self._seen = len(ends)
        for pid in [pid for pid in self._without_files if self._has_begun(pid)]:
            del self._without_files[pid]

    def _is_ours(self, end: ProcessEnd) -> bool:
        if end.status in self._expected.get(end.pid, ()):
            return True
        if end.status == -signal.SIGKILL:
            return end.pid in self._paused and watchdog_seconds(self._cluster) > 0
        if end.status != 1:
            return False
        spell = self._without_files.get(end.pid)
        return (spell is not None and spell.explains(end.at)) or self._lacked_a_right(end)

    def _lacked_a_right(self, end: ProcessEnd) -> bool:
        """Whether it ended while it lacked a right, and for that very right by its last words."""
        words = self._cluster.last_words(end.name)
        return any(
            spell.explains(end.at) and re.search(rf"may not [a-z, ]*\b{verb}\b[a-z, ]*", words)
            for verb, spell in self._without_right.get(end.name, ())
        )
